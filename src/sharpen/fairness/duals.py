"""Dual updates: how much each group weighs, and how much the counterfactual gap costs.

In: the last weights and what was measured. Out: the next weights. Must not know how they enter a loss.

Source: group weights, Ramesh et al. 2024 (arXiv:2405.20304, algorithm 1: multiplicative weights on group losses, after
Sagawa et al. 2019); the cap and the pull towards the target keep a noisy or poisoned group from taking over. The gap's
multiplier is projected dual ascent.
"""

from __future__ import annotations

import numpy as np

CLIP = 2.0  # chosen: the most excess loss, nats, that one update hears of; an outlier then moves a weight by 10 %


def next_shares(
    share_G: np.ndarray, excess_G: np.ndarray, target_G: np.ndarray, *, rate: float, mix: float, cap: float
) -> np.ndarray:
    """Move weight to groups whose loss is in excess of their reference's, nats; NaN where a group was not seen.

    The result sums to 1 and no group has more than `cap` times its target.
    """
    heard_G = np.clip(np.nan_to_num(excess_G, nan=0.0), -CLIP, CLIP)
    moved_G = share_G * np.exp(rate * heard_G)
    moved_G = (1 - mix) * moved_G / moved_G.sum() + mix * target_G
    return capped(moved_G, cap * target_G)


def capped(share_G: np.ndarray, limit_G: np.ndarray) -> np.ndarray:
    """Project onto {sum = 1, share <= limit}: what is cut off goes to the others, in proportion (the KL projection).

    The limits must sum to 1 or more.
    """
    share_G = share_G / share_G.sum()
    is_cut_G = np.zeros(len(share_G), dtype=bool)
    for _ in share_G:
        over_G = (share_G > limit_G) & ~is_cut_G
        if not over_G.any():
            break
        is_cut_G |= over_G
        share_G = np.where(is_cut_G, limit_G, share_G)
        free = share_G[~is_cut_G].sum()
        if free > 0:
            share_G = np.where(is_cut_G, share_G, share_G * max(1 - limit_G[is_cut_G].sum(), 0.0) / free)
    return np.asarray(share_G / share_G.sum())


def next_multiplier(multiplier: float, gap: float, *, tolerance: float, rate: float, most: float) -> float:
    """Raise the price of the gap while it is above the tolerance, lower it while below; never below 0 or above `most`.

    `gap` and `tolerance` are in the unit of the penalty (Huber of nats).
    """
    return float(min(max(multiplier + rate * (gap - tolerance), 0.0), most))


def smoothed(last: np.ndarray, seen: np.ndarray, *, decay: float = 0.9) -> np.ndarray:
    """Return moving averages; NaN in `seen` leaves one as it is, NaN in `last` begins one.

    A micro-batch is too noisy to steer by. chosen: 0.9 remembers about ten steps.
    """
    mixed = np.where(np.isnan(last), seen, decay * last + (1 - decay) * seen)
    return np.asarray(np.where(np.isnan(seen), last, mixed))
