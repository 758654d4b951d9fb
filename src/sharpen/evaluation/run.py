"""A version answers a suite's cases, and every answer becomes a Score.

In: an engine, a suite's tier, an arm. Out: Score records, in the store and returned. Must not know what is decided on
them. What is already in the store for this evaluation and arm is not asked again: a step that was killed goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sharpen.evaluation.answers import Answered, Answers
from sharpen.evaluation.arms import Arm
from sharpen.evaluation.cache import GenerationCache
from sharpen.failpoints import failpoint
from sharpen.models.engine import Engine
from sharpen.records import Case, Score, content_hash
from sharpen.store import Store
from sharpen.verify.cases import CHOICE_KINDS
from sharpen.verify.pairing import Pairs, pair, summary
from sharpen.verify.suites import Suite

__all__ = ["Evaluator", "Pairs", "pair", "summary"]

Progress = Callable[[int, int], None]

CHUNK = 64  # chosen: twice the engine's default rows keeps it full; a killed evaluation loses no more than this


class Evaluator:
    """Measures arms on suites, always in the same way, so that what it measured can be compared."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        *,
        max_new_tokens: int,
        seed: int = 0,
        cache: GenerationCache | None = None,
    ) -> None:
        self._store = store
        self._answers = Answers(engine, max_new_tokens=max_new_tokens, seed=seed, cache=cache)

    def evaluate(
        self, suite: Suite, tier: str, arm: Arm, evaluation_id: str, on_progress: Progress | None = None
    ) -> list[Score]:
        """Answer every case of a tier greedily, grade the answers, and return their Scores in the suite's order.

        A failed generation is a Score without a value. Raises: EngineError when the version is not loaded; StoreError;
        ConfigError when there is no such tier.
        """
        cases = suite.tier(tier)
        prefix = [evaluation_id, suite.name, arm.name, arm.version_id]
        ids = {case.id: f"{Score.prefix}_{content_hash([*prefix, case.id])}" for case in cases}
        done = {score.id: score for score in self._store.find(Score, subjects=[evaluation_id])}
        waiting = [case for case in cases if ids[case.id] not in done]
        for start in range(0, len(waiting), CHUNK):
            chunk = waiting[start : start + CHUNK]
            scores = [
                _score((ids[case.id], evaluation_id), suite, arm, case, answered)
                for case, answered in zip(chunk, self._answers.of(arm, chunk), strict=True)
            ]
            self._store.append(*scores)
            failpoint("evaluation.chunk")
            done.update((score.id, score) for score in scores)
            if on_progress:
                on_progress(len(cases) - len(waiting) + start + len(chunk), len(cases))
        return [done[ids[case.id]] for case in cases]


def _score(names: tuple[str, str], suite: Suite, arm: Arm, case: Case, answered: Answered) -> Score:
    """Grade one answer; `names` are the Score's id and its evaluation's."""
    if answered.error is not None:
        value, reason, reply = None, answered.error, None
    elif case.kind in CHOICE_KINDS:
        reply, is_right = likeliest(case, answered.logprobs)
        value, reason = float(is_right), None
    else:
        reply = answered.reply
        value, reason = suite.score(case, reply)
    return Score(
        id=names[0],
        evaluation_id=names[1],
        arm=arm.name,
        version_id=arm.version_id,
        suite=suite.name,
        tier=case.tier,
        scorer=suite.scorer_of(case),
        case_id=case.id,
        cluster=case.cluster,
        value=value,
        reason=reason,
        reply=reply,
        groups=case.groups,
        logprobs=answered.logprobs,
    )


def likeliest(case: Case, logprobs: Sequence[float]) -> tuple[str, bool]:
    """Return the likeliest choice, and whether it is the reference alone: a tie is not an answer.

    A choice's score is the sum of its tokens' log-probabilities (nats): the log of the chance that the model writes
    exactly that text, so that choices are compared as events. The sum favours short choices; the kind `choice_norm`
    divides it by the choice's UTF-8 bytes, for choices that differ much in length.
    Source: Gao et al., lm-evaluation-harness, `acc` and `acc_norm` of multiple_choice.
    """
    lengths = [len(choice.encode()) if case.kind == "choice_norm" else 1 for choice in case.choices]
    weights = [value / length for value, length in zip(logprobs, lengths, strict=True)]
    highest = max(weights)
    best = [choice for choice, weight in zip(case.choices, weights, strict=True) if weight == highest]
    return best[0], best == [case.reference]
