"""The store keeps its promises, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sharpen.errors import NotFound, Refused, StoreError
from sharpen.records import (
    Critique,
    Deployment,
    Feedback,
    Message,
    Score,
    Source,
    Step,
    Trace,
    new_id,
)
from sharpen.store import ERASED, Store, wal_is_safe


def trace(name: str = "", words: str = "hello", session: str | None = None) -> Trace:
    return Trace(
        id=name or new_id("trc"),
        messages=(Message(role="user", content=words),),
        reply=f"reply to {words}",
        version_id="ver_0",
        session=session,
    )


def deployment(version: str, name: str = "") -> Deployment:
    return Deployment(id=name or new_id("dep"), version_id=version, shares={version: 1.0}, reason="a test")


def child(code: str, *args: str, failpoint: str | None = None) -> subprocess.Popen[str]:
    """Run code in a process of its own; `store` in it is the store at the first argument."""
    env = dict(os.environ)
    env.pop("SHARPEN_FAILPOINT", None)
    if failpoint:
        env["SHARPEN_FAILPOINT"] = failpoint
    head = (
        "import sys\nfrom sharpen.store import Store\nfrom sharpen.records import *\nstore = Store.open(sys.argv[1])\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", head + textwrap.dedent(code), *args],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.strip()


# -- reading and writing -----------------------------------------------------------------------------------------------


def test_records_come_back_equal_and_in_the_order_they_were_written(any_store: Store) -> None:
    written = [trace(session="a" if number % 2 else "b") for number in range(20)]
    random.Random(0).shuffle(written)  # the order of writing, not of ids
    for record in written:
        any_store.append(record)
    assert any_store.find(Trace) == written
    assert any_store.find(Trace, newest=True, limit=3) == written[:-4:-1]
    assert any_store.find(Trace, subjects=["a"]) == [record for record in written if record.session == "a"]
    assert any_store.get(Trace, written[7].id) == written[7]
    assert any_store.lookup(written[7].id) == written[7]
    assert any_store.count(Trace) == 20


def test_a_record_written_twice_is_there_once(any_store: Store) -> None:
    record = trace()
    any_store.append(record)
    later = record.model_copy(update={"at": datetime(2100, 1, 1, tzinfo=UTC), "latency_s": 9.0})
    any_store.append(later, later)
    assert any_store.find(Trace) == [record]


@pytest.mark.parametrize(
    "change", [{"version_id": "ver_1"}, {"reply": "other words"}], ids=["its facts", "its words"]
)  # fmt: skip
def test_an_id_that_is_taken_by_other_content_is_refused(any_store: Store, change: dict[str, str]) -> None:
    record, bystander = trace(), trace()
    any_store.append(record)
    with pytest.raises(Refused, match="already written"):
        any_store.append(bystander, record.model_copy(update=change))
    assert any_store.find(Trace) == [record]  # and the whole transaction went back


def test_a_value_that_is_not_a_number_equals_itself(any_store: Store) -> None:
    score = Score(
        id="scr_1", evaluation_id="e", arm="champion", version_id="v", suite="s", tier="gate", scorer="exact",
        case_id="c", cluster="c", value=float("nan"),
    )  # fmt: skip
    any_store.append(score)
    any_store.append(score)
    assert any_store.count(Score) == 1


def test_more_ids_than_one_query_takes_can_be_asked_for(sqlite_store: Store) -> None:
    first, last = trace("trc_000000"), trace("trc_039999")
    sqlite_store.append(first, last)
    wanted = [f"trc_{number:06}" for number in reversed(range(40_000))]
    assert sqlite_store.find(Trace, ids=wanted) == [first, last]
    assert sqlite_store.find(Trace, ids=wanted, newest=True, limit=1) == [last]
    assert sqlite_store.find(Trace, ids=[]) == []


def test_what_is_not_there_is_named_in_the_error(any_store: Store) -> None:
    with pytest.raises(NotFound, match="trc_missing"):
        any_store.get(Trace, "trc_missing")
    with pytest.raises(NotFound, match="no record's id"):
        any_store.lookup("nonsense")
    with pytest.raises(NotFound, match="Nothing is deployed"):
        any_store.champion()


@pytest.mark.parametrize("session", ["s" * 129, "a\x00b", "\ud800"], ids=["too long", "NUL", "lone surrogate"])
def test_a_session_that_one_database_could_not_hold_is_refused_by_both(any_store: Store, session: str) -> None:
    with pytest.raises(Refused, match="128 printable"):
        any_store.append(trace(session=session))
    assert any_store.count(Trace) == 0


# Every code point, lone surrogates and NUL included: people paste anything.
anything = st.text(st.characters(exclude_categories=()), max_size=40)


@given(words=anything, reply=st.none() | anything, tokens=st.integers(0, 2**53), seconds=st.floats(0, 1e9))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_words_survive_the_round_trip(
    any_store: Store, words: str, reply: str | None, tokens: int, seconds: float
) -> None:
    record = Trace(
        id=new_id("trc"), messages=(Message(role="user", content=words),), reply=reply, version_id="ver_0",
        prompt_tokens=tokens, latency_s=seconds, error=words or None,
    )  # fmt: skip
    any_store.append(record)
    assert any_store.get(Trace, record.id) == record


def test_a_password_is_not_in_the_error() -> None:
    with pytest.raises(StoreError) as caught:
        Store.open("postgresql+psycopg://me:hunter2@127.0.0.1:1/none")
    assert "hunter2" not in str(caught.value)
    assert "me:***@127.0.0.1" in str(caught.value)


def test_an_unknown_kind_of_address_says_which_are_known() -> None:
    with pytest.raises(StoreError, match="sqlite:///PATH"):
        Store.open("carrier-pigeon://coop")


# -- erasing -----------------------------------------------------------------------------------------------------------


def test_erasing_takes_the_words_and_leaves_the_record(any_store: Store) -> None:
    record, other = trace(words="my name is Ada"), trace(words="keep me")
    any_store.append(record, other)
    assert any_store.erase(record.id) is True
    left = any_store.get(Trace, record.id)
    assert (left.id, left.at, left.version_id) == (record.id, record.at, record.version_id)
    assert left.messages == (Message(role="user", content=ERASED),)
    assert left.reply is None
    assert any_store.get(Trace, other.id) == other
    assert any_store.erase(record.id) is False


def test_words_that_were_erased_do_not_come_back_when_a_step_runs_again(any_store: Store) -> None:
    critique = Critique(
        id="crt_1", trace_id="trc_1", cycle_id="c", method="refine", steps=(Step(name="draft", output="secret"),),
        draft="secret", stop_reason="rounds",
    )  # fmt: skip
    any_store.append(critique)
    any_store.erase("crt_1")
    any_store.append(critique)
    assert any_store.get(Critique, "crt_1").steps == ()
    assert any_store.get(Critique, "crt_1").draft is None


def test_people_s_words_are_in_the_payload_table_only(any_store: Store) -> None:
    any_store.append(
        trace(words="xylophone"),
        Feedback(id="fbk_1", trace_id="trc_1", correction="xylophone", comment="xylophone"),
    )
    with sa.create_engine(any_store.url).connect() as connection:
        for table in ("trace", "feedback"):
            assert "xylophone" not in str(connection.execute(sa.text(f"SELECT * FROM {table}")).all())
        assert "xylophone" in str(connection.execute(sa.text("SELECT * FROM payload")).all())


def test_erased_words_are_gone_from_the_file_too(sqlite_store: Store) -> None:
    record = trace(words="xylophone " * 50)
    sqlite_store.append(record)
    path = Path(sqlite_store.url.removeprefix("sqlite:///"))
    assert b"xylophone" in path.read_bytes()
    sqlite_store.erase(record.id)
    sqlite_store.close()
    assert not [file for file in path.parent.iterdir() if b"xylophone" in file.read_bytes()]


# -- the digest --------------------------------------------------------------------------------------------------------


def test_the_digest_says_what_was_written_not_when_or_in_which_order(tmp_path: Path) -> None:
    records = [trace(f"trc_{number}") for number in range(5)]
    one, two, other = (Store.open(f"sqlite:///{tmp_path / name}.db") for name in ("one", "two", "other"))
    one.append(*records)
    two.append(*[record.model_copy(update={"at": datetime(2100, 1, 1, tzinfo=UTC)}) for record in reversed(records)])
    other.append(*records[:4], trace("trc_4", words="changed"))
    assert one.digest() == two.digest()
    assert one.digest() != other.digest()
    assert one.digest([Source]) == other.digest([Source])


# -- the champion ------------------------------------------------------------------------------------------------------


def test_a_deployment_is_written_only_over_the_champion_it_expects(any_store: Store) -> None:
    first, second = deployment("ver_a"), deployment("ver_b")
    assert any_store.deploy(first, None) is True
    assert any_store.deploy(deployment("ver_c"), None) is False
    assert any_store.deploy(second, "ver_a") is True
    assert any_store.deploy(first, None) is True  # a step that runs again
    assert any_store.champion() == second
    assert any_store.find(Deployment) == [first, second]
    with pytest.raises(Refused, match="already written"):
        any_store.deploy(deployment("ver_x", name=first.id), "ver_b")


def test_of_eight_promotions_at_once_exactly_one_wins(store_url: str) -> None:
    stores = [Store.open(store_url) for _ in range(8)]
    stores[0].deploy(deployment("ver_0"), None)
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda pair: pair[1].deploy(deployment(f"ver_{pair[0] + 1}"), "ver_0"), enumerate(stores)))
    assert sum(won) == 1
    assert stores[0].champion().version_id == f"ver_{won.index(True) + 1}"
    assert stores[0].count(Deployment) == 2
    for store in stores:
        store.close()


# -- several processes -------------------------------------------------------------------------------------------------


@pytest.mark.faults
def test_processes_that_open_a_new_store_at_once_all_succeed_and_lose_nothing(store_url: str) -> None:
    write = """
        mine = [Trace(id=f"trc_{sys.argv[2]}_{n}", messages=(), version_id="v", session=sys.argv[2]) for n in range(25)]
        for record in mine:
            store.append(record, Trace(id=f"trc_shared_{record.id[-2:]}", messages=(), version_id="v"))
        print(store.find(Trace, subjects=[sys.argv[2]]) == mine)
    """
    writers = [child(write, store_url, name) for name in ("one", "two", "three")]
    assert [finish(writer) for writer in writers] == ["True"] * 3
    store = Store.open(store_url)
    written = [record.id for record in store.find(Trace)]
    shared = {f"trc_shared_{str(f'_{n}')[-2:]}" for n in range(25)}
    assert len(written) == len(set(written)) == 75 + len(shared)
    assert shared <= set(written)
    store.close()


def test_threads_of_one_process_may_open_a_new_store_at_once(store_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: Store.open(store_url), range(4)))
    stores[0].append(trace("trc_1"))
    assert all(store.count(Trace) == 1 for store in stores)
    for store in stores:
        store.close()


@pytest.mark.faults
@pytest.mark.parametrize(("place", "kept"), [("store.before_commit", 1), ("store.after_commit", 3)])
def test_a_killed_writer_leaves_all_of_a_transaction_or_nothing(store_url: str, place: str, kept: int) -> None:
    write = """
        store.append(Source(id="src_1", name="first"))
        store.append(Source(id="src_2", name="second"), Source(id="src_3", name="third"))
        print("not reached")
    """
    process = child(write, store_url, failpoint=f"{place}:2")
    out, _ = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert out == ""
    store = Store.open(store_url)
    assert [record.id for record in store.find(Source)] == ["src_1", "src_2", "src_3"][:kept]
    store.append(Source(id="src_1", name="first"))
    store.append(Source(id="src_2", name="second"), Source(id="src_3", name="third"))  # the step runs again
    assert store.count(Source) == 3
    store.close()


@pytest.mark.faults
@pytest.mark.parametrize(("place", "champion"), [("store.before_commit", "ver_a"), ("store.after_commit", "ver_b")])
def test_a_killed_promotion_happened_or_did_not(store_url: str, place: str, champion: str) -> None:
    deploy = """
        first = Deployment(id="dep_1", version_id="ver_a", shares={"ver_a": 1.0}, reason="init")
        second = Deployment(id="dep_2", version_id="ver_b", shares={"ver_b": 1.0}, reason="better")
        store.deploy(first, None)
        print(store.deploy(second, "ver_a"))
    """
    process = child(deploy, store_url, failpoint=f"{place}:2")
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    store = Store.open(store_url)
    assert store.champion().version_id == champion
    store.close()
    assert finish(child(deploy, store_url)) == "True"


# -- what the disk and the machine do ----------------------------------------------------------------------------------


@pytest.mark.faults
def test_a_full_disk_is_a_store_error_and_nothing_earlier_is_lost(sqlite_url: str) -> None:
    fill = """
        import pathlib, resource
        from sharpen.errors import StoreError
        store.append(Source(id="src_1", name="early"))
        size = pathlib.Path(sys.argv[1].removeprefix("sqlite:///")).stat().st_size
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            store.append(Source(id="src_2", name="big " * 100_000))
        except StoreError as error:
            print("disk space" in error.next_step)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        store.append(Source(id="src_3", name="late"))
    """
    assert finish(child(fill, sqlite_url)) == "True"
    store = Store.open(sqlite_url)
    assert [record.id for record in store.find(Source)] == ["src_1", "src_3"]
    store.close()


def test_a_store_that_someone_holds_is_a_store_error_after_the_wait(sqlite_url: str) -> None:
    store = Store.open(sqlite_url, busy_s=0.2)
    holder = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked") as caught:
        store.append(trace())
    assert "another process" in caught.value.next_step
    holder.execute("ROLLBACK")
    holder.close()
    store.append(trace())
    assert store.count(Trace) == 1
    store.close()


def test_a_server_that_is_not_there_is_a_store_error() -> None:
    with pytest.raises(StoreError, match="refused"):
        Store.open("postgresql+psycopg://nobody@127.0.0.1:1/none")


def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="folder"):
        Store.open(f"sqlite:///{tmp_path / 'file' / 'store.db'}")


def test_a_file_that_is_no_database_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_text("this is not a database, it only has the name of one" * 50)
    with pytest.raises(StoreError, match="not a database"):
        Store.open(f"sqlite:///{tmp_path / 'store.db'}")


def test_the_write_ahead_log_is_used_only_where_sqlite_has_no_reset_bug(sqlite_store: Store) -> None:
    with sqlite3.connect(sqlite_store.url.removeprefix("sqlite:///")) as connection:
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    assert mode == ("wal" if wal_is_safe(sqlite3.sqlite_version_info) else "delete")


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ((3, 6, 23), False), ((3, 40, 1), False), ((3, 44, 5), False), ((3, 44, 6), True), ((3, 45, 0), False),
        ((3, 50, 6), False), ((3, 50, 7), True), ((3, 51, 2), False), ((3, 51, 3), True), ((3, 52, 0), True),
    ],
)  # fmt: skip
def test_the_versions_of_sqlite_with_the_bug_are_known(version: tuple[int, int, int], safe: bool) -> None:
    assert wal_is_safe(version) is safe


def test_a_schema_from_before_gets_the_newest_one(sqlite_url: str) -> None:
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from sharpen.migrations import alembic_config
    from sharpen.store import metadata

    Store.open(sqlite_url).close()
    engine = sa.create_engine(sqlite_url)
    with engine.connect() as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
        tables = set(sa.inspect(connection).get_table_names())
    assert revision == ScriptDirectory.from_config(alembic_config()).get_current_head()
    assert tables == set(metadata.tables) | {"alembic_version"}
