from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sharpen.errors import BoundaryError, EngineError, NotFound, StoreError
from sharpen.models.engine import Request
from sharpen.records import Deployment, Message
from sharpen.serving.router import Overloaded, Router
from sharpen.store import Store
from sharpen.testing import ScriptedEngine, deploy

Start = Callable[..., Router]


def ask(text: str = "one two three", **options: Any) -> Request:
    return Request((Message(role="user", content=text),), **options)


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


class Gate:
    """Lets the engine's steps through, or holds them."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.threads: set[int] = set()
        self.error: Exception | None = None

    def __call__(self) -> None:
        self.threads.add(threading.get_ident())
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        assert self.open.wait(20)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def engine(gate: Gate) -> ScriptedEngine:
    return ScriptedEngine(on_step=gate, max_context_tokens=50)


@pytest.fixture
def start(sqlite_store: Store, engine: ScriptedEngine, tmp_path: Path, gate: Gate) -> Iterator[Start]:
    routers = []

    def begin(store: Any = sqlite_store, **options: Any) -> Router:
        router = Router(engine, store, tmp_path, **({"poll_s": 0.01, "max_waiting": 100} | options))
        routers.append(router)
        router.start()
        return router

    yield begin
    gate.open.set()
    for router in routers:
        router.stop(1.0)


def test_a_request_is_answered_by_the_champion(start: Start, sqlite_store: Store, engine: ScriptedEngine) -> None:
    deploy(sqlite_store, engine, "ver_0")
    pieces: list[str] = []
    answer = start().submit(ask("one two"), pieces.append).result(10)
    assert (answer.generation.text, answer.version_id) == ("ver_0:one ver_0:two", "ver_0")
    assert pieces == ["ver_0:one ", "ver_0:two"]


def test_requests_on_their_way_finish_on_the_old_version_and_later_ones_use_the_new(
    start: Start, sqlite_store: Store, engine: ScriptedEngine
) -> None:
    deploy(sqlite_store, engine, "ver_0")
    router = start(max_rows=2)
    slow = ask("w " * 20)
    before = [router.submit(slow, lambda _: time.sleep(0.01)) for _ in range(5)]  # two on the engine, three waiting
    deploy(sqlite_store, engine, "ver_1")
    until(lambda: router.champion == "ver_1")
    assert not any(ticket.done() for ticket in before)
    after = [router.submit(ask()) for _ in range(5)]
    assert [ticket.result(10).generation.text.split() for ticket in before] == [["ver_0:w"] * 20] * 5
    assert [ticket.result(10).generation.text for ticket in after] == ["ver_1:one ver_1:two ver_1:three"] * 5


def test_a_hundred_swaps_under_load_lose_and_mix_nothing(
    start: Start, sqlite_store: Store, engine: ScriptedEngine
) -> None:
    deploy(sqlite_store, engine, "ver_0")
    router = start(poll_s=0.001, max_rows=8)
    over = threading.Event()
    answers, failures = [], []

    def client() -> None:
        while not over.is_set():
            try:
                answers.append(router.submit(ask("a b c d")).result(10))
            except Exception as error:
                failures.append(error)

    clients = [threading.Thread(target=client) for _ in range(4)]
    for thread in clients:
        thread.start()
    for number in range(1, 101):
        deploy(sqlite_store, engine, f"ver_{number}")
    until(lambda: router.champion == "ver_100")
    until(lambda: answers and answers[-1].version_id == "ver_100")
    over.set()
    for thread in clients:
        thread.join(10)
    assert not failures
    assert len({answer.version_id for answer in answers}) > 5
    for answer in answers:
        assert {word.split(":")[0] for word in answer.generation.text.split()} == {answer.version_id}


def test_only_the_champion_and_the_one_before_stay_loaded(
    start: Start, sqlite_store: Store, engine: ScriptedEngine
) -> None:
    router = start()
    for version_id in ("ver_0", "ver_1", "ver_2"):
        deploy(sqlite_store, engine, version_id)
        until(lambda version_id=version_id: router.champion == version_id)
    until(lambda: router.versions() == {"ver_1", "ver_2"})
    assert router.submit(ask("old"), version_id="ver_0").result(10).version_id == "ver_0"  # loaded on demand
    until(lambda: router.versions() == {"ver_1", "ver_2"})


def test_a_champion_that_will_not_load_leaves_the_old_one_serving_until_it_does(
    start: Start, sqlite_store: Store, engine: ScriptedEngine, tmp_path: Path
) -> None:
    deploy(sqlite_store, engine, "ver_0")
    router = start()
    deploy(sqlite_store, engine, "ver_1", adapter_digest="a1")
    until(lambda: router.health()["state"] == "degraded")
    assert "ver_1" in router.health()["error"]
    assert router.submit(ask()).result(10).version_id == "ver_0"
    (tmp_path / "a1").mkdir()
    until(lambda: router.health()["state"] == "ready")
    assert router.submit(ask()).result(10).version_id == "ver_1"


def test_after_a_restart_the_version_before_stands_in_for_a_champion_that_will_not_load(
    start: Start, sqlite_store: Store, engine: ScriptedEngine
) -> None:
    deploy(sqlite_store, engine, "ver_0")
    deploy(sqlite_store, engine, "ver_1", adapter_digest="lost")
    router = start()
    assert router.submit(ask()).result(10).version_id == "ver_0"
    assert router.health()["state"] == "degraded"


def test_a_version_of_another_base_is_not_served(start: Start, sqlite_store: Store, engine: ScriptedEngine) -> None:
    deploy(sqlite_store, engine, "ver_0")
    router = start()
    engine.base_digest = "another"
    deploy(sqlite_store, ScriptedEngine(), "ver_1")
    until(lambda: router.health()["error"])
    assert "made for another base" in router.health()["error"]
    assert router.champion == "ver_0"


def test_more_than_may_wait_are_refused_and_the_rest_is_answered(
    start: Start, sqlite_store: Store, engine: ScriptedEngine, gate: Gate
) -> None:
    deploy(sqlite_store, engine, "ver_0")
    router = start(max_rows=2, max_waiting=3)
    gate.open.clear()
    tickets = [router.submit(ask()) for _ in range(5)]
    with pytest.raises(Overloaded):
        router.submit(ask())
    gate.open.set()
    assert all(ticket.result(10).generation.finish_reason == "stop" for ticket in tickets)
    assert router.submit(ask()).result(10).version_id == "ver_0"


def test_a_request_joins_a_batch_that_is_running(
    start: Start, sqlite_store: Store, engine: ScriptedEngine, gate: Gate
) -> None:
    deploy(sqlite_store, engine, "ver_0")
    router = start()
    began = threading.Event()
    long = router.submit(ask("w " * 40, max_new_tokens=1000), lambda _: (began.set(), time.sleep(0.01)))
    assert began.wait(10)
    assert router.submit(ask("quick")).result(10).generation.text == "ver_0:quick"
    assert not long.done()
    assert long.result(10).generation.completion_tokens == 40


def test_a_cancelled_request_ends_with_what_was_written(
    start: Start, sqlite_store: Store, engine: ScriptedEngine, gate: Gate
) -> None:
    deploy(sqlite_store, engine, "ver_0")
    router = start(max_rows=1)
    began = threading.Event()
    running = router.submit(ask("w " * 40, max_new_tokens=1000), lambda _: (began.set(), time.sleep(0.01)))
    assert began.wait(10)
    waiting = router.submit(ask())
    router.cancel(waiting)
    router.cancel(running)
    assert waiting.result(10).generation.text == ""
    assert running.result(10).generation.finish_reason == "cancelled"
    assert 0 < running.result().generation.completion_tokens < 40
    router.cancel(running)  # once more changes nothing
    assert router.submit(ask("next")).result(10).generation.finish_reason == "stop"


def test_an_engine_that_fails_fails_its_batch_and_answers_the_next(
    start: Start, sqlite_store: Store, engine: ScriptedEngine, gate: Gate
) -> None:
    deploy(sqlite_store, engine, "ver_0")
    router = start()
    gate.error = RuntimeError("out of memory")
    with pytest.raises(EngineError, match="out of memory"):
        router.submit(ask()).result(10)
    assert router.submit(ask()).result(10).generation.finish_reason == "stop"


def test_a_listener_that_fails_loses_only_its_own_request(
    start: Start, sqlite_store: Store, engine: ScriptedEngine, gate: Gate
) -> None:
    deploy(sqlite_store, engine, "ver_0")
    router = start()
    gate.open.clear()
    broken = router.submit(ask("w " * 40, max_new_tokens=1000), lambda _: 1 / 0)
    sound = router.submit(ask("w " * 40, max_new_tokens=1000))
    gate.open.set()
    assert broken.result(10).generation.finish_reason == "cancelled"
    assert sound.result(10).generation.completion_tokens == 40


def test_a_prompt_that_is_too_long_is_refused_and_not_a_failure(
    start: Start, sqlite_store: Store, engine: ScriptedEngine
) -> None:
    deploy(sqlite_store, engine, "ver_0")
    answer = start().submit(ask("w " * 50)).result(10)
    assert answer.refused
    assert "50 tokens" in str(answer.generation.error)


def test_an_unknown_version_is_not_found(start: Start, sqlite_store: Store, engine: ScriptedEngine) -> None:
    deploy(sqlite_store, engine, "ver_0")
    router = start()
    for name in ("ver_9", "", "ver_0\x00"):
        with pytest.raises(NotFound):
            router.submit(ask(), version_id=name)


def test_before_anything_is_deployed_the_client_is_told_and_a_deployment_starts_the_service(
    start: Start, sqlite_store: Store, engine: ScriptedEngine
) -> None:
    router = start()
    assert router.health()["state"] == "starting"
    with pytest.raises(EngineError, match="Nothing is deployed"):
        router.submit(ask())
    deploy(sqlite_store, engine, "ver_0")
    until(lambda: router.champion)
    assert router.submit(ask()).result(10).version_id == "ver_0"


class Flaky:
    """A store that can be made to fail."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.error: Exception | None = None

    def champion(self) -> Deployment:
        if self.error:
            raise self.error
        return self._store.champion()

    def get(self, kind: Any, record_id: str) -> Any:
        return self._store.get(kind, record_id)


@pytest.mark.parametrize("error", [StoreError("locked"), RuntimeError("anything")])
def test_a_store_that_fails_stops_neither_answers_nor_later_swaps(
    start: Start, sqlite_store: Store, engine: ScriptedEngine, error: Exception
) -> None:
    deploy(sqlite_store, engine, "ver_0")
    flaky = Flaky(sqlite_store)
    router = start(flaky)
    flaky.error = error
    until(lambda: router.health()["state"] == "degraded")
    assert router.submit(ask()).result(10).version_id == "ver_0"
    deploy(sqlite_store, engine, "ver_1")
    flaky.error = None
    until(lambda: router.champion == "ver_1")
    assert router.health()["error"] is None


def test_one_thread_makes_every_call_to_the_engine(
    start: Start, sqlite_store: Store, engine: ScriptedEngine, gate: Gate
) -> None:
    deploy(sqlite_store, engine, "ver_0")
    router = start()
    for ticket in [router.submit(ask()) for _ in range(10)]:
        ticket.result(10)
    assert len(gate.threads) == 1
    assert threading.get_ident() not in gate.threads


def test_stopping_finishes_what_is_on_its_way_and_takes_nothing_new(
    start: Start, sqlite_store: Store, engine: ScriptedEngine
) -> None:
    deploy(sqlite_store, engine, "ver_0")
    router = start(max_rows=1)
    tickets = [router.submit(ask(), lambda _: time.sleep(0.01)) for _ in range(3)]
    router.stop(10)
    assert [ticket.result(0).generation.finish_reason for ticket in tickets] == ["stop"] * 3
    assert router.health()["state"] == "stopped"
    with pytest.raises(BoundaryError):
        router.submit(ask())


def test_stopping_breaks_off_what_takes_too_long(start: Start, sqlite_store: Store, engine: ScriptedEngine) -> None:
    deploy(sqlite_store, engine, "ver_0")
    router = start(max_rows=1)
    slow = [router.submit(ask("w " * 40, max_new_tokens=99), lambda _: time.sleep(0.05)) for _ in range(2)]
    router.stop(0.1)
    for ticket in slow:
        with pytest.raises(BoundaryError, match="stopped"):
            ticket.result(0)
