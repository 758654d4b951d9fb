"""Does it help to look twice? Every critique method on the same drafts, within the same number of tokens.

In: the weights, suites, cases per suite, tokens per case. Out: per method the score of draft and revision, what it
cost, and how many answers became better and worse, over all suites and on each; and how well the model tells its own
right answers from its wrong ones. Must not know which method ought to win.

The model answers each case once; every method gets that draft and the same budget of written tokens. Draft and
revision are read by the same reader (the named answer, or else the last number), so that only a better answer counts
and not a better form. No method sees the verifier, but for `refine`, which is a search with one: its row says what a
verifier is worth, and cannot get worse. What is finished is kept in a folder: a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

from sharpen import console
from sharpen.benchmarks import machine, publish, sources
from sharpen.config import SMOLLM2, Config, parse
from sharpen.critique.constitution import load_constitution
from sharpen.critique.gap import judged, weigh
from sharpen.critique.item import ACCEPTED, Item
from sharpen.critique.method import Scene
from sharpen.critique.methods import METHODS
from sharpen.critique.reading import final_answer
from sharpen.critique.tools import calculator
from sharpen.critique.viewpoints import load_perspectives
from sharpen.durable import write_text
from sharpen.errors import ConfigError
from sharpen.models.engine import Engine, Request
from sharpen.records import Case, Message, content_hash
from sharpen.stats import Interval, mean_interval, paired_difference
from sharpen.verify.cases import make_case
from sharpen.verify.scorers import last_number
from sharpen.verify.suites import Suite, load_suite

GYM = (
    "reasoning-gym:chain_sum?min_terms=2&max_terms=2&min_digits=1&max_digits=1",
    "reasoning-gym:letter_counting?min_words=2&max_words=3",
)
DATA = {"AddSub": "arith_wordproblems/AddSub.json", "SVAMP": "svamp/SVAMP.json"}
CASES, TOKENS = 32, 160  # chosen: what a small machine can measure in an hour; a chain of thought has some 50 tokens
BLOCK = 8  # chosen: cases of a suite that all methods see before the next; a kill loses one method's eight at most
MINUTES = 35.0  # chosen: no block is begun after them, so that a busy machine measures fewer cases and not for longer
ROUNDS = SAMPLES = 3  # chosen: a share of the budget is still a short chain of thought
GAP_TIMES = 2  # chosen: judging costs a fraction of revising, so the gap is measured on more answers
DRAFT_TOKENS = 96
FOLDER = Path(".sharpen") / "bench" / "critique"
VERSION = "base"
Row = dict[str, Any]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Bench:
    """How it is measured."""

    engine: Engine
    config: Config
    folder: Path
    cases: int
    tokens: int
    minutes: float = MINUTES
    few: Mapping[str, int] = field(default_factory=dict)  # suites that get another number of cases


@dataclass(frozen=True, slots=True)
class Asked:
    """A suite's cases with the model's own answers, and how sure it is of each, by case id."""

    suite: Suite
    cases: Sequence[Case]
    drafts: Sequence[str]
    sure: Mapping[str, float | None]


class Measured(TypedDict):
    """What was found."""

    methods: list[dict[str, object]]
    gap: list[dict[str, object]]


def measure(
    base: str = SMOLLM2,
    cases: int = CASES,
    tokens: int = TOKENS,
    folder: Path = FOLDER,
    specs: Sequence[str] = (),
    *,
    minutes: float = MINUTES,
    few: Mapping[str, int] | None = None,
) -> dict[str, object]:
    """Return the figures. `specs` are suites as in the configuration; without them, those that are at hand.

    `few` gives single suites another number of cases than `cases`.

    Raises: ConfigError, EngineError when base or suite is not there; MissingExtra.
    """
    from sharpen.models.transformers_engine import TransformersEngine

    # Looked at before it runs: that is what is measured.
    measured_on = sources() | {"machine": machine("torch", "transformers", "langgraph")}
    settings = {"max_tokens": tokens, "max_s": 3600.0, "rounds": ROUNDS, "samples": SAMPLES}
    config = parse({"base": base, "critique": settings})
    engine = TransformersEngine.open(config)
    engine.load(VERSION, None)
    bench = Bench(engine, config, folder, cases, tokens, minutes, few or {})
    suites = [load_suite(spec, size=GAP_TIMES * cases) for spec in specs or GYM]
    data = os.environ.get("SHARPEN_DATA")
    suites += [read_data(name, Path(data)) for name in DATA] if data and not specs else []
    try:
        with console.board() as board:
            measured = compare(bench, suites, board)
    finally:
        engine.close()
    return {
        "benchmark": "critique",
        "base": base,
        "tokens_per_case": tokens,
        "settings": settings,
        **measured,
        **measured_on,
    }


def compare(bench: Bench, suites: Sequence[Suite], on_progress: Progress = lambda name, done, total: None) -> Measured:
    """Return per method what became of all answers and of those of each suite; and the gap, per suite and over all.

    Goes through the suites block by block, so that every suite and method has the same cases whenever it ends. A block
    that is begun is finished; none is begun after the minutes are over.
    """
    left = {suite.name: bench.few.get(suite.name, bench.cases) for suite in suites}
    blocks = range(math.ceil(max(left.values()) / BLOCK))
    steps = sum(math.ceil(count / BLOCK) for count in left.values()) * (len(METHODS) + 1)
    done, started = 0, time.monotonic()
    on_progress("critique", done, steps)
    rows: dict[str, list[Row]] = {name: [] for name in METHODS}
    asked = []
    for block in blocks:
        if block and time.monotonic() - started > 60 * bench.minutes:
            break
        for suite in (one for one in suites if left[one.name] > 0):
            size = min(BLOCK, left[suite.name])
            left[suite.name] -= size
            ordered, first = sorted(suite.cases, key=lambda case: case.id), GAP_TIMES * block * BLOCK
            known = ordered[first : first + GAP_TIMES * size]
            drafts = _kept(bench, suite, known, "drafts", partial(_drafts, bench, known))
            sure = _kept(bench, suite, known, "judge", partial(_judged, bench, known, drafts))
            asked.append(Asked(suite, known, drafts, sure))
            on_progress("critique", done := done + 1, steps)
            for name in METHODS:
                made = partial(_row, bench, name, suite, known[:size], drafts[:size])
                rows[name].append(_kept(bench, suite, known[:size], name, made))
                on_progress("critique", done := done + 1, steps)
    return {
        "methods": [_summary(name, rows[name]) for name in METHODS],
        "gap": gaps(asked),
    }


def gaps(asked: Sequence[Asked]) -> list[dict[str, object]]:
    """Return how well the model tells its right drafts from its wrong ones: on each suite, and on all of them."""
    names = list(dict.fromkeys(one.suite.name for one in asked))
    told = []
    for name in [*names, *(["all"] if len(names) > 1 else [])]:
        group = [one for one in asked if name in (one.suite.name, "all")]
        owners = {case.id: ReadSuite(one.suite) for one in group for case in one.cases}
        cases = [case for one in group for case in one.cases]
        suite = Suite(name, tuple(cases), grader=partial(_graded, owners))
        drafts = [draft for one in group for draft in one.drafts]
        items = [Item(case.id, case.messages, draft) for case, draft in zip(cases, drafts, strict=True)]
        found = weigh(suite, cases, items, {known: sure for one in group for known, sure in one.sure.items()})
        told.append({**asdict(found), "allows_labels": found.allows_labels, "verdict": found.verdict})
    return told


def _graded(owners: Mapping[str, ReadSuite], case: Case, reply: str) -> tuple[float, None]:
    """Return what the suite of a case makes of a reply."""
    return owners[case.id].score(case, reply), None


def read_data(name: str, folder: Path) -> Suite:
    """Return a public set of word problems as a suite. Raises: ConfigError."""
    path = folder / DATA[name]
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        pairs = [_asked(row) for row in rows]
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", "check SHARPEN_DATA") from error
    cases = [make_case([Message(role="user", content=question)], answer, tier="dev") for question, answer in pairs]
    return Suite(name, tuple({case.id: case for case in cases}.values()), scorer="numeric")


def _asked(row: dict[str, Any]) -> tuple[str, str]:
    """Return question and answer of a row of AddSub or of SVAMP."""
    if "sQuestion" in row:
        return " ".join(row["sQuestion"].split()), str(row["lSolutions"][0])
    body = row["Body"].strip()
    return f"{body}{'' if body.endswith(('.', '?', '!')) else '.'} {row['Question'].strip()}", str(row["Answer"])


def _kept(bench: Bench, suite: Suite, cases: Sequence[Case], name: str, made: Callable[[], Any]) -> Any:
    """Return what is kept under this name for these cases and settings; make and keep it where there is nothing."""
    settings = bench.config.critique.model_dump()
    digest = content_hash((bench.engine.base_digest, suite.name, [case.id for case in cases], settings, DRAFT_TOKENS))
    path = bench.folder / suite.name / f"{name}-{digest}.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    found = made()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(found, indent=1))
    return found


def _drafts(bench: Bench, cases: Sequence[Case]) -> list[str]:
    """Return the model's own answers; kept, so that every method starts from the same ones."""
    replies = bench.engine.generate([Request(case.messages, DRAFT_TOKENS) for case in cases], VERSION)
    return [reply.text.strip() for reply in replies]


def _judged(bench: Bench, cases: Sequence[Case], drafts: Sequence[str]) -> dict[str, float | None]:
    """Return how sure the model is that each of its drafts is right."""
    method = METHODS["reflexion"](Scene.of(bench.config, bench.engine, VERSION))
    return judged(method, [Item(case.id, case.messages, draft) for case, draft in zip(cases, drafts, strict=True)])


def _row(bench: Bench, name: str, suite: Suite, cases: Sequence[Case], drafts: Sequence[str]) -> Row:
    method_type, read = METHODS[name], ReadSuite(suite)
    parts: dict[str, Any] = {"suite": read.suite, "tools": {"calculator": calculator}}
    parts["constitution"] = tuple(load_constitution().principle)
    parts["perspectives"] = tuple(load_perspectives().perspective)
    method = method_type(Scene.of(bench.config, bench.engine, VERSION, **parts))
    items = [
        Item(case.id, case.messages, draft, case=case if method_type.needs_verifier else None, choices=case.choices)
        for case, draft in zip(cases, drafts, strict=True)
    ]
    started = time.perf_counter()
    method.run(items)
    return {
        "suite": suite.name,
        "before": [read.score(case, item.draft) for case, item in zip(cases, items, strict=True)],
        "after": [read.score(case, item.revision or item.draft) for case, item in zip(cases, items, strict=True)],
        "tokens": [item.tokens for item in items],
        "prompt_tokens": [item.prompt_tokens for item in items],
        "stopped": dict(Counter(item.stop_reason for item in items)),
        "failed": sum(item.error is not None for item in items),
        "seconds": round(time.perf_counter() - started, 1),
    }


def _summary(name: str, rows: Sequence[Row]) -> dict[str, object]:
    """Return one method's figures over all suites, and under `suites` those of each."""
    total: dict[str, object] = {"name": name, "uses_verifier": METHODS[name].needs_verifier, **_figures(rows)}
    suites = {row["suite"]: [one for one in rows if one["suite"] == row["suite"]] for row in rows}
    return total | {"suites": [{"suite": suite, **_figures(those)} for suite, those in suites.items()]}


def _figures(rows: Sequence[Row]) -> dict[str, object]:
    before, after, tokens, read = (
        [one for row in rows for one in row[key]] for key in ("before", "after", "tokens", "prompt_tokens")
    )
    pairs = list(zip(before, after, strict=True))
    return {
        "draft": _interval(mean_interval(before)),
        "revision": _interval(mean_interval(after)),
        "gain": _interval(paired_difference(after, before), "difference"),
        "tokens": sum(tokens),
        "tokens_per_case": round(sum(tokens) / len(tokens), 1),
        "most_tokens": max(tokens),
        "prompt_tokens": sum(read),
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        "better_share": round(sum(new > old for old, new in pairs) / len(pairs), 4),
        "worse_share": round(sum(new < old for old, new in pairs) / len(pairs), 4),
        "stopped": dict(sum((Counter(row["stopped"]) for row in rows), Counter[str]())),
        "failed": sum(row["failed"] for row in rows),
    }


class ReadSuite:
    """A suite that reads an answer out of a reply before it scores it; what it cannot score counts as wrong."""

    def __init__(self, suite: Suite) -> None:
        self._suite = suite
        # `refine` verifies through a suite of its own kind: the same reader for everybody.
        self.suite = Suite(suite.name, suite.cases, grader=lambda case, reply: (self.score(case, reply), None))

    def score(self, case: Case, reply: str | None) -> float:
        """Return 1 for a right answer, else 0."""
        value, _ = self._suite.score(case, read_answer(reply or "", case.choices))
        return float(value is not None and value >= ACCEPTED)


def read_answer(text: str, choices: Sequence[str] = ()) -> str:
    """Return the answer that a reply names; else its last number; else the whole reply.

    >>> read_answer("So 3 + 4 makes 7 apples."), read_answer("Answer: 12 apples"), read_answer("blue")
    ('7', '12', 'blue')
    """
    named = final_answer(text, choices)
    if named is not None and choices:
        return named
    number = last_number(named if named is not None else text)
    if number is None:
        return named if named is not None else text.strip()
    return str(number.numerator) if number.denominator == 1 else f"{float(number):.10g}"


def _interval(found: Interval, name: str = "score") -> dict[str, float]:
    return {name: round(found.value, 4), "low": round(found.low, 4), "high": round(found.high, 4), "n": found.n}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default=SMOLLM2, help="the weights: model id, folder, GGUF file or package:NAME")
    parser.add_argument("--cases", type=int, default=CASES, help="cases per suite, at most")
    parser.add_argument("--few", action="append", default=[], metavar="SUITE=CASES", help="cases of one suite")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="begin no further cases after this time")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="tokens that a method may write per case")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where finished parts are kept")
    parser.add_argument("--suite", action="append", default=[], help="a suite; may be given several times")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    few = {name: int(count) for name, _, count in (one.partition("=") for one in given.few)}
    figures = measure(given.base, given.cases, given.tokens, given.folder, given.suite, minutes=given.minutes, few=few)
    publish(figures, given.json)


if __name__ == "__main__":
    main()
