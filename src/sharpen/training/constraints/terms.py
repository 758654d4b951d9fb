"""What both constrained losses share: row weights, the twin penalty, and the sums that steer the duals.

In: tensors of one micro-batch and the plan. Out: tensors. Must not know DPO or KTO.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import torch
from torch.nn.functional import huber_loss

from sharpen.training.constraints.duals import Duals
from sharpen.training.constraints.plan import Plan

HUBER_NATS = 1.0  # chosen: beyond a nat the pull on a twin pair no longer grows, so that one odd pair cannot rule


class Terms:
    """A plan as tensors, looked up by the numbers of the rows in a batch."""

    def __init__(self, plan: Plan, device: Any) -> None:
        self._device = device
        self._weight_N = torch.tensor(plan.weight_N, dtype=torch.float32, device=device)
        self._harm_N = torch.tensor(plan.harm_N, dtype=torch.float32, device=device)
        self._group_N = plan.groups.index_N if plan.groups else None
        self._contrasts = plan.contrasts
        self._of_row: dict[int, list[int]] = defaultdict(list)
        if plan.contrasts is not None:
            for number, (rows, signs) in enumerate(
                zip(plan.contrasts.row_PK.tolist(), plan.contrasts.sign_PK.tolist(), strict=True)
            ):
                for row, sign in zip(rows, signs, strict=True):
                    if sign:
                        self._of_row[row].append(number)

    def weights(self, row_B: torch.Tensor, duals: Duals) -> torch.Tensor:
        """Return each row's weight: its own, times its group's factor."""
        own_B = self._weight_N[row_B]
        if self._group_N is None:
            return own_B
        factor_B = duals.factors()[self._group_N[row_B.cpu().numpy()]]
        return own_B * torch.tensor(factor_B, dtype=torch.float32, device=self._device)

    def harm(self, row_B: torch.Tensor) -> torch.Tensor:
        """Return h_l - h_w of each pair."""
        return self._harm_N[row_B]

    def penalty(
        self, row_B: torch.Tensor, policy_B: torch.Tensor, reference_B: torch.Tensor, space: str
    ) -> tuple[torch.Tensor, float, int]:
        """Return the mean Huber penalty on the batch's whole contrasts, their sum, and how many there are.

        Values are nats: log-odds of a pair's answers, or the log-probability of one. In `reward` space both are taken
        relative to the reference, which freezes its gap; in `policy` space the gap itself is taken. Margins alone are
        compared: rewards of different prompts differ by an unknown log Z.
        """
        nothing = policy_B.sum() * 0.0
        if self._contrasts is None:
            return nothing, 0.0, 0
        place = {row: position for position, row in enumerate(row_B.tolist())}
        numbers = sorted({number for row in place for number in self._of_row.get(row, ())})
        whole = [number for number in numbers if self._is_whole(number, place)]
        if not whole:
            return nothing, 0.0, 0
        contrasts = self._contrasts
        place_PK = torch.tensor(
            [[place.get(row, 0) for row in contrasts.row_PK[number].tolist()] for number in whole], device=self._device
        )
        sign_PK = torch.tensor(contrasts.sign_PK[whole], dtype=policy_B.dtype, device=self._device)
        gap_P = (sign_PK * (policy_B - reference_B)[place_PK]).sum(1)
        if space == "policy":
            own_P = (sign_PK * policy_B[place_PK]).sum(1)
            gap_P = torch.where(torch.tensor(contrasts.is_drift_P[whole], device=self._device), gap_P, own_P)
        each_P = huber_loss(gap_P, torch.zeros_like(gap_P), reduction="none", delta=HUBER_NATS)
        return each_P.mean(), float(each_P.detach().sum()), len(whole)

    def _is_whole(self, number: int, place: dict[int, int]) -> bool:
        assert self._contrasts is not None
        return all(
            row in place or not sign
            for row, sign in zip(
                self._contrasts.row_PK[number].tolist(), self._contrasts.sign_PK[number].tolist(), strict=True
            )
        )

    def sums(self, row_B: torch.Tensor, loss_B: torch.Tensor, gap_sum: float, gap_count: int) -> torch.Tensor:
        """Return what the duals observe: weighted losses by group, weights by group, the gap's sum and count."""
        parts: list[Any] = []
        if self._group_N is not None:
            group_B = self._group_N[row_B.cpu().numpy()]
            own_B = self._weight_N[row_B].cpu().numpy()
            count = int(self._group_N.max()) + 1
            losses_B = own_B * loss_B.detach().float().cpu().numpy()
            parts = [
                np.bincount(group_B, weights=losses_B, minlength=count),
                np.bincount(group_B, weights=own_B, minlength=count),
            ]
        return torch.tensor(np.concatenate([*parts, [gap_sum, gap_count]]), dtype=torch.float32, device=self._device)
