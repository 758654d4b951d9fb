"""A cycle's page: signs of collapse, of judge hacking and of leaks, measured on what the evaluation left behind.

In: the target's Scores by arm, the training set, an engine that holds both versions, the suites. Out: a `Vital` per
sign; what cannot be measured says why. Must not know the order of the stages, or what follows from a sign.

Everything but KL is arithmetic on replies that are there already. Repeated, it gives the same page.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from sharpen.errors import SharpenError
from sharpen.evaluation import collapse
from sharpen.evaluation.arms import CHALLENGER, CHAMPION, FIRST
from sharpen.models.engine import Engine, Prompt, Request
from sharpen.records import Case, Example, Score, Vital
from sharpen.verify.cases import CHOICE_KINDS
from sharpen.verify.contamination import canary_hits, contamination
from sharpen.verify.generators import GENERATOR
from sharpen.verify.scorers import find_scorer, grade
from sharpen.verify.suites import Suite

KL_PROMPTS = 16  # chosen: some seconds of a small model; the standard error is on the page
KL_TOKENS = 32  # chosen: where versions differ, they differ early
LEAST_REPLIES = 4  # chosen: fewer replies than this say nothing
_TEXTS = ("exact", "contains_one")  # scorers whose reference is a reply

Arms = Mapping[str, Sequence[Score]]


def check_up(
    suite: Suite,
    arms: Arms,
    examples: Sequence[Example],
    *,
    engine: Engine,
    measured: Iterable[Suite],
    marks: Iterable[str],
    held_out_scorer: str,
    seed: int = 0,
) -> list[Vital]:
    """Return the page of a challenger. `arms` holds the target's Scores of challenger, champion and first version.

    `measured` are all suites that decide, `marks` their canaries. The engine holds challenger and first version.
    """
    now, first = arms.get(CHALLENGER, ()), arms.get(FIRST, ())
    cases = {case.id: case for case in suite.cases}
    pairs = _both(first, now)
    before, after = [one.reply or "" for one, _ in pairs], [two.reply or "" for _, two in pairs]
    references = _references(suite, [cases[one.case_id] for one, _ in pairs if one.case_id in cases])
    texts = [*(_said(one) for one in examples), *after]
    return [
        *collapse.diversity(before, after, references),
        collapse.length(before, after, references),
        collapse.real_data(examples),
        _drift(engine, [cases[one.case_id] for one, _ in pairs if one.case_id in cases], now, first, seed),
        _hacking(arms.get(CHAMPION, ()), now, cases, held_out_scorer),
        *(collapse.leaks(contamination(examples, one.name, one.cases)) for one in measured),
        collapse.canaries(len({place for mark in marks for place in canary_hits(texts, mark)}), len(texts)),
    ]


def kl_to_first(
    engine: Engine, prompts: Sequence[Prompt], now_id: str, first_id: str, *, seed: int = 0
) -> tuple[tuple[float, float] | None, str]:
    """Return KL of one version to another with its standard error, or None, and what it stands on.

    Replies are sampled at temperature 1, and cut after KL_TOKENS tokens: KL of the first tokens, then. Their words are
    encoded anew, so that a reply counts as a text, whatever its tokens were.
    """
    requests = [
        Request(prompt, max_new_tokens=KL_TOKENS, temperature=1.0, seed=seed + place)
        for place, prompt in enumerate(prompts)
    ]
    written = engine.generate(requests, now_id)
    sums: list[tuple[float, float, int]] = []
    for reason, end in (("stop", 1), ("length", 0)):  # a reply that ended has the end of its turn as a token
        of = [place for place, one in enumerate(written) if one.finish_reason == reason and (end or one.text)]
        asked, said = [prompts[place] for place in of], [[written[place].text] for place in of]
        rows = [engine.logprobs(asked, said, one, ended=bool(end)) if of else [] for one in (now_id, first_id)]
        for place, mine, theirs in zip(of, *rows, strict=True):
            if math.isfinite(mine[0]) and math.isfinite(theirs[0]):
                sums.append((mine[0], theirs[0], written[place].completion_tokens + end))
    note = f"on {len(sums)} of {len(prompts)} replies, up to {KL_TOKENS} tokens of each"
    if len(sums) < LEAST_REPLIES:
        return None, f"only {note.removeprefix('on ')}"
    now, first, tokens = zip(*sums, strict=True)
    return collapse.kl_per_token(now, first, tokens), note


def _drift(
    engine: Engine, cases: Sequence[Case], now: Sequence[Score], first: Sequence[Score], seed: int
) -> Vital:  # fmt: skip
    prompts = [case.messages for case in cases if case.kind != "dialogue"][:KL_PROMPTS]
    if not prompts or not now or not first:
        return collapse.drift(None, "there are no replies of both versions")
    try:
        kl, note = kl_to_first(engine, prompts, now[0].version_id, first[0].version_id, seed=seed)
    except SharpenError as error:  # a page that lacks a number must not cost the cycle
        return collapse.drift(None, error.what)
    return collapse.drift(kl, note)


def _hacking(champion: Sequence[Score], now: Sequence[Score], cases: Mapping[str, Case], name: str) -> Vital:
    """Score the replies of both versions once more, with a scorer that training never used."""
    trained, held_out = [], []
    try:
        scorer = find_scorer(name)
    except SharpenError as error:
        return collapse.hacking([], [], error.what)
    for old, new in _both(champion, now):
        case = cases.get(new.case_id)
        if case is None or old.value is None or new.value is None:
            continue
        values = [grade(scorer, one.reply, case.reference, case.choices, case.messages)[0] for one in (old, new)]
        if values[0] is not None and values[1] is not None:
            trained.append(new.value - old.value)
            held_out.append(values[1] - values[0])
    note = f"held out: {name}, on {len(trained)} cases" if len(trained) > 1 else f"{name} scores too few of these cases"
    return collapse.hacking(trained, held_out, note)


def _both(first: Sequence[Score], now: Sequence[Score]) -> list[tuple[Score, Score]]:
    """Return the Scores of cases that both answered, so that both sides have equal amounts of text."""
    ours = {score.case_id: score for score in now if score.reply is not None}
    return [(one, ours[one.case_id]) for one in first if one.reply is not None and one.case_id in ours]


def _references(suite: Suite, cases: Sequence[Case]) -> list[str]:
    """Return the right answers of cases where a right answer is a reply; none where it is a pattern or a number."""

    def is_reply(name: str) -> bool:
        return name in (*_TEXTS, *CHOICE_KINDS) or name.startswith(GENERATOR)

    if not all(case.reference and is_reply(suite.scorer_of(case)) for case in cases):
        return []
    return [case.reference for case in cases]


def _said(example: Example) -> str:
    return "\n".join([*(turn.content for turn in example.messages), example.chosen or "", example.rejected or ""])
