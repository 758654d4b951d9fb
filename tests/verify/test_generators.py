from __future__ import annotations

import inspect
import re

import pytest

from sharpen.errors import ConfigError, Refused
from sharpen.verify.generators import RUN_THE_REPLY
from sharpen.verify.suites import load_suite


@pytest.mark.parametrize("task", ["chain_sum", "gcd", "letter_counting", "spell_backward", "basic_arithmetic"])
def test_a_tasks_own_verifier_accepts_its_answer_and_no_other(task: str) -> None:
    suite = load_suite(f"reasoning-gym:{task}", seed=3, size=30)
    assert suite.name == task
    assert len(suite.cases) > 20
    for case in suite.cases:
        assert suite.scorer_of(case) == f"reasoning-gym:{task}"
        assert suite.score(case, f" {case.reference}\n") == (1.0, None)
        assert suite.score(case, "?")[0] < 1.0
        assert suite.find(case.messages) is case


def test_a_seed_draws_the_same_cases_again_and_another_seed_others() -> None:
    first, again, other = (load_suite("reasoning-gym:gcd", seed=seed, size=20).cases for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_parameters_shape_the_task_and_a_prompt_that_comes_twice_counts_once() -> None:
    suite = load_suite("reasoning-gym:chain_sum?min_terms=2&max_terms=2&min_digits=1&max_digits=1", size=300)
    assert 100 < len(suite.cases) < 300
    assert len({case.id for case in suite.cases}) == len(suite.cases)
    assert all(len(re.findall(r"\d+", case.messages[0].content)) == 2 for case in suite.cases)


def test_replies_of_any_kind_never_crash_a_verifier() -> None:
    for task in ("chain_sum", "letter_counting", "spell_backward"):
        suite = load_suite(f"reasoning-gym:{task}", size=2)
        for reply in ("", "\x00", "\ud800", "∞", "9" * 15_000, "1e999", "-"):
            value, reason = suite.score(suite.cases[0], reply)
            assert (value is None) == bool(reason)
        assert suite.score(suite.cases[0], "9" * 30_000)[0] is None
        assert suite.score(suite.cases[0], None) == (None, "there is no reply")


def test_a_case_of_another_suite_is_unscored() -> None:
    gcd, sums = (load_suite(f"reasoning-gym:{task}", size=5) for task in ("gcd", "chain_sum"))
    assert gcd.score(sums.cases[0], "1") == (None, "the case is not one of gcd")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("chainsum", "chain_sum"),
        ("chain_sum?min_term=2", "min_terms"),
        ("chain_sum?seed=2", "no parameter 'seed'"),
        ("chain_sum?min_terms=-1", "min_terms must be positive"),
        ("chain_sum?min_terms=many", "cannot be drawn"),
        ("chain_sum?min_terms", "key=value"),
        ("", "no task ''"),
    ],
)
def test_a_wrong_task_or_parameter_gets_the_nearest_name(spec: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_suite(f"reasoning-gym:{spec}")
    assert said in str(caught.value)


def test_no_task_whose_verifier_runs_the_reply_as_code_can_be_loaded() -> None:
    from reasoning_gym.factory import DATASETS

    runs_code = {
        name
        for name, (dataset, _) in DATASETS.items()
        if re.search(r"\b(eval|exec|parse_expr|sympify)\(answer", inspect.getsource(dataset.score_answer))
    }
    assert runs_code == RUN_THE_REPLY
    for name in RUN_THE_REPLY:
        with pytest.raises(Refused, match="as code"):
            load_suite(f"reasoning-gym:{name}")


def test_a_generators_cases_fall_into_the_tiers_that_are_declared() -> None:
    suite = load_suite("reasoning-gym:gcd?train=0&gate=1&dev=0&vault=0", size=20)
    assert suite.tier("gate") == suite.cases
    with pytest.raises(ConfigError, match="its own verifier"):
        load_suite("reasoning-gym:gcd?kind=choice")
