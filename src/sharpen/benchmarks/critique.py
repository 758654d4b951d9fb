"""Does it help to look twice? Every critique method on the same drafts, within the same number of tokens.

In: the weights, suites, cases per suite, tokens per case. Out: per method and suite the score of draft and revision,
what it cost, and how many answers became better and worse. Must not know which method ought to win.

The model answers each case once; every method gets that draft and the same budget of written tokens. Draft and
revision are read by the same reader (the named answer, or else the last number), so that only a better answer counts
and not a better form. No method sees the verifier, but for `refine`, which is a search with one: its row says what a
verifier is worth, and cannot get worse. What is finished is kept in a folder: a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sharpen import console
from sharpen.benchmarks import publish
from sharpen.config import SMOLLM2, Config, parse
from sharpen.critique.constitution import load_constitution
from sharpen.critique.item import ACCEPTED, Item
from sharpen.critique.method import Scene
from sharpen.critique.methods import METHODS
from sharpen.critique.reading import final_answer
from sharpen.critique.tools import calculator
from sharpen.durable import write_text
from sharpen.errors import ConfigError
from sharpen.models.engine import Engine, Request
from sharpen.records import Case, Message, content_hash
from sharpen.stats import mean_interval
from sharpen.verify.cases import make_case
from sharpen.verify.scorers import last_number
from sharpen.verify.suites import Suite, load_suite

GYM = (
    "reasoning-gym:chain_sum?min_terms=2&max_terms=2&min_digits=1&max_digits=1",
    "reasoning-gym:letter_counting?min_words=2&max_words=3",
)
DATA = {"AddSub": "arith_wordproblems/AddSub.json", "SVAMP": "svamp/SVAMP.json"}
CASES, TOKENS = 100, 512  # chosen: shares are known to about 10 points; a budget of three long steps
DRAFT_TOKENS = 96
BATCH = 32
FOLDER = Path(".sharpen") / "bench" / "critique"
VERSION = "base"


@dataclass(frozen=True, slots=True)
class Bench:
    """How it is measured."""

    engine: Engine
    config: Config
    folder: Path
    cases: int
    tokens: int


def measure(
    base: str = SMOLLM2, cases: int = CASES, tokens: int = TOKENS, folder: Path = FOLDER, specs: Sequence[str] = ()
) -> dict[str, object]:
    """Return the figures. `specs` are suites as in the configuration; without them, those that are at hand.

    Raises: ConfigError, EngineError when base or suite is not there; MissingExtra.
    """
    from sharpen.models.transformers_engine import TransformersEngine

    config = parse({"base": base, "critique": {"max_tokens": tokens, "max_s": 3600.0, "rounds": 3, "samples": 4}})
    engine = TransformersEngine.open(config)
    engine.load(VERSION, None)
    bench = Bench(engine, config, folder, cases, tokens)
    suites = [load_suite(spec, size=cases) for spec in specs or GYM]
    data = os.environ.get("SHARPEN_DATA")
    suites += [read_data(name, Path(data)) for name in DATA] if data and not specs else []
    try:
        rows = list(compare(bench, suites))
    finally:
        engine.close()
    return {
        "benchmark": "critique",
        "base": base,
        "cases_per_suite": cases,
        "tokens_per_case": tokens,
        "methods": rows,
    }


def compare(bench: Bench, suites: Sequence[Suite]) -> Iterable[dict[str, object]]:
    """Yield a row per suite and method, and say how far it is."""
    started, total, done, measured = time.monotonic(), len(suites) * len(METHODS), 0, 0
    for suite in suites:
        cases = sorted(suite.cases, key=lambda case: case.id)[: bench.cases]
        drafts: list[str] | None = None
        for name in METHODS:
            path = bench.folder / suite.name / f"{name}-{_key(bench, suite, cases)}.json"
            if path.exists():
                row: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
            else:
                drafts = drafts if drafts is not None else _drafts(bench, suite, cases)
                row = _row(bench, name, suite, cases, drafts)
                path.parent.mkdir(parents=True, exist_ok=True)
                write_text(path, json.dumps(row, indent=1))
                measured += 1
            done += 1
            pace_s = (time.monotonic() - started) / max(1, measured)
            left_s = (total - done) * pace_s if measured else 0.0
            console.err.print(f"{done}/{total}  {name} on {suite.name}  about {left_s / 60:.0f} min left")
            yield row


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


def _key(bench: Bench, suite: Suite, cases: Sequence[Case]) -> str:
    settings = bench.config.critique.model_dump()
    return content_hash(
        (bench.engine.base_digest, suite.name, [case.id for case in cases], settings, DRAFT_TOKENS, BATCH)
    )


def _drafts(bench: Bench, suite: Suite, cases: Sequence[Case]) -> list[str]:
    """Return the model's own answers; kept, so that every method starts from the same ones."""
    path = bench.folder / suite.name / f"drafts-{_key(bench, suite, cases)}.json"
    if path.exists():
        kept: list[str] = json.loads(path.read_text(encoding="utf-8"))
        return kept
    replies = bench.engine.generate([Request(case.messages, DRAFT_TOKENS) for case in cases], VERSION)
    drafts = [reply.text.strip() for reply in replies]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(drafts, indent=1))
    return drafts


def _row(bench: Bench, name: str, suite: Suite, cases: Sequence[Case], drafts: Sequence[str]) -> dict[str, object]:
    method_type, read = METHODS[name], ReadSuite(suite)
    parts: dict[str, Any] = {"suite": read.suite, "tools": {"calculator": calculator}}
    parts["constitution"] = tuple(load_constitution().principle)
    method = method_type(Scene.of(bench.config, bench.engine, VERSION, **parts))
    items = [
        Item(case.id, case.messages, draft, case=case if method_type.needs_verifier else None, choices=case.choices)
        for case, draft in zip(cases, drafts, strict=True)
    ]
    started = time.perf_counter()
    for first in range(0, len(items), BATCH):
        method.run(items[first : first + BATCH])
    pairs = [
        (read.score(case, item.draft), read.score(case, item.revision or item.draft))
        for case, item in zip(cases, items, strict=True)
    ]
    before, after = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    written = sum(item.tokens for item in items)
    return {
        "name": name,
        "suite": suite.name,
        "uses_verifier": method_type.needs_verifier,
        "draft": _interval(before),
        "revision": _interval(after),
        "tokens": written,
        "tokens_per_case": round(written / len(items), 1),
        "prompt_tokens": sum(item.prompt_tokens for item in items),
        "seconds": round(time.perf_counter() - started, 1),
        "better_share": round(sum(new > old for old, new in pairs) / len(pairs), 4),
        "worse_share": round(sum(new < old for old, new in pairs) / len(pairs), 4),
        "failed": sum(item.error is not None for item in items),
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


def _interval(scores: Sequence[float]) -> dict[str, float]:
    found = mean_interval(scores)
    return {"score": round(found.value, 4), "low": round(found.low, 4), "high": round(found.high, 4), "n": found.n}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default=SMOLLM2, help="the weights: model id, folder, GGUF file or package:NAME")
    parser.add_argument("--cases", type=int, default=CASES, help="cases per suite")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="tokens that a method may write per case")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where finished parts are kept")
    parser.add_argument("--suite", action="append", default=[], help="a suite; may be given several times")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    publish(measure(given.base, given.cases, given.tokens, given.folder, given.suite), given.json)


if __name__ == "__main__":
    main()
