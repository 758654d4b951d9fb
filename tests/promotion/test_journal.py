"""Whoever edits what shipped, or what allowed it, is found out."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.promotion.journals import began, journal_of, promoted

from sharpen.errors import Refused
from sharpen.promotion.journal import KEY_ENV, Journal, check_journal
from sharpen.promotion.registry import deploy, enter, undo
from sharpen.records import Deployment, Verdict
from sharpen.store import Store
from sharpen.tables import JOURNAL, TABLES

DEPLOYMENT, VERDICT, VERSION = TABLES["dep"], TABLES["vdt"], TABLES["ver"]


@pytest.fixture
def lived(any_store: Store) -> Store:
    """Return a store with a life behind it: init, two promotions, an undo."""
    base, journal = began(any_store), journal_of(any_store)
    deploy(any_store, journal, promoted(any_store, "ver_1", base), "ver_1")
    deploy(any_store, journal, promoted(any_store, "ver_2", "ver_1"), "ver_2")
    undo(any_store, journal)
    return any_store


def tamper(store: Store, statement: sa.Executable) -> None:
    with store.writing() as connection:
        connection.execute(statement)


def edited(table: sa.Table, record_id: str, old: str, new: str) -> sa.Executable:
    body = sa.func.replace(table.c.body, old, new)
    return sa.update(table).where(table.c.id == record_id).values(body=body)


def faults(store: Store) -> str:
    return " | ".join(check_journal(store, journal_of(store)).faults)


def newest(store: Store) -> str:
    return store.champion().id


def test_a_life_that_nobody_touched_is_sound(lived: Store) -> None:
    assert faults(lived) == ""


def test_an_edited_deployment_is_named(lived: Store) -> None:
    tamper(lived, edited(DEPLOYMENT, newest(lived), "Undone by hand", "All is well"))
    assert faults(lived) == f"'{newest(lived)}' was edited after it was entered"


def test_an_edited_verdict_is_named(lived: Store) -> None:
    tamper(lived, edited(VERDICT, "vdt_ver_1", "0.4", "0.9"))
    assert "'vdt_ver_1' was edited after it was entered" in faults(lived)


def test_a_version_that_points_at_other_weights_is_named(lived: Store) -> None:
    tamper(lived, edited(VERSION, "ver_1", '"adapter_digest": "ver_1"', '"adapter_digest": "evil"'))
    assert "'ver_1' was edited after it was entered" in faults(lived)


@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_removed_deployment_is_named(lived: Store, place: int) -> None:
    name = lived.find(Deployment)[place].id
    tamper(lived, sa.delete(DEPLOYMENT).where(DEPLOYMENT.c.id == name))
    assert f"'{name}' was removed after it was entered" in faults(lived)


def test_a_deployment_that_went_round_the_registry_is_named(lived: Store) -> None:
    lived.append(Deployment(id="dep_x", version_id="ver_2", shares={"ver_2": 1.0}, reason="I say so."))
    assert faults(lived) == "'dep_x' is in no entry"


def test_a_verdict_that_no_gate_reached_is_named(lived: Store) -> None:
    lived.append(lived.get(Verdict, "vdt_ver_1").model_copy(update={"id": "vdt_x"}))
    assert faults(lived) == "'vdt_x' is in no entry"


def test_deployments_in_another_order_are_found_out(lived: Store) -> None:
    first, second = lived.find(Deployment)[1:3]
    with lived.writing() as connection:
        for name, seq in ((first.id, 1001), (second.id, 1000)):
            connection.execute(sa.update(DEPLOYMENT).where(DEPLOYMENT.c.id == name).values(seq=seq))
    assert "is not in its place" in faults(lived)


def test_an_edited_entry_is_found_out(lived: Store) -> None:
    changed = sa.func.replace(JOURNAL.c.body, "promote", "undo")
    tamper(lived, sa.update(JOURNAL).where(JOURNAL.c.number == 3).values(body=changed))
    assert "entry 3 of the journal was edited" in faults(lived)
    assert "entry 4 of the journal does not follow" in faults(lived)


def test_an_entry_that_is_no_json_any_more_is_a_fault_and_no_crash(lived: Store) -> None:
    tamper(lived, sa.update(JOURNAL).where(JOURNAL.c.number == 3).values(body="{"))
    assert "entry 3 of the journal was edited" in faults(lived)


def test_entries_in_another_order_are_found_out(lived: Store) -> None:
    with lived.writing() as connection:
        for old, new in ((2, 99), (3, 2), (99, 3)):
            connection.execute(sa.update(JOURNAL).where(JOURNAL.c.number == old).values(number=new))
    assert "entry 2 of the journal was edited" in faults(lived)


def test_a_missing_entry_is_found_out(lived: Store) -> None:
    tamper(lived, sa.delete(JOURNAL).where(JOURNAL.c.number == 4))
    assert "entry 4 of the journal is missing" in faults(lived)


def test_an_end_that_was_cut_off_with_its_deployment_is_found_out(lived: Store) -> None:
    name = newest(lived)
    tamper(lived, sa.delete(JOURNAL).where(JOURNAL.c.record_id == name))
    tamper(lived, sa.delete(DEPLOYMENT).where(DEPLOYMENT.c.id == name))
    assert faults(lived) == "the journal once ended at entry 6, and no longer holds it as it was"


def test_a_journal_that_was_emptied_is_found_out(lived: Store) -> None:
    tamper(lived, sa.delete(JOURNAL))
    assert "the journal once ended at entry 6" in faults(lived)


def test_with_another_key_nothing_is_ours(lived: Store, tmp_path: Path) -> None:
    found = check_journal(lived, Journal(b"x" * 32, tmp_path / "other.head"))
    assert len(found.faults) == 6
    assert "signed with another key" in found.told and "and 3 more" in found.told


@pytest.mark.parametrize("decision", ["hold", "reject"])
def test_a_verdict_that_was_edited_to_promote_ships_nothing(sqlite_store: Store, decision: str) -> None:
    base, journal = began(sqlite_store), journal_of(sqlite_store)
    other = Store.open(sqlite_store.url.replace("store.db", "other.db"))
    began(other)
    held = promoted(other, "ver_1", base).model_copy(update={"decision": decision})
    sqlite_store.append(other.lookup("ver_1"))
    enter(sqlite_store, journal, held)
    tamper(sqlite_store, edited(VERDICT, held.id, f'"{decision}"', '"promote"'))
    forged = sqlite_store.get(Verdict, held.id)
    assert forged.decision == "promote"
    with pytest.raises(Refused, match="was changed after it was entered"):
        deploy(sqlite_store, journal, forged, "ver_1")
    with pytest.raises(Refused, match="already written, with other content"):
        enter(sqlite_store, journal, held)
    assert sqlite_store.champion().version_id == base
    other.close()


def test_a_verdict_that_was_slipped_in_ships_nothing(sqlite_store: Store) -> None:
    base, journal = began(sqlite_store), journal_of(sqlite_store)
    real = promoted(sqlite_store, "ver_1", base)
    forged = real.model_copy(update={"id": "vdt_forged"})
    sqlite_store.append(forged)
    with pytest.raises(Refused, match="is not in the journal"):
        deploy(sqlite_store, journal, forged, "ver_1")
    assert sqlite_store.count(Deployment) == 1


def test_a_home_from_before_the_journal_goes_on_and_is_told(sqlite_store: Store) -> None:
    for name in ("ver_0", "ver_1"):
        sqlite_store.append(
            Deployment(id=f"dep_{name}", version_id=name, previous_id="ver_0", shares={name: 1.0}, reason="old")
        )
    assert check_journal(sqlite_store, journal_of(sqlite_store)).older == 2
    undo(sqlite_store, journal_of(sqlite_store))
    found = check_journal(sqlite_store, journal_of(sqlite_store))
    assert (found.entries, found.older, found.faults) == (1, 2, ())
    sqlite_store.append(Deployment(id="dep_x", version_id="ver_1", shares={"ver_1": 1.0}, reason="late"))
    assert faults(sqlite_store) == "'dep_x' is in no entry"


def test_the_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    Journal.open(tmp_path)
    path = tmp_path / "journal.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = path.read_text()
    Journal.open(tmp_path)
    assert path.read_text() == key
    assert [one.name for one in tmp_path.iterdir()] == ["journal.key"]


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    Journal.open(tmp_path)
    (tmp_path / "journal.key").chmod(0o644)
    with pytest.raises(Refused, match=r"(?s)Others may read.*chmod 600"):
        Journal.open(tmp_path)


def test_the_key_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_ENV, "e" * 40)
    Journal.open(tmp_path)
    assert not (tmp_path / "journal.key").exists()
    monkeypatch.setenv(KEY_ENV, "short")
    with pytest.raises(Refused, match="shorter than 32"):
        Journal.open(tmp_path)


@pytest.mark.faults
@pytest.mark.parametrize("place", ["store.before_commit:1", "store.after_commit:1", "promote.before_deploy",
    "store.before_commit:2", "store.after_commit:2", "promote.after_deploy"])  # fmt: skip
def test_a_kill_leaves_a_move_with_its_entry_or_neither(sqlite_store: Store, sqlite_url: str, place: str) -> None:
    base = began(sqlite_store)
    script = f"""
from sharpen.promotion.registry import deploy
from sharpen.store import Store
from tests.promotion.journals import journal_of, promoted
store = Store.open({sqlite_url!r})
deploy(store, journal_of(store), promoted(store, "ver_1", {base!r}), "ver_1")
"""
    env = os.environ | {"SHARPEN_FAILPOINT": place}
    killed = subprocess.run([sys.executable, "-c", script], env=env, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert faults(sqlite_store) == ""
    deploy(sqlite_store, journal_of(sqlite_store), promoted(sqlite_store, "ver_1", base), "ver_1")
    sound = check_journal(sqlite_store, journal_of(sqlite_store))
    assert (sound.entries, sound.faults) == (3, ())


def test_the_head_that_cannot_be_read_is_a_fault(sqlite_store: Store) -> None:
    began(sqlite_store)
    journal = journal_of(sqlite_store)
    head = next(Path(sqlite_store.url.removeprefix("sqlite:///")).parent.glob("*.head"))
    assert json.loads(head.read_text())["number"] == 1
    head.write_text("nonsense")
    assert check_journal(sqlite_store, journal).faults == ("the file journal.head cannot be read",)
