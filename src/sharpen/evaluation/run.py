"""A version answers a suite's cases, and every answer becomes a Score.

In: an engine, a suite's tier, an arm. Out: Score records, in the store and returned. Must not know what is decided on
them. What is already in the store for this evaluation and arm is not generated again: a step that was killed goes on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from sharpen.evaluation.arms import Arm
from sharpen.failpoints import failpoint
from sharpen.models.engine import Engine, Request
from sharpen.records import Case, Score, content_hash
from sharpen.store import Store
from sharpen.verify.pairing import Pairs, pair, summary
from sharpen.verify.suites import Suite

__all__ = ["Pairs", "evaluate", "evaluate_choices", "pair", "summary"]

Progress = Callable[[int, int], None]
Answer = tuple[float | None, str | None, str | None]  # value, why there is none, reply

CHUNK = 64  # chosen: twice the engine's default rows keeps it full; a killed evaluation loses no more than this


def evaluate(
    engine: Engine,
    store: Store,
    suite: Suite,
    tier: str,
    arm: Arm,
    *,
    evaluation_id: str,
    max_new_tokens: int,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> list[Score]:
    """Answer every case of a tier greedily, grade the answers, and return their Scores in the suite's order.

    A failed generation is a Score without a value. A suite graded by choice goes to `evaluate_choices`.
    Raises: EngineError when the version is not loaded; StoreError; ConfigError when there is no such tier.
    """
    if suite.by_choice:
        return evaluate_choices(engine, store, suite, tier, arm, evaluation_id=evaluation_id, on_progress=on_progress)

    def answer(cases: Sequence[Case]) -> list[Answer]:
        requests = [Request(arm.prompt(case.messages), max_new_tokens=max_new_tokens, seed=seed) for case in cases]
        answers: list[Answer] = []
        for case, generation in zip(cases, engine.generate(requests, arm.version_id), strict=True):
            if generation.finish_reason in ("error", "cancelled"):
                answers.append((None, generation.error or f"generation was {generation.finish_reason}", None))
            else:
                answers.append((*suite.score(case, generation.text), generation.text))
        return answers

    return _scored(store, suite, tier, arm, answer, evaluation_id=evaluation_id, on_progress=on_progress)


def evaluate_choices(
    engine: Engine,
    store: Store,
    suite: Suite,
    tier: str,
    arm: Arm,
    *,
    evaluation_id: str,
    normalise: bool = False,
    on_progress: Progress | None = None,
) -> list[Score]:
    """Let the likeliest choice be the answer, and return the Scores in the suite's order.

    A choice's score is the sum of its tokens' log-probabilities: the log of the chance that the model writes exactly
    that text, so that choices are compared as events. The sum favours short choices; `normalise` divides it by the
    choice's UTF-8 bytes where lengths differ much. The reference must beat every other choice: a tie is not an answer.
    Source: Gao et al., lm-evaluation-harness, `acc` and `acc_norm` of multiple_choice.
    """

    def answer(cases: Sequence[Case]) -> list[Answer]:
        prompts = [arm.prompt(case.messages) for case in cases]
        rows = engine.logprobs(prompts, [case.choices for case in cases], arm.version_id)
        return [_chosen(case, row, normalise) for case, row in zip(cases, rows, strict=True)]

    return _scored(store, suite, tier, arm, answer, evaluation_id=evaluation_id, on_progress=on_progress)


def _chosen(case: Case, logprobs: Sequence[float], normalise: bool) -> Answer:
    if len(case.choices) < 2:
        return None, "the case has fewer than two choices", None
    if len(logprobs) != len(case.choices) or any(math.isnan(value) for value in logprobs):
        return None, "the engine gave no log-probability for a choice", None
    weights = [
        value / len(choice.encode()) if normalise else value
        for choice, value in zip(case.choices, logprobs, strict=True)
    ]
    best = max(weights)
    likeliest = [choice for choice, weight in zip(case.choices, weights, strict=True) if weight == best]
    return float(likeliest == [case.reference]), None, likeliest[0]


def _scored(
    store: Store,
    suite: Suite,
    tier: str,
    arm: Arm,
    answer: Callable[[Sequence[Case]], list[Answer]],
    *,
    evaluation_id: str,
    on_progress: Progress | None,
) -> list[Score]:
    """Answer what the store does not hold yet, chunk by chunk, and return everything."""
    cases = suite.tier(tier)
    ids = {
        case.id: f"scr_{content_hash([evaluation_id, suite.name, arm.name, arm.version_id, case.id])}" for case in cases
    }
    done = {score.id: score for score in store.find(Score, subjects=[evaluation_id])}
    waiting = [case for case in cases if ids[case.id] not in done]
    for start in range(0, len(waiting), CHUNK):
        chunk = waiting[start : start + CHUNK]
        scores = [
            Score(
                id=ids[case.id],
                evaluation_id=evaluation_id,
                arm=arm.name,
                version_id=arm.version_id,
                suite=suite.name,
                tier=tier,
                scorer=suite.scorer_of(case),
                case_id=case.id,
                cluster=case.cluster,
                value=value,
                reason=reason,
                reply=reply,
            )
            for case, (value, reason, reply) in zip(chunk, answer(chunk), strict=True)
        ]
        store.append(*scores)
        failpoint("evaluation.chunk")
        done.update((score.id, score) for score in scores)
        if on_progress:
            on_progress(len(cases) - len(waiting) + start + len(chunk), len(cases))
    return [done[ids[case.id]] for case in cases]
