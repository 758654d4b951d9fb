"""Turn what was said of one prompt into finds.

In: the exchanges of a prompt. Out: its finds, the strongest evidence about each trace first, and what taught nothing.
Must not know which finds survive the filters.

A person's correction is the strongest evidence; the model's own answer counts only where a verifier accepted it, or a
person liked it and no verifier refused it. Beside what each trace teaches stand the pairs that several answers to the
same prompt make. A bad rating alone says what is wrong, not what is right: it is kept only for methods that can use it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sharpen.config import CurationSection
from sharpen.curation.mining.comparisons import comparisons
from sharpen.curation.mining.corrections import corrected
from sharpen.curation.mining.evidence import Exchange
from sharpen.curation.mining.find import Drop, Find, Miner
from sharpen.curation.mining.own_answers import own_answer
from sharpen.curation.mining.rated import disliked
from sharpen.curation.mining.samples import pass_rate, samples
from sharpen.curation.mining.siblings import siblings
from sharpen.records import Origin

MINERS: dict[str, Miner] = {  # pairs and ratings: what the answers to one prompt say together
    "comparisons": comparisons,
    "siblings": siblings,
    "samples": samples,
    "ratings": disliked,
}


class Mined(NamedTuple):
    """A find with the prompt it belongs to, and the place of the first trace behind it.

    `source` is who said it first, `pass_rate` the share of the prompt's verified answers that were right.
    """

    seq: int
    prompt: str
    version: str
    find: Find
    source: str | None = None
    pass_rate: float | None = None


def mine(groups: Iterable[Sequence[Exchange]], settings: CurationSection) -> tuple[list[Mined], list[Drop]]:
    """Return the finds in the order of the traces that they rest on, and the traces that taught nothing, with reasons.

    A trace that nobody spoke of is not counted. Reasons: failed, erased, contradicting (people or verifiers disagree
    and nobody wins), empty (nothing but white space to learn), no_answer (nothing says what is right), other_prompt
    (two answers to different questions were compared), and merged (the same prompt and answer as an earlier trace: its
    evidence is added to that find).
    """
    mined: list[Mined] = []
    dropped: list[Drop] = []
    for group in groups:
        found, lost = _of_prompt(group, settings)
        mined += found
        dropped += lost
    mined.sort(key=lambda one: one.seq)  # stable: finds of one trace keep their order
    return mined, dropped


def _of_prompt(group: Sequence[Exchange], settings: CurationSection) -> tuple[list[Mined], list[Drop]]:
    found: dict[tuple[str | None, str | None, Origin], Mined] = {}
    dropped: list[Drop] = []
    usable = []
    for one in group:
        reason = "failed" if one.failed else "erased" if one.erased else None
        if reason is None:
            usable.append(one)
        elif one.said or one.thought:
            dropped.append(Drop(one.id, reason))
    for one in usable:
        if not one.said and not one.thought:
            continue  # it is here because another answer was compared with it
        find = _of_trace(one, settings)
        if isinstance(find, Drop):
            dropped.append(find)
            continue
        key: tuple[str | None, str | None, Origin] = (find.chosen, None, find.origin)
        if key in found:
            dropped.append(Drop(one.id, "merged"))
            found[key] = found[key]._replace(find=_merged(found[key].find, find))
        else:
            found[key] = Mined(one.seq, one.prompt, one.version, find)
    by_id = {one.id: one for one in usable}
    for miner in MINERS.values():
        for find in miner(usable, settings):
            if isinstance(find, Drop):
                dropped.append(find)
                continue
            key = (find.chosen, find.rejected, find.origin)
            first = by_id[find.evidence[0]]
            mined = Mined(first.seq, first.prompt, first.version, find)
            found[key] = found[key]._replace(find=_merged(found[key].find, find)) if key in found else mined
    used = {name for one in found.values() for name in one.find.evidence}
    sources = {said.id: said.source for one in usable for said in one.said}
    rate = pass_rate(usable)
    mined_all = [
        one._replace(source=next(filter(None, map(sources.get, one.find.evidence)), None), pass_rate=rate)
        for one in found.values()
    ]
    return mined_all, [one for one in dropped if one.reason == "merged" or one.id not in used]


def _of_trace(one: Exchange, settings: CurationSection) -> Find | Drop:
    """Return what the trace teaches, the strongest evidence first, or why it teaches nothing."""
    corrections = [said for said in one.said if said.correction is not None]
    if settings.corrections and corrections:
        return corrected(one, corrections)
    return own_answer(one) if settings.own_answers else Drop(one.id, "no_answer")


def _merged(first: Find, second: Find) -> Find:
    """Return one find on the evidence of both. The margin is that of the first: it was there before."""
    evidence = tuple(dict.fromkeys(first.evidence + second.evidence))
    return first._replace(rejected=first.rejected or second.rejected, evidence=evidence)
