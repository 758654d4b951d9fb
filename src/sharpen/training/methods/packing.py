"""Several rows behind one another in one, which do not see each other.

In: a batch with padding. Out: one row without any. Must not know any loss.

Rows are packed only within their batch, so an optimizer step learns from the same rows as without; what changes is the
padding alone. A mask keeps rows apart and positions begin anew with each, so that each is scored as if it stood alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from sharpen.training.methods.portioned import Batch


def bins(sizes: Sequence[int], rows: int, tokens: int) -> Iterator[list[int]]:
    """Yield places of `sizes` that together have no more than the largest of them, or half of `tokens` if that is more.

    Each goes where it leaves the least room, the largest first; at most `rows` together. Attention takes the square of
    a row's length, so it pays to stop packing there. Source: best-fit decreasing, Johnson 1973.

    >>> list(bins([5, 9, 1, 4, 3], rows=8, tokens=10))
    [[1], [0, 3], [4, 2]]
    """
    width = max(*sizes, tokens // 2)
    filled: list[list[int]] = []
    for i in sorted(range(len(sizes)), key=lambda one: -sizes[one]):
        room = [(width - sum(sizes[j] for j in places) - sizes[i], places) for places in filled if len(places) < rows]
        fitting = [(left, places) for left, places in room if left >= 0]
        if fitting:
            min(fitting, key=lambda one: one[0])[1].append(i)
        else:
            filled.append([i])
    yield from filled


def packed(batch: Batch) -> Batch:
    """Return a batch of one row: input_ids, labels, position_ids, weights (1, tokens) and attention_mask (1, 1, T, T).

    A row's first label is dropped: what stands before it is another row's.
    """
    sizes = batch["attention_mask"].sum(dim=1).tolist()
    device = batch["input_ids"].device
    pieces: dict[str, list[torch.Tensor]] = {"input_ids": [], "labels": [], "position_ids": [], "weights": []}
    for i, size in enumerate(sizes):
        labels_T = batch["labels"][i, :size].clone()
        labels_T[0] = -100
        pieces["input_ids"].append(batch["input_ids"][i, :size])
        pieces["labels"].append(labels_T)
        pieces["position_ids"].append(torch.arange(size, device=device))
        pieces["weights"].append(batch["weights"][i].expand(size))
    one = {name: torch.cat(parts)[None] for name, parts in pieces.items()}
    rows_T = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes)).to(device)
    sees_TT = (rows_T[:, None] == rows_T[None, :]).tril()
    # A label stands one place after the position that predicts it; so does its weight.
    one["weights"] = one["weights"].roll(-1, dims=1)
    return one | {"attention_mask": sees_TT[None, None]}


def is_understood(model: Any, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> bool:
    """Tell whether the model gives packed rows the logits that it gives them alone.

    It does not where positions are not its inputs (ALiBi), or where it has a state instead of a mask.
    """
    device = next(model.parameters()).device
    ids_BT, mask_BT = ids_BT.to(device), mask_BT.to(device)
    batch = {"input_ids": ids_BT, "labels": ids_BT, "attention_mask": mask_BT}
    one = packed(batch | {"weights": torch.ones(len(ids_BT), device=device)})
    inputs = {name: one[name] for name in ("input_ids", "position_ids", "attention_mask")}
    with torch.no_grad():
        try:
            found = model(**inputs, use_cache=False).logits[0]
        except (TypeError, ValueError, RuntimeError, NotImplementedError):
            return False
        expected = model(input_ids=ids_BT, attention_mask=mask_BT, use_cache=False).logits[mask_BT.bool()]
    return bool(torch.allclose(found, expected, atol=1e-3, rtol=1e-3))
