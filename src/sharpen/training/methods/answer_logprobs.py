"""Log-probabilities of the tokens of answers, and of nothing else.

In: a model, its inputs, and which token each position has to predict. Out: log-probabilities, nats, at those positions.
Must not know what is made of them.

A model of 135M parameters spends a fifth of its work on the head, once per position; a prompt of sixty tokens with an
answer of two needs two positions. The head is left out of the model's own pass, and asked only where it counts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

NOTHING = -100  # the target of a position that predicts nothing; Source: torch.nn.CrossEntropyLoss, ignore_index
_ROWS = 256  # chosen: 50 MB of logits at a vocabulary of 49k; larger pieces were not faster


class AnswerLogprobs:
    """The head of one model. `is_apart` tells whether it can be asked apart from the rest."""

    def __init__(self, model: Any, probe_T: torch.Tensor) -> None:
        """Look whether the model's logits are its head's output: some models scale or cap them after that."""
        self._head = _inner(model).get_output_embeddings()
        self.is_apart = True
        if not isinstance(self._head, torch.nn.Module) or probe_T.numel() < 2:
            self.is_apart = False
            return
        probe_1T = probe_T[None].to(next(model.parameters()).device)
        target_1T = torch.cat([probe_1T[:, 1:], torch.full_like(probe_1T[:, :1], NOTHING)], dim=1)
        with torch.no_grad():
            own_1T = _picked(model(input_ids=probe_1T, use_cache=False).logits, target_1T)
            apart_1T = self(model, {"input_ids": probe_1T}, target_1T)
        self.is_apart = bool(torch.allclose(own_1T, apart_1T, atol=1e-4, rtol=1e-4))

    def __call__(self, model: Any, inputs: dict[str, torch.Tensor], targets_BT: torch.Tensor) -> torch.Tensor:
        """Return log p of the target that each position predicts, nats, (batch, tokens); 0 where it predicts nothing.

        `targets_BT` holds token ids, already shifted: position t has the token that follows it, or NOTHING.
        """
        if not self.is_apart or _is_in_parts(self._head):
            return _picked(model(**inputs, use_cache=False).logits, targets_BT)
        with _passing_through(self._head):
            hidden_BTD = model(**inputs, use_cache=False).logits
        counts_BT = targets_BT != NOTHING
        hidden_ND, targets_N = hidden_BTD[counts_BT], targets_BT[counts_BT]
        is_frozen = not any(weight.requires_grad for weight in self._head.parameters())
        if is_frozen and type(self._head) is torch.nn.Linear:
            logps_N = _FrozenHead.apply(hidden_ND, self._head.weight, self._head.bias, targets_N)
        else:
            logps_N = torch.cat(
                [
                    checkpoint(self._rows, rows_ND, rows_N, use_reentrant=False)
                    for rows_ND, rows_N in zip(hidden_ND.split(_ROWS), targets_N.split(_ROWS), strict=True)
                ]
            )
        return hidden_BTD.new_zeros(targets_BT.shape, dtype=torch.float32).masked_scatter(counts_BT, logps_N)

    def _rows(self, hidden_ND: torch.Tensor, targets_N: torch.Tensor) -> torch.Tensor:
        return _picked(self._head(hidden_ND), targets_N)


class _FrozenHead(torch.autograd.Function):
    """log softmax(W h + b)[target] for many h, with the gradient made on the way.

    d log p(target) / d h = W[target] - Σ_v p(v) W[v]: one row per position, to be scaled by whatever comes back. So the
    logits are used up while they are there, and never computed again.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden_ND: torch.Tensor, weight_VD: torch.Tensor, bias_V: torch.Tensor | None, targets_N: torch.Tensor
    ) -> torch.Tensor:
        logps, slopes = [], []
        for rows_ND, rows_N in zip(hidden_ND.split(_ROWS), targets_N.split(_ROWS), strict=True):
            logits_NV = torch.nn.functional.linear(rows_ND, weight_VD, bias_V).float()
            total_N1 = logits_NV.logsumexp(dim=1, keepdim=True)
            logps.append((logits_NV.gather(1, rows_N[:, None]) - total_N1).squeeze(1))
            if ctx.needs_input_grad[0]:
                expected_ND = logits_NV.sub_(total_N1).exp_().to(weight_VD.dtype) @ weight_VD
                slopes.append(weight_VD[rows_N] - expected_ND)
        ctx.save_for_backward(torch.cat(slopes) if slopes else hidden_ND.new_zeros(0))
        return torch.cat(logps) if logps else hidden_ND.new_zeros(0, dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, grad_N: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        (slopes_ND,) = ctx.saved_tensors
        return grad_N[:, None].to(slopes_ND.dtype) * slopes_ND, None, None, None


def _picked(logits_XV: torch.Tensor, targets_X: torch.Tensor) -> torch.Tensor:
    """Return log softmax of the logits at the targets, float32, 0 where there is none; X is any number of axes."""
    safe_X = targets_X.clamp(min=0)
    logits_XV = logits_XV.float()
    logps_X = logits_XV.gather(-1, safe_X[..., None]).squeeze(-1) - logits_XV.logsumexp(dim=-1)
    return logps_X.masked_fill(targets_X == NOTHING, 0.0)


def _is_in_parts(head: Any) -> bool:
    """Tell whether other processes hold parts of the head (ZeRO 3, FSDP): only the model's own pass gathers them."""
    return any(hasattr(weight, "ds_id") or hasattr(weight, "placements") for weight in head.parameters())


def _inner(model: Any) -> Any:
    """Return the model inside the adapter's wrapping."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


@contextlib.contextmanager
def _passing_through(head: Any) -> Iterator[None]:
    """Have the head hand on what it is given while the block runs."""
    head.forward = lambda hidden_BTD: hidden_BTD
    try:
        yield
    finally:
        del head.forward
