"""A batch is one optimizer step; here it goes through the model in portions of rows of like length.

In: a TRL trainer's class. Out: the same with a training step that cuts its batch. Must not know any one loss.

Rows of like length together need little padding, and a portion needs less memory than a batch; the gradients of all of
them are those of the batch. What the sampler put together stays together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

Batch = dict[str, torch.Tensor]


class Portioned:
    """To be mixed into a trainer. `portion` is the most rows that have room in memory at once."""

    portion: int
    # Of the trainer that this is mixed into.
    accelerator: Any
    args: Any
    is_deepspeed_enabled: bool
    _prepare_inputs: Any
    compute_loss_context_manager: Any

    def cut(self, batch: Batch) -> Iterator[Batch]:
        """Cut a batch into portions, the longest first: what has no room in memory fails at once."""
        raise NotImplementedError

    def loss(self, model: Any, portion: Batch, batch: Batch, items: Any = None) -> torch.Tensor:
        """Return a portion's share of the batch's mean loss; `items` is what it is the mean over, if it is known."""
        raise NotImplementedError

    def training_step(self, model: Any, inputs: Batch, num_items_in_batch: Any = None) -> torch.Tensor:
        """Run one batch forward and backward; returns its loss, a scalar."""
        model.train()
        batch: Batch = self._prepare_inputs(inputs)
        # Several processes have to go backward equally often: their gradients meet there.
        is_alone = self.accelerator.num_processes == 1 and not self.is_deepspeed_enabled
        total = torch.zeros((), device=self.args.device)
        for portion in self.cut(batch) if is_alone else (batch,):
            with self.compute_loss_context_manager():
                loss = self.loss(model, portion, batch, num_items_in_batch)
            if self.args.average_tokens_across_devices and num_items_in_batch is not None:
                loss = loss * self.accelerator.num_processes  # they average what was summed over all of them
            self.accelerator.backward(loss)
            total += loss.detach()
        return total

    def compute_loss(
        self, model: Any, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Return the mean loss of a batch, a scalar."""
        return sum(
            (self.loss(model, one, inputs) for one in self.cut(inputs)), torch.zeros((), device=self.args.device)
        )

    def prediction_step(
        self, model: Any, inputs: Batch, prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> tuple[torch.Tensor, None, None]:
        """Return the loss of a batch that is only looked at."""
        with torch.no_grad(), self.compute_loss_context_manager():
            return self.compute_loss(model, self._prepare_inputs(inputs)).detach(), None, None


def portion_tokens() -> int:
    """Return how many tokens go through the model at once.

    chosen: on a CPU a product of matrices is at its best with a few hundred rows, and larger portions only add padding
    and memory; a GPU wants as many as there are.
    """
    return 1 << 20 if torch.cuda.is_available() else 1024


def groups(sizes: list[int], rows: int, tokens: int) -> Iterator[list[int]]:
    """Yield places of `sizes`, the largest first: at most `rows` together, and no more than `tokens` unless it is one.

    >>> list(groups([5, 9, 1, 5], rows=8, tokens=12))
    [[1], [0, 3], [2]]
    """
    order = sorted(range(len(sizes)), key=lambda i: -sizes[i])
    while order:
        fits = max(1, min(rows, tokens // max(1, sizes[order[0]])))
        yield order[:fits]
        order = order[fits:]


def take(batch: Batch, places: list[int]) -> Batch:
    """Return these rows of a batch."""
    return {name: value[torch.tensor(places, device=value.device)] for name, value in batch.items()}
