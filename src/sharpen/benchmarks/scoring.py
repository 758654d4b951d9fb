"""What measuring costs beside the model and the scorer: our evaluation against a bare loop, and the gate's arithmetic.

In: nothing. Out: figures of both, and their ratio. Must not know who reads them.

The gate's promise is a decision on 10,000 cases, four versions and five scorers within 5 s and 1 GB.

The evaluation's promise is a ratio of at most 1.10. The bare loop asks the engine for the answers, chunk by chunk, and
calls the scorer's function; ours also makes a Score of each answer, keeps the answer and writes the Score to the store.
What that adds is measured on its own, with the answers at hand, since it is less than the noise of a model's seconds:
the ratio is (model + scorer + what we add) ÷ (model + scorer). The model is a random one of a million parameters, which
answers some hundred times faster than one that is of use, so that with a real model the ratio is nearer to 1. The last
figures leave the model out: scorers on the same replies, called bare, and through `Suite.score`, which catches what a
scorer raises and refuses what is no score. Time is the processor's, and the best round counts: other programs do not.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from sharpen.benchmarks import machine
from sharpen.evaluation import run
from sharpen.evaluation.arms import Arm
from sharpen.evaluation.cache import GenerationCache
from sharpen.evaluation.run import Evaluator
from sharpen.models.engine import Generation, Request
from sharpen.promotion.rehearsal.bulk import ARMS, cost, decision
from sharpen.promotion.rehearsal.bulk import SCORERS as SUITES
from sharpen.records import Message
from sharpen.store import Store
from sharpen.testing import ScriptedEngine, tiny_model
from sharpen.verify.cases import make_case
from sharpen.verify.scorers import find_scorer
from sharpen.verify.suites import Suite

PROMISE, SECONDS, BYTES = 1.10, 5.0, 10**9
GATE_CASES = 10_000
ROUNDS = 3
CASES = 128
NEW_TOKENS = 12
REPLY = "First I add the two numbers, then I take away what was given back, so the answer is {}."
SCHEMA = '{"type": "object", "required": ["answer"], "properties": {"answer": {"type": "integer"}}}'
# scorer, reply, reference, choices
SCORERS = (
    ("exact", "{}", "{}", ()),
    ("numeric", REPLY, "{}", ()),
    ("contains_one", REPLY, "{}", ("{}", "{}00", "none")),
    ("pattern", REPLY, r"answer is \d+\.", ()),
    ("json_schema", '{{"answer": {}}}', SCHEMA, ()),
)


class _AtHand(ScriptedEngine):
    """An engine that has every answer at hand."""

    def __init__(self, answers: dict[str, Generation]) -> None:
        super().__init__()
        self._answers = answers

    def generate(self, requests: Sequence[Request], version_id: str) -> list[Generation]:
        """Return the answers that the model gave."""
        return [self._answers[request.messages[-1].content] for request in requests]


def measure(rounds: int = ROUNDS, cases: int = CASES, gate_cases: int = GATE_CASES) -> dict[str, object]:
    """Return the figures. Raises: MissingExtra when torch is not installed."""
    with tempfile.TemporaryDirectory() as folder:
        model_s, bare_s, ours_s = _evaluation(Path(folder), rounds, cases)
    alone = {name: _scorer(name, reply, reference, choices, rounds) for name, reply, reference, choices in SCORERS}
    gate = cost(decision(gate_cases))
    return machine("numpy", "scipy", "torch") | {
        "benchmark": "scoring",
        "cases": cases,
        "ratio": round((model_s + ours_s) / (model_s + bare_s), 3),
        "promised_ratio": PROMISE,
        "model_ms_per_case": round(1e3 * model_s / cases, 3),
        "scorer_ms_per_case": round(1e3 * bare_s / cases, 3),
        "ours_ms_per_case": round(1e3 * ours_s / cases, 3),
        "without_model_us": {
            name: {"bare": round(1e6 * bare, 1), "ours": round(1e6 * ours, 1)} for name, (bare, ours) in alone.items()
        },
        "gate": {
            "cases": gate_cases,
            "versions": len(ARMS),
            "scorers": len(SUITES),
            "comparisons": gate.comparisons,
            "seconds": round(gate.seconds, 2),
            "promised_seconds": SECONDS,
            "peak_bytes": gate.peak_bytes,
            "promised_bytes": BYTES,
        },
    }


def _evaluation(folder: Path, rounds: int, count: int) -> tuple[float, float, float]:
    """Return the best seconds of the model alone, of the bare loop with the answers at hand, and of ours with them."""
    from sharpen.models.transformers_engine import TransformersEngine

    cases = tuple(
        make_case([Message(role="user", content=f"How much is {n} + {n + 1}?")], str(2 * n + 1), tier="gate")
        for n in range(count)
    )
    suite, arm, scorer = Suite("sums", cases, scorer="numeric"), Arm("champion", "base"), find_scorer("numeric")
    requests = [Request(case.messages, max_new_tokens=NEW_TOKENS) for case in cases]
    model = TransformersEngine(tiny_model(folder / "tiny", texts=[REPLY]))
    model.load("base", None)
    answers = model.generate(requests, "base")
    at_hand = _AtHand({case.messages[-1].content: answer for case, answer in zip(cases, answers, strict=True)})
    store = Store.open(f"sqlite:///{folder / 'store.db'}")

    def bare() -> None:
        for start in range(0, count, run.CHUNK):
            chunk = slice(start, start + run.CHUNK)
            for case, answer in zip(cases[chunk], at_hand.generate(requests[chunk], "base"), strict=True):
                scorer(answer.text, case.reference)

    def ours(name: str) -> None:
        cache = GenerationCache(folder / f"{name}.db", 1 << 28)
        Evaluator(at_hand, store, max_new_tokens=NEW_TOKENS, cache=cache).evaluate(suite, "gate", arm, f"evl_{name}")

    turns = [
        (_timed(partial(model.generate, requests, "base")), _timed(bare), _timed(partial(ours, f"{turn}")))
        for turn in range(rounds)
    ]
    return min(turn[0] for turn in turns), min(turn[1] for turn in turns), min(turn[2] for turn in turns)


def _scorer(name: str, reply: str, reference: str, choices: tuple[str, ...], rounds: int) -> tuple[float, float]:
    """Return the seconds per reply: the bare function, and through the suite."""
    function = find_scorer(name)
    items = [
        (
            make_case(
                [Message(role="user", content=f"{name} {n}")],
                reference.format(n) if reference != SCHEMA else reference,
                choices=[choice.format(n) for choice in choices],
            ),
            reply.format(n),
        )
        for n in range(200)
    ]
    suite = Suite(name, tuple(case for case, _ in items), scorer=name)
    more = [{"choices": case.choices} if choices else {} for case, _ in items]

    def bare() -> None:
        for (case, text), given in zip(items, more, strict=True):
            function(text, case.reference, **given)

    def ours() -> None:
        for case, text in items:
            suite.score(case, text)

    bare()  # both have been warm once before the clock starts
    ours()
    turns = [(_timed(bare), _timed(ours)) for _ in range(rounds)]
    return min(one for one, _ in turns) / len(items), min(other for _, other in turns) / len(items)


def _timed(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    from sharpen.benchmarks import publish

    publish(measure(), None)
