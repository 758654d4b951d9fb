"""Pairs of answers in batches: the prompt stands once, and both answers follow it without seeing each other.

In: token ids of prompts, chosen and rejected answers. Out: tensors for one pass of a model. Must not know any loss.

A row is [prompt without its last token | last, chosen | last, rejected], each answer without its final token, which
predicts nothing. The mask lets an answer see the prompt and itself; the positions of both answers begin at the prompt's
end. So each answer is scored as if it stood there alone, and a prompt that is as long as its answers is computed once
instead of twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from sharpen.training.methods.answer_logprobs import NOTHING, AnswerLogprobs
from sharpen.training.methods.portioned import Batch

_PADDING = 0  # any token will do: nothing sees it


@dataclass(frozen=True)
class Collator:
    """Puts pairs side by side; answers end where prompt and answer have `max_length` tokens."""

    max_length: int

    def __call__(self, rows: Sequence[dict[str, Any]]) -> Batch:
        """Return the pairs' ids, padded, their lengths, reference log-probabilities (0 if unknown) and weights."""
        room = [self.max_length - len(row["prompt_ids"]) for row in rows]
        ids = {
            "prompt": [row["prompt_ids"] for row in rows],
            "chosen": [row["chosen_ids"][:left] for row, left in zip(rows, room, strict=True)],
            "rejected": [row["rejected_ids"][:left] for row, left in zip(rows, room, strict=True)],
        }
        return {f"{name}_ids": _padded(lists) for name, lists in ids.items()} | {
            "lengths": torch.tensor([[len(one) for one in three] for three in zip(*ids.values(), strict=True)]),
            "references": torch.tensor([row.get("references") or (0.0, 0.0) for row in rows]),
            "weights": torch.tensor([float(row.get("weight") or 1.0) for row in rows]),
        }


def shared(batch: Batch) -> tuple[Batch, torch.Tensor]:
    """Return a model's inputs with the prompt once per row, and what each position predicts (batch, tokens)."""
    rows = [_row(batch, i) for i in range(len(batch["lengths"]))]
    ids_BT, targets_BT, positions_BT, parts_BT = (
        _padded([row[k] for row in rows], fill) for k, fill in enumerate((_PADDING, NOTHING, 0, -1))
    )
    size = ids_BT.shape[1]
    sees_TT = torch.ones(size, size, dtype=torch.bool).tril()
    asks_BT1, answers_B1T = parts_BT[:, :, None], parts_BT[:, None, :]
    mask_BTT = sees_TT & ((answers_B1T == 0) | (answers_B1T == asks_BT1)) & (answers_B1T >= 0)
    mask_BTT |= torch.eye(size, dtype=torch.bool)  # padding sees itself, or its softmax is not a number
    device = batch["lengths"].device
    inputs = {"input_ids": ids_BT, "position_ids": positions_BT, "attention_mask": mask_BTT[:, None]}
    return {name: value.to(device) for name, value in inputs.items()}, targets_BT.to(device)


def _row(batch: Batch, i: int) -> tuple[list[int], list[int], list[int], list[int]]:
    """Return ids, targets, positions and parts (0 prompt, 1 chosen, 2 rejected) of one pair."""
    p, c, r = batch["lengths"][i].tolist()
    prompt = batch["prompt_ids"][i, :p].tolist()
    answers = batch["chosen_ids"][i, :c].tolist(), batch["rejected_ids"][i, :r].tolist()
    ids, targets, positions, parts = prompt[:-1], [NOTHING] * (p - 1), [*range(p - 1)], [0] * (p - 1)
    for part, answer in enumerate(answers, 1):
        ids += [*prompt[-1:], *answer[:-1]]
        targets += answer
        positions += range(p - 1, p - 1 + len(answer))
        parts += [part] * len(answer)
    return ids, targets, positions, parts


def apart(batch: Batch) -> tuple[Batch, torch.Tensor]:
    """Return a model's inputs with every answer after a prompt of its own: all chosen rows, then all rejected ones."""
    ids, targets = [], []
    for column, name in enumerate(("chosen_ids", "rejected_ids"), 1):
        for i, lengths in enumerate(batch["lengths"].tolist()):
            prompt = batch["prompt_ids"][i, : lengths[0]].tolist()
            answer = batch[name][i, : lengths[column]].tolist()
            ids.append((prompt + answer)[:-1])
            targets.append([NOTHING] * (len(prompt) - 1) + answer)
    device = batch["lengths"].device
    mask_BT = _padded([[1] * len(row) for row in ids], 0)
    inputs = {"input_ids": _padded(ids), "attention_mask": mask_BT}
    return {name: value.to(device) for name, value in inputs.items()}, _padded(targets, NOTHING).to(device)


class PairLogprobs:
    """Log-probabilities of both answers of each pair, under one model."""

    def __init__(self, model: Any, probe: Batch) -> None:
        """Look on one pair whether the model scores two answers after one prompt as it scores them apart.

        It does not where positions are not its inputs (ALiBi), where it has a state instead of a mask, or where a
        mask of ours is not understood.
        """
        p = int(probe["lengths"][0, 0])
        self._answers = AnswerLogprobs(model, probe["prompt_ids"][0, :p])
        self.is_shared = True
        one = {name: value[:1].to(next(model.parameters()).device) for name, value in probe.items()}
        with torch.no_grad():
            try:
                found_2 = torch.stack(self(model, one))
            except (TypeError, ValueError, RuntimeError, NotImplementedError):
                self.is_shared = False
                return
            self.is_shared = False
            expected_2 = torch.stack(self(model, one))
        self.is_shared = bool(torch.allclose(found_2, expected_2, atol=1e-4, rtol=1e-4))

    def __call__(self, model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log p(chosen | prompt) and log p(rejected | prompt), nats, each (pairs,)."""
        if not self.is_shared:
            inputs, targets_BT = apart(batch)
            chosen_B, rejected_B = self._answers(model, inputs, targets_BT).sum(dim=1).chunk(2)
            return chosen_B, rejected_B
        inputs, targets_BT = shared(batch)
        logps_BT = self._answers(model, inputs, targets_BT)
        p_B1, c_B1, _ = batch["lengths"].split(1, dim=1)
        is_chosen_BT = torch.arange(logps_BT.shape[1], device=logps_BT.device) < p_B1 - 1 + c_B1
        chosen_B = (logps_BT * is_chosen_BT).sum(dim=1)
        return chosen_B, (logps_BT * ~is_chosen_BT).sum(dim=1)


def _padded(lists: Sequence[Sequence[int]], fill: int = _PADDING) -> torch.Tensor:
    width = max(map(len, lists))
    return torch.tensor([[*one, *[fill] * (width - len(one))] for one in lists])
