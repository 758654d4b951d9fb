"""What serves changes in one step, once, and can always be taken back."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.promotion.journals import journal_of, promote_at

from sharpen.errors import ChampionChanged, NotFound, Refused
from sharpen.promotion.journal import check_journal
from sharpen.promotion.registry import deploy, enter, register_base, undo
from sharpen.records import Deployment, ModelVersion, Verdict
from sharpen.store import Store


def began(store: Store) -> str:
    return register_base(store, journal_of(store), "tiny", "b1", "t1").id


def challenger(store: Store, name: str, champion: str, **fields: Any) -> Verdict:
    """Register a version and the verdict that promotes it."""
    store.append(ModelVersion(id=name, base="tiny", base_digest="b1", adapter_digest=name, template_digest="t1"))
    verdict = Verdict(
        id=f"vdt_{name}",
        cycle_id="c1",
        champion_id=champion,
        challenger_id=name,
        comparisons=(),
        alpha_spent=0.01,
        attempt=1,
        **({"decision": "promote", "reason": "Better by 0.4."} | fields),
    )
    enter(store, journal_of(store), verdict)
    return verdict


def test_init_deploys_the_bare_base(any_store: Store) -> None:
    base = register_base(any_store, journal_of(any_store), "tiny", "b1", "t1")
    assert (base.base, base.adapter_digest, base.parent, base.run_id) == ("tiny", None, None, None)
    now = any_store.champion()
    assert (now.version_id, now.shares, now.previous_id, now.verdict_id) == (base.id, {base.id: 1.0}, None, None)


def test_init_twice_changes_nothing_even_after_a_promotion(sqlite_store: Store) -> None:
    base = began(sqlite_store)
    deploy(sqlite_store, journal_of(sqlite_store), challenger(sqlite_store, "ver_1", base), "ver_1")
    assert register_base(sqlite_store, journal_of(sqlite_store), "/elsewhere/tiny", "b1", "t1").id == base
    assert sqlite_store.champion().version_id == "ver_1"
    assert (sqlite_store.count(ModelVersion), sqlite_store.count(Deployment)) == (2, 2)


def test_init_refuses_another_base_and_writes_nothing(sqlite_store: Store) -> None:
    base = began(sqlite_store)
    with pytest.raises(Refused, match=r"another base than 'other'.*\n.*sharpen init"):
        register_base(sqlite_store, journal_of(sqlite_store), "other", "b2", "t1")
    assert sqlite_store.champion().version_id == base
    assert sqlite_store.count(ModelVersion) == 1


def test_init_goes_on_where_a_crash_left_the_version_without_its_deployment(sqlite_store: Store, tmp_path: Any) -> None:
    whole = Store.open(f"sqlite:///{tmp_path / 'whole.db'}")
    sqlite_store.append(register_base(whole, journal_of(whole), "tiny", "b1", "t1"))
    whole.close()
    assert began(sqlite_store) == sqlite_store.champion().version_id


def test_a_verdict_to_promote_is_carried_out_once(any_store: Store) -> None:
    base = began(any_store)
    verdict = challenger(any_store, "ver_1", base)
    first, again = (
        deploy(any_store, journal_of(any_store), verdict, "ver_1"),
        deploy(any_store, journal_of(any_store), verdict, "ver_1"),
    )
    assert first == again == any_store.champion()
    assert (first.version_id, first.previous_id, first.verdict_id) == ("ver_1", base, verdict.id)
    assert (first.shares, first.reason) == ({"ver_1": 1.0}, "Better by 0.4.")
    assert any_store.count(Deployment) == 2


def test_a_verdict_that_was_undone_is_not_carried_out_again(sqlite_store: Store) -> None:
    base = began(sqlite_store)
    verdict = challenger(sqlite_store, "ver_1", base)
    deploy(sqlite_store, journal_of(sqlite_store), verdict, "ver_1")
    undo(sqlite_store, journal_of(sqlite_store))
    deploy(sqlite_store, journal_of(sqlite_store), verdict, "ver_1")
    assert sqlite_store.champion().version_id == base


@pytest.mark.parametrize("decision", ["hold", "reject"])
def test_only_a_promotion_ships(sqlite_store: Store, decision: str) -> None:
    base = began(sqlite_store)
    verdict = challenger(sqlite_store, "ver_1", base, decision=decision)
    with pytest.raises(Refused, match=f"says {decision}"):
        deploy(sqlite_store, journal_of(sqlite_store), verdict, "ver_1")
    assert sqlite_store.champion().version_id == base


def test_a_verdict_ships_no_other_version_than_its_own(sqlite_store: Store) -> None:
    base = began(sqlite_store)
    with pytest.raises(Refused, match="does not ship"):
        deploy(sqlite_store, journal_of(sqlite_store), challenger(sqlite_store, "ver_1", base), base)


def test_a_version_that_is_not_registered_is_not_deployed(sqlite_store: Store) -> None:
    verdict = challenger(sqlite_store, "ver_1", began(sqlite_store)).model_copy(update={"challenger_id": "ver_9"})
    with pytest.raises(NotFound, match="ver_9"):
        deploy(sqlite_store, journal_of(sqlite_store), verdict, "ver_9")


def test_a_champion_that_changed_in_between_is_not_overwritten(any_store: Store) -> None:
    base = began(any_store)
    one, two = challenger(any_store, "ver_1", base), challenger(any_store, "ver_2", base)
    deploy(any_store, journal_of(any_store), one, "ver_1")
    with pytest.raises(ChampionChanged, match="'ver_1' serves, not"):
        deploy(any_store, journal_of(any_store), two, "ver_2")
    assert any_store.champion().version_id == "ver_1"


def test_of_sixteen_processes_that_promote_at_once_one_wins_and_the_others_are_refused(
    any_store: Store, tmp_path: Path
) -> None:
    base = began(any_store)
    verdicts = [challenger(any_store, f"ver_{i}", base) for i in range(16)]
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["tests.promotion.journals"])
    start_s = time.time() + 6.0
    processes = [
        forks.Process(target=promote_at, args=(any_store.url, one.id, start_s, str(tmp_path / one.challenger_id)))
        for one in verdicts
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    said = {one.challenger_id: (tmp_path / one.challenger_id).read_text() for one in verdicts}
    assert sorted(said.values()) == ["refused"] * 15 + ["won"]
    assert said[any_store.champion().version_id] == "won"
    assert any_store.count(Deployment) == 2
    assert check_journal(any_store, journal_of(any_store)).faults == ()


def test_the_journal_is_whole_after_every_kind_of_move(any_store: Store) -> None:
    base, journal = began(any_store), journal_of(any_store)
    deploy(any_store, journal, challenger(any_store, "ver_1", base), "ver_1")
    undo(any_store, journal)
    sound = check_journal(any_store, journal)
    assert (sound.entries, sound.older, sound.faults) == (4, 0, ())
    assert sound.told == "4 entries, each signed and in its place"


def test_undo_goes_back_and_undoing_that_goes_forward(any_store: Store) -> None:
    base = began(any_store)
    deploy(any_store, journal_of(any_store), challenger(any_store, "ver_1", base), "ver_1")
    back = undo(any_store, journal_of(any_store), "It was rude.")
    assert (back.version_id, back.previous_id, back.verdict_id) == (base, "ver_1", None)
    assert back.reason == "It was rude."
    assert any_store.champion() == back
    assert [undo(any_store, journal_of(any_store)).version_id for _ in range(3)] == ["ver_1", base, "ver_1"]
    assert any_store.count(Deployment) == 6


def test_there_is_nothing_before_the_first_version(sqlite_store: Store) -> None:
    with pytest.raises(NotFound, match="sharpen init"):
        undo(sqlite_store, journal_of(sqlite_store))
    began(sqlite_store)
    with pytest.raises(Refused, match="nothing to go back to"):
        undo(sqlite_store, journal_of(sqlite_store))


def test_undo_after_two_promotions_goes_back_one(sqlite_store: Store) -> None:
    base = began(sqlite_store)
    deploy(sqlite_store, journal_of(sqlite_store), challenger(sqlite_store, "ver_1", base), "ver_1")
    deploy(sqlite_store, journal_of(sqlite_store), challenger(sqlite_store, "ver_2", "ver_1"), "ver_2")
    assert undo(sqlite_store, journal_of(sqlite_store)).version_id == "ver_1"


@pytest.mark.faults
@pytest.mark.parametrize(
    ("place", "serves"),
    [("promote.before_deploy", "base"), ("store.before_commit", "base"), ("promote.after_deploy", "ver_1")],
)
def test_a_kill_around_a_promotion_leaves_one_champion_and_the_next_start_finishes(
    sqlite_store: Store, sqlite_url: str, place: str, serves: str
) -> None:
    base = began(sqlite_store)
    verdict = challenger(sqlite_store, "ver_1", base)
    script = f"""
from sharpen.promotion.registry import deploy
from sharpen.records import Verdict
from sharpen.store import Store
from tests.promotion.journals import journal_of
store = Store.open({sqlite_url!r})
deploy(store, journal_of(store), store.get(Verdict, {verdict.id!r}), "ver_1")
"""
    killed = subprocess.run([sys.executable, "-c", script], env=os.environ | {"SHARPEN_FAILPOINT": place}, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert sqlite_store.champion().version_id == (base if serves == "base" else serves)
    assert deploy(sqlite_store, journal_of(sqlite_store), verdict, "ver_1").version_id == "ver_1"
    assert sqlite_store.count(Deployment) == 2
