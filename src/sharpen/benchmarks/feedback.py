"""Feedback per second on disk, how long each piece waits for it, and whether any is lost when the gateway is killed.

In: nothing, or shorter times. Out: rate, p99, pieces acknowledged and not found again. Must not know how it is stored.

The promises: 1,000 a second for 60 s, on disk before the answer, p99 at most 50 ms; of 5,000 a second what is too much
is told 429; none of those answered 200 is lost, also through 50 kills. The gateway is a process of its own with a
scripted model, and shares the machine with the clients. Each piece has its moment to be sent, and its wait is counted
from there: a slow answer cannot make the next ones look fast (coordinated omission).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from sharpen.benchmarks import machine, sources
from sharpen.capture.saying import Saying, trace_id_of
from sharpen.children import bound_environment
from sharpen.errors import SharpenError
from sharpen.records import Feedback
from sharpen.store import Store
from sharpen.testing import ScriptedEngine, deploy

PER_S, SECONDS, P99_S = 1_000, 60.0, 0.05
BURST_PER_S, BURST_S = 5_000, 5.0
KILLS = 50
_CONNECTIONS, _BURST_CONNECTIONS, _KILL_CONNECTIONS = 64, 512, 16
_START_S = 60.0  # a machine under load takes long to import
_PROGRAM = """
import sys
from sharpen.children import die_with_parent
die_with_parent()
from sharpen.config import load
from sharpen.gateway.run import serve
from sharpen.testing import ScriptedEngine
serve(load(sys.argv[1]), engine=ScriptedEngine())
"""


@dataclass
class Said:
    """What was sent: how often each status came, the waits of those answered 200 in seconds, and their names."""

    statuses: Counter[int] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Place:
    """A deployment in a folder, and the gateway over it."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._file = folder / "sharpen.toml"
        self._file.write_text(f'home = "."\n[gateway]\nport = {self.port}\n', encoding="utf-8")
        self.url = f"sqlite:///{folder / 'store.db'}"
        with contextlib.closing(Store.open(self.url)) as store:
            deploy(store, ScriptedEngine(), "ver_0")

    @contextlib.contextmanager
    def serving(self) -> Iterator[subprocess.Popen[str]]:
        """Run the gateway; whatever happens, it is gone at the end. Raises: SharpenError when it does not start."""
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(self._file)],
            stdout=subprocess.PIPE,
            text=True,
            env=bound_environment(),
        )
        try:
            assert process.stdout is not None
            if "answers at" not in process.stdout.readline():
                raise SharpenError("The gateway did not start.", "its error is above")
            yield process
            process.terminate()
            process.wait(_START_S)
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def lost(self, keys: list[str]) -> int:
        """Return how many of these pieces are not in the store."""
        found = 0
        with contextlib.closing(Store.open(self.url)) as store:
            for start in range(0, len(keys), 500):
                ids = [one.id for key in keys[start : start + 500] for one in _saying(key).feedback()]
                found += len(store.find(Feedback, ids=ids))
        return len(keys) - found


def measure(
    seconds: float = SECONDS, kills: int = KILLS, burst_s: float = BURST_S, per_s: int = PER_S
) -> dict[str, object]:
    """Return the figures. Raises: SharpenError when the gateway does not start."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        with place.serving() as process:
            server = psutil.Process(process.pid)
            asyncio.run(_say(place.port, "warm", per_s=per_s, seconds=min(2.0, seconds), connections=_CONNECTIONS))
            cpu, memory = sum(server.cpu_times()[:2]), server.memory_info().rss
            steady = asyncio.run(_say(place.port, "steady", per_s=per_s, seconds=seconds, connections=_CONNECTIONS))
            cpu, growth = sum(server.cpu_times()[:2]) - cpu, server.memory_info().rss - memory
            burst = asyncio.run(
                _say(place.port, "burst", per_s=BURST_PER_S, seconds=burst_s, connections=_BURST_CONNECTIONS)
            )
        killed = Said()
        for number in range(kills):
            _say_and_kill(place, f"kill-{number}", np.random.default_rng(number), killed)
        lost = {name: place.lost(said.keys) for name, said in (("steady", steady), ("burst", burst), ("kills", killed))}
    p50, p99 = (float(one) for one in np.quantile(steady.waits or [np.inf], [0.5, 0.99]))
    rate = len(steady.keys) / steady.seconds
    return {
        "promised": {"per_s": PER_S, "p99_s": P99_S, "lost": 0},
        "per_s": rate,
        "p50_s": p50,
        "p99_s": p99,
        "lost": sum(lost.values()),
        "offered_per_s": per_s,
        "seconds": steady.seconds,
        "statuses": dict(steady.statuses),
        "server_cpu_s_per_piece": cpu / max(1, len(steady.keys)),
        "server_grew_bytes": growth,
        "burst": {
            "offered_per_s": BURST_PER_S,
            "per_s": len(burst.keys) / burst.seconds,
            "statuses": dict(burst.statuses),
            "lost": lost["burst"],
        },
        "kills": {"kills": kills, "acknowledged": len(killed.keys), "lost": lost["kills"]},
        **machine("uvicorn", "fastapi", "sqlalchemy"),
        **sources(),
    }


def _saying(key: str) -> Saying:
    return Saying(trace_id=trace_id_of("any"), rating=1.0, key=key)


def _request(key: str) -> bytes:
    body = json.dumps({"exchange": "any", "rating": 1, "id": key}).encode()
    head = "POST /v1/feedback HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def _answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length))
    return int(head.split(None, 2)[1])


async def _say(port: int, name: str, *, per_s: int, seconds: float, connections: int) -> Said:
    """Send pieces at their moments over some connections; a moment that finds all of them busy waits, and counts."""
    said = Said()
    moments = iter(range(int(per_s * seconds)))
    began = time.perf_counter() + 0.2

    async def speak() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in moments:
            due = began + number / per_s
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            writer.write(_request(f"{name}-{number}"))
            status = await _answer(reader)
            said.statuses[status] += 1
            if status == 200:
                said.waits.append(time.perf_counter() - due)
                said.keys.append(f"{name}-{number}")
        writer.close()

    await asyncio.gather(*[speak() for _ in range(connections)])
    said.seconds = time.perf_counter() - began
    return said


def _say_and_kill(place: Place, name: str, random_: np.random.Generator, said: Said) -> None:
    """Let clients send as fast as they are answered, and kill the gateway at a random moment."""
    with place.serving() as process:

        async def speak(who: int) -> None:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
                number = 0
                while True:
                    key = f"{name}-{who}-{number}"
                    writer.write(_request(key))
                    status = await _answer(reader)
                    said.statuses[status] += 1
                    if status == 200:
                        said.keys.append(key)
                    number += 1

        async def all_of_them() -> None:
            speaking = [asyncio.create_task(speak(who)) for who in range(_KILL_CONNECTIONS)]
            await asyncio.sleep(random_.uniform(0.05, 0.5))
            process.send_signal(signal.SIGKILL)
            await asyncio.gather(*speaking)

        asyncio.run(all_of_them())
