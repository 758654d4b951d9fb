"""A page is measured on what an evaluation left behind, and says what it could not measure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sharpen.evaluation.arms import CHALLENGER, CHAMPION, FIRST
from sharpen.evaluation.checkup import KL_PROMPTS, check_up, kl_to_first
from sharpen.models.engine import Request
from sharpen.records import Example, Message, Score, Vital
from sharpen.testing import ScriptedEngine
from sharpen.verify.cases import make_case
from sharpen.verify.suites import Suite

LABELS = ("billing", "sales", "returns")
CASES = tuple(
    make_case(
        [Message(role="user", content=f"Message number {n} of the inbox is about what exactly?")],
        LABELS[n % 3],
        tier="gate",
    )
    for n in range(60)
)
SUITE = Suite("inbox", CASES)
MARK = "sharpen-canary 0123456789abcdef0123456789abcdef"


def engine() -> ScriptedEngine:
    def say(request: Request, version_id: str) -> str:
        return "billing" if version_id == "new" else "I do not know"

    made = ScriptedEngine(say)
    for name in ("new", "old"):
        made.load(name, None)
    return made


def arm(name: str, version_id: str, replies: list[str | None]) -> list[Score]:
    return [
        Score(
            id=f"scr_{name}_{case.id}", evaluation_id="e", arm=name, version_id=version_id, suite="inbox", tier="gate",
            scorer="exact", case_id=case.id, cluster=case.cluster, reply=reply,
            value=None if reply is None else float(reply == case.reference),
        )
        for case, reply in zip(CASES, replies, strict=True)
    ]  # fmt: skip


def example(said: str, chosen: str = "billing") -> Example:
    return Example(
        id="exa_1", cycle_id="c", messages=(Message(role="user", content=said),), chosen=chosen, origin="correction",
        evidence=("x",), weight=1.0,
    )  # fmt: skip


def looked(
    replies: list[str | None] | None = None, examples: list[Example] | None = None, **more: Any
) -> dict[str, Vital]:
    old: list[str | None] = [f"I do not know what number {n} may be about" for n in range(60)]
    new: list[str | None] = [case.reference for case in CASES] if replies is None else replies
    arms = {CHALLENGER: arm(CHALLENGER, "new", new), CHAMPION: arm(CHAMPION, "old", old), FIRST: arm(FIRST, "old", old)}
    given: dict[str, Any] = {"engine": engine(), "measured": [SUITE], "marks": [MARK], "held_out_scorer": "word_f1"}
    vitals = check_up(SUITE, arms, examples if examples is not None else [example("Another one")], **(given | more))
    return {one.name: one for one in vitals}


def test_a_version_that_learned_its_labels_gets_a_clean_page() -> None:
    page = looked()
    assert {one.sign for one in page.values()} == {
        "diversity", "length", "real data", "kl", "judge gap", "contamination", "canaries"
    }  # fmt: skip
    assert {name for name, one in page.items() if one.state in ("warn", "alarm")} == {"KL to the first version"}
    assert page["trained judge's gain minus held-out judge's"].value == pytest.approx(0.0, abs=0.01)


def test_a_phrase_that_only_the_trained_judge_likes_is_seen_by_the_other_one() -> None:
    hacked = arm(CHALLENGER, "new", ["As requested: perfect"] * 60)
    liked = [score.model_copy(update={"value": 1.0}) for score in hacked]
    old = arm(CHAMPION, "old", ["I do not know"] * 60)
    arms = {CHALLENGER: liked, CHAMPION: old, FIRST: old}
    page = check_up(
        SUITE, arms, [], engine=engine(), measured=[], marks=[], held_out_scorer="word_f1"
    )  # fmt: skip
    assert {one.sign: one.state for one in page}["judge gap"] == "alarm"


def test_a_leaked_question_and_a_canary_are_counted() -> None:
    page = looked(examples=[example(CASES[5].messages[0].content), example(f"I read this: {MARK}")])
    assert (page["contaminated cases of inbox"].value, page["contaminated cases of inbox"].state) == (1.0, "alarm")
    assert page["texts with a suite's canary"].value == 1.0
    told: list[str | None] = [MARK.upper(), *[case.reference for case in CASES[1:]]]
    assert looked(replies=told)["texts with a suite's canary"].state == "alarm"


def test_what_is_missing_is_said_and_costs_no_crash() -> None:
    page = looked(replies=[None] * 60, examples=[], held_out_scorer="nobody")
    assert {one.state for one in page.values() if one.sign not in ("contamination", "canaries")} == {"unmeasured"}
    assert "There is no scorer 'nobody'" in page["trained judge's gain minus held-out judge's"].note
    gone = engine()
    gone.unload("new")
    assert "not loaded" in looked(engine=gone)["KL to the first version"].note


def test_kl_is_the_difference_of_what_both_versions_say_of_the_same_replies() -> None:
    prompts = [case.messages for case in CASES[:KL_PROMPTS]]
    found, note = kl_to_first(engine(), prompts, "new", "old")
    # The scripted engine gives 0 to what it says itself, minus a nat per character to anything else; a word is a token.
    assert found == pytest.approx((len("billing") / 2, 0.0))
    assert note.startswith(f"on {KL_PROMPTS} of {KL_PROMPTS}")
    assert kl_to_first(engine(), prompts, "old", "old")[0] == (0.0, 0.0)
    nothing, why = kl_to_first(engine(), prompts[:3], "new", "old")
    assert nothing is None
    assert why.startswith("only 3 of 3")


def test_kl_of_a_real_engine_is_nothing_to_itself_and_what_its_logits_say_to_another(tiny_base: Path) -> None:
    """Random weights never end a turn, so every reply is cut: the end that was not written must not count."""
    from sharpen.models.transformers_engine import TransformersEngine

    model = TransformersEngine(tiny_base)
    model.load("base", None)
    prompts = [[Message(role="user", content=f"the model answers {n}")] for n in range(6)]
    same, note = kl_to_first(model, prompts, "base", "base")
    assert same == (0.0, 0.0)
    assert note.startswith("on 6 of 6")
    open_end, ended = (
        model.logprobs(prompts[:1], [["the model"]], "base", ended=ended)[0][0] for ended in (False, True)
    )
    assert ended < open_end < 0
    model.close()
