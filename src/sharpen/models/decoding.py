"""Continuous batching over one causal language model, with the KV cache of shared prompt beginnings reused.

In: token ids of prompts. Out: token ids of answers, one step at a time. Must not know adapters, text or HTTP.

Rows of different length share one cache: each row's keys are aligned at the right, a mask says which columns count, and
rotary positions are given explicitly, so that columns may be padded or dropped. A row that ends leaves at once and a
waiting one takes its place between two steps. A prompt's beginning that an earlier prompt had too (a system message,
the examples of an in-context arm) is computed once and copied.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

MIN_PREFIX_TOKENS = 16  # chosen: below this, copying the cache costs about what computing it does
MAX_PREFILL_TOKENS = 4096  # chosen: bounds the activations of one prefill call to some hundred megabytes
MOST_STEPS_WAITED = 4  # chosen: a new request waits some tenths of a second at most for others to join with
KEPT_PREFIXES = 8  # chosen: a few system prompts and in-context beginnings; each costs tens of megabytes at most

Cache = list[tuple[Tensor, Tensor]]  # per layer: keys and values, (B, heads, T, head_dim)


@dataclass(slots=True, eq=False)
class Row:
    """One sequence being written."""

    prompt: list[int]
    max_new_tokens: int
    pick: Callable[[Tensor], int]  # logits of the vocabulary, (V,) -> the next token
    on_token: Callable[[Row, int], bool]  # told each token; True ends the row
    on_failure: Callable[[Exception], None]  # told what `pick` or `on_token` raised; the row ends
    written: list[int] = field(default_factory=list)
    dropped: bool = False


def shared_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """Return how many leading tokens two sequences share."""
    limit = min(len(a), len(b))
    return next((i for i in range(limit) if a[i] != b[i]), limit)


class Decoder:
    """Rows that advance together through one model."""

    def __init__(self, model: Any, *, max_rows: int) -> None:
        self.model = model
        self.max_rows = max_rows
        self.model_seconds = 0.0
        self._waiting: list[Row] = []
        self._rows: list[Row] = []
        self._cache: Cache = []
        self._mask_BT = torch.zeros(0, 0, dtype=torch.bool)
        self._last_B = torch.zeros(0, dtype=torch.long)  # the token each row wrote last, not yet in the cache
        self._prefixes: OrderedDict[tuple[int, ...], Cache] = OrderedDict()
        self._recent: list[int] = []
        self._waited = 0  # steps since a row could have joined

    @property
    def busy(self) -> bool:
        """Whether any row is waiting or being written."""
        return bool(self._waiting or self._rows)

    def add(self, row: Row) -> None:
        """Queue a row."""
        self._waiting.append(row)

    def step(self) -> None:
        """Admit waiting rows if there is room, otherwise write one token in every row."""
        with torch.inference_mode():
            self._drop()
            joining = min(self.max_rows - len(self._rows), len(self._waiting))
            # Joining costs a call of its own: wait a few steps for company, while others are being written.
            if joining > 0 and (joining >= len(self._rows) / 4 or self._waited >= MOST_STEPS_WAITED):
                self._waited = 0
                self._admit(joining)
            elif self._rows:
                self._waited = self._waited + 1 if joining > 0 else 0
                self._advance()

    def freshen(self) -> None:
        """Forget the kept prefixes when no row is on its way, so that a result never depends on what ran before."""
        self._drop()
        if not self.busy:
            self._prefixes.clear()
            self._recent = []

    # -- prompts -----------------------------------------------------------------------------------------------------

    def prefill(self, prompts: Sequence[list[int]]) -> tuple[Tensor, Cache, Tensor]:
        """Read prompts that begin alike.

        Returns the logits after each prompt's last token (B, V), the cache, and its mask (B, T).
        """
        prefix = self._prefix_of(prompts)
        start = len(prefix)
        suffixes = [prompt[start:] for prompt in prompts]
        rows, width = len(prompts), max(len(suffix) for suffix in suffixes)
        ids_BS = torch.zeros(rows, width, dtype=torch.long)
        mask_BT = torch.zeros(rows, start + width, dtype=torch.bool)
        mask_BT[:, :start] = True
        for i, suffix in enumerate(suffixes):
            ids_BS[i, width - len(suffix) :] = torch.tensor(suffix)
            mask_BT[i, start + width - len(suffix) :] = True
        past = [(k.expand(rows, -1, -1, -1), v.expand(rows, -1, -1, -1)) for k, v in self._prefixes.get(prefix, [])]
        logits_B1V, cache = self._forward(ids_BS, mask_BT, past, keep=1)
        return logits_B1V[:, -1], cache, mask_BT

    def _prefix_of(self, prompts: Sequence[list[int]]) -> tuple[int, ...]:
        """Find the beginning these prompts share, with each other and with earlier ones, and have its cache ready."""
        first = prompts[0]
        common = min(shared_prefix(first, prompt) for prompt in prompts)
        common = min(common, *(len(prompt) - 1 for prompt in prompts))  # at least one token is left to read
        known = [p for p in self._prefixes if len(p) <= common and tuple(first[: len(p)]) == p]
        best = max(known, key=len, default=())
        # A beginning is worth keeping when several prompts here share it, or this prompt shares it with the one before.
        candidate = common if len(prompts) > 1 else min(common, shared_prefix(first, self._recent))
        self._recent = list(prompts[-1])
        if candidate >= MIN_PREFIX_TOKENS and candidate > len(best) + MIN_PREFIX_TOKENS // 2:
            ids = torch.tensor([first[len(best) : candidate]])
            mask = torch.ones(1, candidate, dtype=torch.bool)
            _, cache = self._forward(ids, mask, self._prefixes.get(best, []), keep=1)
            best = tuple(first[:candidate])
            self._prefixes[best] = cache
            while len(self._prefixes) > KEPT_PREFIXES:
                self._prefixes.popitem(last=False)
        if best:
            self._prefixes.move_to_end(best)
        return best

    def _admit(self, room: int) -> None:
        group = self._next_group(room)
        for row in group:
            self._waiting.remove(row)
        # Several samples of one prompt read it once.
        unique = {prompt: i for i, prompt in enumerate(dict.fromkeys(tuple(row.prompt) for row in group))}
        logits_BV, cache, mask_BT = self.prefill([list(prompt) for prompt in unique])
        if len(unique) < len(group):
            index = torch.tensor([unique[tuple(row.prompt)] for row in group])
            logits_BV, mask_BT = logits_BV[index], mask_BT[index]
            cache = [(k.index_select(0, index), v.index_select(0, index)) for k, v in cache]
        self._join(group, cache, mask_BT)
        self._write(logits_BV, first=len(self._rows) - len(group))

    def _next_group(self, room: int) -> list[Row]:
        """Choose waiting rows to read in one call: first come first served, alike at the beginning, bounded in size."""
        head = self._waiting[0]
        group, width, common = [head], len(head.prompt), len(head.prompt) - 1
        for row in self._waiting[1:]:
            if len(group) == room:
                break
            wider = max(width, len(row.prompt))
            alike = min(common, shared_prefix(head.prompt, row.prompt))
            if (wider - alike) * (len(group) + 1) > MAX_PREFILL_TOKENS:
                break
            if alike < MIN_PREFIX_TOKENS and abs(len(row.prompt) - len(head.prompt)) > len(head.prompt):
                continue  # a stranger of quite another length would only add padding
            group, width, common = [*group, row], wider, alike
        return group

    def _join(self, group: list[Row], cache: Cache, mask_BT: Tensor) -> None:
        """Put new rows under the running ones, padding the shorter cache on the left."""
        if self._rows:
            width = max(self._mask_BT.shape[1], mask_BT.shape[1])
            self._mask_BT = torch.cat([_pad_left(self._mask_BT, width), _pad_left(mask_BT, width)])
            self._cache = [
                (_under(k0, k1, width), _under(v0, v1, width))
                for (k0, v0), (k1, v1) in zip(self._cache, cache, strict=True)
            ]
        else:
            self._cache, self._mask_BT = cache, mask_BT
        self._rows += group
        self._last_B = torch.cat([self._last_B, torch.zeros(len(group), dtype=torch.long)])

    # -- writing -----------------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        mask_BT = torch.cat([self._mask_BT, torch.ones(len(self._rows), 1, dtype=torch.bool)], dim=1)
        logits_B1V, self._cache = self._forward(self._last_B[:, None], mask_BT, self._cache, keep=1)
        self._mask_BT = mask_BT  # only now: a forward pass that failed must leave mask and cache alike
        self._write(logits_B1V[:, -1], first=0)

    def _write(self, logits_BV: Tensor, first: int) -> None:
        """Pick the next token of the rows from `first` on, tell them, and let the finished ones leave."""
        for at, (row, logits_V) in enumerate(zip(self._rows[first:], logits_BV, strict=True), start=first):
            if row.dropped:  # by a neighbour's listener, a moment ago
                continue
            try:
                token = row.pick(logits_V)
                row.written.append(token)
                self._last_B[at] = token
                row.dropped = row.on_token(row, token) or len(row.written) >= row.max_new_tokens or row.dropped
            except Exception as error:  # one row's failure is data of that row
                row.dropped = True
                row.on_failure(error)
        self._drop()

    def _drop(self) -> None:
        """Let rows that are done leave, and columns that no row needs."""
        self._waiting = [row for row in self._waiting if not row.dropped]
        keep = [i for i, row in enumerate(self._rows) if not row.dropped]
        if len(keep) == len(self._rows):
            return
        self._rows = [self._rows[i] for i in keep]
        if not keep:
            self._cache, self._mask_BT = [], torch.zeros(0, 0, dtype=torch.bool)
            self._last_B = torch.zeros(0, dtype=torch.long)
            return
        index = torch.tensor(keep)
        self._mask_BT = self._mask_BT[index]
        self._last_B = self._last_B[index]
        columns = self._mask_BT.any(dim=0)
        narrow = columns.nonzero()[:, 0] if not bool(columns.all()) else None
        self._mask_BT = self._mask_BT if narrow is None else self._mask_BT[:, narrow]

        def select(tensor: Tensor) -> Tensor:
            tensor = tensor.index_select(0, index)
            return tensor if narrow is None else tensor.index_select(2, narrow)

        self._cache = [(select(k), select(v)) for k, v in self._cache]

    def continue_from(self, cache: Cache, mask_BT: Tensor, ids_BS: Tensor) -> Tensor:
        """Read right-padded continuations of prompts that were read before. Returns logits (B, S, V)."""
        mask = torch.cat([mask_BT, torch.ones_like(ids_BS, dtype=torch.bool)], dim=1)
        logits_BSV, _ = self._forward(ids_BS, mask, cache, keep=0)
        return logits_BSV

    def _forward(self, ids_BS: Tensor, mask_BT: Tensor, past: Cache, *, keep: int) -> tuple[Tensor, Cache]:
        """Run the model. `keep` is how many last positions get logits; 0 is all of them."""
        width = ids_BS.shape[1]
        positions_BS = (mask_BT.long().cumsum(dim=1) - 1).clamp_min(0)[:, -width:]
        started = time.perf_counter()
        cache = DynamicCache(past) if past else DynamicCache()
        out = self.model(
            input_ids=ids_BS,
            attention_mask=mask_BT.long(),
            position_ids=positions_BS,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=keep,
        )
        self.model_seconds += time.perf_counter() - started
        return out.logits, [(layer.keys, layer.values) for layer in out.past_key_values.layers]


def _pad_left(mask_BT: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(mask_BT, (width - mask_BT.shape[1], 0))


def _under(above: Tensor, below: Tensor, width: int) -> Tensor:
    return torch.cat([_pad_time(above, width), _pad_time(below, width)])


def _pad_time(tensor_BHTD: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(tensor_BHTD, (0, 0, width - tensor_BHTD.shape[2], 0))
