from __future__ import annotations

import json
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import psutil
import pytest

from tests.faults import cycles

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1500)]
PARTS = 4
RANDOM_KILLS = 32


def _places(passed: list[str]) -> list[str]:
    """Name every passing of every failpoint: the first, the second, ..."""
    seen: Counter[str] = Counter()
    places = []
    for name in passed:
        seen[name] += 1
        places.append(f"{name}:{seen[name]}")
    return places


@pytest.mark.parametrize("part", range(PARTS))
def test_a_cycle_killed_at_any_failpoint_ends_as_if_it_had_not_been(
    part: int,
    deployment: Path,
    unkilled: tuple[cycles.End, list[str]],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    expected, passed = unkilled
    places = _places(passed)
    assert len(places) > 30
    for number, place in enumerate(places[part::PARTS]):
        config = cycles.copy(deployment, tmp_path / str(number))
        # A failpoint inside the trainer child kills the child; the loop then gives up with an error and can go on.
        assert cycles.wait(cycles.start(config, place)) != 0, f"{place} was never passed"
        assert cycles.finish(config) == "promote", place
        assert cycles.end_of(config) == expected, f"{place}: another end"
        shutil.rmtree(config.parent)
        record_property("kill", json.dumps({"how": "failpoint", "place": place, "same_end": True}))


@pytest.mark.parametrize("part", range(2))
def test_a_cycle_killed_at_random_moments_ends_as_if_it_had_not_been(
    part: int,
    deployment: Path,
    unkilled: tuple[cycles.End, list[str]],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    expected, _ = unkilled
    seed = time.time_ns() % 1_000_000
    chance = random.Random(seed)
    length_s = _length(deployment, tmp_path / "timed")
    kills = 0
    number = 0
    while kills < RANDOM_KILLS // 2:
        number += 1
        config = cycles.copy(deployment, tmp_path / str(number))
        places = []
        for _ in range(4):  # one cycle may be killed several times
            process = cycles.start(config)
            delay_s = chance.uniform(0.2, length_s)
            victim = "trainer" if chance.random() < 0.3 else "loop"
            if not _kill_after(process, delay_s, victim):
                break
            kills += 1
            places.append(f"{victim} after {delay_s:.2f} s")
            if cycles.is_over(config):  # killed too late, or a trainer that was started again: no second cycle
                break
        if not cycles.is_over(config):
            assert cycles.finish(config) == "promote", f"seed {seed}: {places}"
        assert cycles.end_of(config) == expected, f"seed {seed}: {places}: another end"
        for place in places:
            record_property("kill", json.dumps({"how": f"random, seed {seed}", "place": place, "same_end": True}))


def _length(deployment: Path, folder: Path) -> float:
    started = time.monotonic()
    cycles.finish(cycles.copy(deployment, folder))
    return time.monotonic() - started


def _kill_after(process: ForkServerProcess, delay_s: float, victim: str) -> bool:
    """Kill the loop, or its trainer child, some time after the start. Returns False when the cycle ended before."""
    process.join(delay_s)
    if process.exitcode is not None:
        return False
    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return False
    cycles.kill(children[0].pid if victim == "trainer" and children else process.pid)
    cycles.wait(process)
    return True


def test_a_pass_that_was_left_between_two_steps_is_taken_up_once(deployment: Path, tmp_path: Path) -> None:
    config = cycles.copy(deployment, tmp_path / "d")
    assert cycles.wait(cycles.start(config, "curate.after_ledger")) == -signal.SIGKILL
    assert cycles.finish(config) == "promote"
    end = cycles.end_of(config)
    assert end.deployments == 2
    assert end.verdicts == 1


def test_two_cycles_at_once_are_refused(deployment: Path, tmp_path: Path) -> None:
    config = cycles.copy(deployment, tmp_path / "d")
    first = cycles.start(config)
    ledger = config.with_name("state") / "ledger.db"
    while not ledger.exists():  # the first holds the lock before it opens the ledger
        time.sleep(0.01)
    assert cycles.wait(cycles.start(config)) != 0
    assert "Another process is running a cycle here" in config.with_name("said.txt").read_text()
    assert cycles.wait(first) == 0
