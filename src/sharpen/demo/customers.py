"""The people of the demo: they ask through the gateway, and say what they think of the answers.

In: cases and a running gateway. Out: replies and feedback, through the public API alone. Must not import the loop, the
store or any model: what they can do, any client can do.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from sharpen.children import bound_environment
from sharpen.errors import BoundaryError
from sharpen.plugins import part
from sharpen.records import Case, content_hash

AT_ONCE = 32  # chosen: as many clients as the engine decodes rows
START_S = 180.0  # chosen: several times what loading the model takes on a slow machine

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Answer:
    """What the gateway said to one message."""

    trace_id: str
    version_id: str
    text: str


@contextmanager
def gateway(config: Path, port: int, log: Path) -> Iterator[str]:
    """Run `sharpen serve` as a process of its own; yields its address. Raises: BoundaryError when it does not start."""
    command = [sys.executable, "-m", "sharpen.cli", "serve", "--config", str(config), "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with (
        log.open("ab") as output,
        subprocess.Popen(command, stdout=output, stderr=output, env=bound_environment()) as process,
    ):
        try:
            _wait(process, url, log)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"{url}/readyz", timeout=2).status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise BoundaryError(f"The gateway did not start at {url}.", f"read {log}")


def ask(url: str, cases: Sequence[Case], on_progress: Progress, *, max_tokens: int) -> list[Answer]:
    """Ask every case's question, many at a time, with the official OpenAI client."""
    client: Any = part("openai").OpenAI(base_url=f"{url}/v1", api_key="not-needed-on-loopback", max_retries=5)

    def one(case: Case) -> Answer:
        messages = [message.model_dump() for message in case.messages]
        reply = client.chat.completions.create(
            model="champion", messages=messages, max_tokens=max_tokens, temperature=0
        )
        return Answer(reply.id, reply.model, reply.choices[0].message.content.strip())

    answers = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for answer in pool.map(one, cases):
            answers.append(answer)
            on_progress(len(answers), len(cases))
    return answers


def respond(url: str, cases: Sequence[Case], answers: Sequence[Answer], *, seed: int, corrected_share: float) -> int:
    """Rate every answer, and correct a part of the wrong ones; the seed draws which. Returns the corrections given."""
    given = 0
    with httpx.Client(base_url=url, timeout=60) as client:
        for case, answer in zip(cases, answers, strict=True):
            right = answer.text == case.reference
            said: dict[str, Any] = {"trace_id": answer.trace_id, "rating": 1 if right else -1, "source": "support-lead"}
            place = int(content_hash((seed, case.id), 8), 16) / 16**8
            if not right and place < corrected_share:
                said["correction"] = case.reference
                given += 1
            client.post("/v1/feedback", json=said).raise_for_status()
    return given


def wait_for(url: str, version_id: str, timeout_s: float = 60.0) -> float:
    """Wait until the gateway serves this version; returns the seconds it took. Raises: BoundaryError."""
    started = time.monotonic()
    while time.monotonic() - started < timeout_s:
        if httpx.get(f"{url}/healthz", timeout=10).json().get("champion") == version_id:
            return time.monotonic() - started
        time.sleep(0.1)
    raise BoundaryError(f"The gateway did not take up {version_id} within {timeout_s:.0f} s.", "sharpen doctor")
