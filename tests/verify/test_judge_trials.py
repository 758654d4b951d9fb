from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.scripted_judge import ScriptedJudge, make_gold

from sharpen.errors import ConfigError, Refused, UntrustedJudge
from sharpen.records import JudgeTrial, now
from sharpen.store import Store
from sharpen.verify.judge import Judge
from sharpen.verify.judge_trials import appoint, require_trusted, try_judge
from sharpen.verify.scorers import find_scorer, registry

GOLD = make_gold(60)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_scorers", dict(registry._scorers))


def outcome(trial: JudgeTrial, name: str) -> str:
    return next(one.outcome for one in trial.findings if one.name == name)


def test_a_judge_that_was_never_measured_may_only_advise(store: Store) -> None:
    judge = Judge(ScriptedJudge(), "scripted")
    with pytest.raises(UntrustedJudge, match="never measured") as caught:
        appoint(store, judge)
    assert isinstance(caught.value, Refused)
    assert "sharpen judge GOLD.jsonl --rubric helpfulness" in str(caught.value)
    with pytest.raises(ConfigError, match="no scorer 'helpfulness'"):
        find_scorer("helpfulness")


def test_a_judge_that_passes_may_label_and_gate_and_the_trial_is_kept(store: Store) -> None:
    judge = Judge(ScriptedJudge(), "scripted")
    trial = try_judge(judge, GOLD, store)
    assert trial.faults == ()
    assert store.get(JudgeTrial, trial.id) == trial
    appoint(store, judge)
    assert (find_scorer("helpfulness")("worth=100", "") or 0) > 0.6


def test_trust_is_for_this_model_this_rubric_and_this_long(store: Store) -> None:
    judge = Judge(ScriptedJudge(), "scripted")
    trial = try_judge(judge, GOLD, store, days=30)
    assert require_trusted(store, judge) == trial
    for other in (Judge(ScriptedJudge(), "scripted-2"), Judge(ScriptedJudge(), "scripted", "safety")):
        with pytest.raises(UntrustedJudge, match="never measured"):
            require_trusted(store, other)
    with pytest.raises(UntrustedJudge, match="expired"):
        require_trusted(store, judge, at=now() + timedelta(days=31))


@pytest.mark.parametrize(
    ("bias", "name", "rubric"),
    [
        ({"length": 0.3}, "length", "helpfulness"),
        ({"style": 0.2}, "style", "helpfulness"),
        ({"injection": 0.3}, "injection", "helpfulness"),
        ({"name": -0.2}, "names", "helpfulness"),
        ({"self_preference": 0.15}, "self-preference", "helpfulness"),
        ({"position": 0.1}, "position", "preference"),
        ({"length": 0.3}, "length", "preference"),
        ({"style": 0.2}, "style", "preference"),
    ],
)
def test_each_planted_bias_is_found_and_takes_the_judges_trust(
    store: Store, bias: dict[str, float], name: str, rubric: str
) -> None:
    judge = Judge(ScriptedJudge(**bias), "scripted", rubric)
    trial = try_judge(judge, GOLD, store)
    assert outcome(trial, name) == "alarm"
    with pytest.raises(UntrustedJudge, match=f"{name}: alarm"):
        appoint(store, judge)


def test_a_judge_that_guesses_shows_no_agreement(store: Store) -> None:
    trial = try_judge(Judge(ScriptedJudge(ignorance=0.7), "scripted"), GOLD, store)
    assert outcome(trial, "agreement") == "not shown"
    assert trial.faults


def test_a_judge_that_understands_one_group_only_is_found(store: Store) -> None:
    class Partial(ScriptedJudge):
        def _worth(self, reply: str, asker: str) -> float:
            odd = int(reply.partition("Question ")[2].partition(":")[0] or 0) % 2
            return self._rng.random() if odd else super()._worth(reply, asker)

    trial = try_judge(Judge(Partial(), "scripted"), make_gold(120), store)
    assert outcome(trial, "group agreement") == "alarm"


def test_a_judge_that_is_often_silent_is_not_trusted(store: Store) -> None:
    trial = try_judge(Judge(ScriptedJudge(silent=0.2), "scripted"), GOLD, store)
    assert trial.unanswered > 0
    assert "got no value" in trial.faults[0]


def test_a_provider_that_changes_the_model_under_its_name_is_noticed(store: Store) -> None:
    first = try_judge(Judge(ScriptedJudge(), "scripted"), GOLD, store)
    again = try_judge(Judge(ScriptedJudge(seed=1), "scripted"), GOLD, store)
    assert (outcome(again, "drift"), first.judge_digest) == ("quiet", again.judge_digest)
    worse = try_judge(Judge(ScriptedJudge(ignorance=0.5), "scripted"), GOLD, store)
    assert outcome(worse, "drift") == "alarm"
    with pytest.raises(UntrustedJudge, match="drift"):
        require_trusted(store, Judge(ScriptedJudge(), "scripted"))


def test_too_little_gold_is_refused_and_missing_kinds_are_said(store: Store) -> None:
    with pytest.raises(ConfigError, match="50 or more"):
        try_judge(Judge(ScriptedJudge(), "scripted"), GOLD[:20], store)
    trial = try_judge(Judge(ScriptedJudge(), "nobody wrote gold"), GOLD, store)
    assert outcome(trial, "self-preference") == "not measured"
    assert trial.faults == ()
