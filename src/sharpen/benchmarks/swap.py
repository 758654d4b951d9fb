"""Swaps of the champion under load: whether a request is lost, or answered by a wrong or a mixed version.

In: how many swaps and users. Out: `swaps`, `failed`, `wrong_version`. Must not know how the gateway swaps.

A gateway in a process of its own serves a tiny random model: what is measured is who answers, not how well. Each
version is an adapter with random weights, whose greedy answer to each prompt is known beforehand and differs from every
other version's: an answer of another version, or one that changes its version on the way, is another text. Half of the
users read streams. The promise: 100 swaps under 100 users, nothing failed, nothing wrong.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx

from sharpen.benchmarks import machine, sources
from sharpen.children import bound_environment
from sharpen.errors import EngineError
from sharpen.models.engine import Engine, Request
from sharpen.plugins import part
from sharpen.records import Message
from sharpen.store import Store
from sharpen.testing import deploy, tiny_model

SWAPS, USERS = 100, 100
VERSIONS = tuple(f"ver_{number}" for number in range(5))
PROMPTS = tuple(f"Which of the {number} tells its name?" for number in (2, 5, 9, 14))
TOKENS = 12  # chosen: long enough that a swap falls into most answers
_LIVELY = 5  # chosen: times the random weights, so that what is written depends on what is read
_SERVE = "import sys; from sharpen.config import load; from sharpen.gateway.run import serve; serve(load(sys.argv[1]))"
_START_S = 120.0  # chosen: imports of a cold process on a busy machine
_SWAP_S = 30.0  # chosen: a swap that takes longer has failed

Expected = dict[tuple[str, str], str]  # version, prompt: its greedy answer


def measure(swaps: int = SWAPS, users: int = USERS) -> dict[str, object]:
    """Return the figures. Raises: MissingExtra; EngineError when two versions cannot be told apart."""
    with tempfile.TemporaryDirectory(prefix="sharpen-swap-") as folder, socket.socket() as probe:
        home = Path(folder)
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
        probe.close()
        base = _base(home)
        (home / "sharpen.toml").write_text(
            f'home = "."\nbase = "{base}"\n[gateway]\nport = {port}\n[serving]\npoll_s = 0.05\n[models]\nthreads = 1\n'
        )
        engine = _engine(base)
        expected = _expected(engine, base, home / "adapters")
        with closing(engine), closing(Store.open(f"sqlite:///{home / 'store.db'}")) as store:

            def swap(version_id: str) -> None:
                deploy(store, engine, version_id, adapter_digest=f"marker_{version_id}")

            swap(VERSIONS[0])
            child = subprocess.Popen(
                [sys.executable, "-c", _SERVE, str(home / "sharpen.toml")],
                stdout=subprocess.DEVNULL,
                env=bound_environment(),
            )
            try:
                figures = asyncio.run(_traffic(f"http://127.0.0.1:{port}", swap, expected, swaps, users))
            finally:
                child.terminate()
                child.wait(60)
    return {
        "benchmark": "swap",
        **figures,
        "users": users,
        "versions": len(VERSIONS),
        **sources(),
        "machine": machine("torch", "transformers"),
    }


def _base(home: Path) -> Path:
    """Make the tiny model, with answers that vary."""
    torch, transformers = part("torch"), part("transformers")
    folder = tiny_model(home / "plain", texts=PROMPTS)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() == 2:
                weights.mul_(_LIVELY)
    model.save_pretrained(home / "base")
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(home / "base")
    return home / "base"


def _engine(base: Path) -> Engine:
    from sharpen.config import ModelsSection
    from sharpen.models.transformers_engine import TransformersEngine

    return TransformersEngine(base, ModelsSection(threads=1))


def _expected(engine: Engine, base: Path, adapters: Path) -> Expected:
    """Write an adapter per version, and return what each answers when it is asked alone."""
    torch, peft, transformers = part("torch"), part("peft"), part("transformers")
    expected: Expected = {}
    for seed, version_id in enumerate(VERSIONS):
        torch.manual_seed(seed)
        model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        settings = peft.LoraConfig(
            r=4, lora_alpha=64, target_modules=["v_proj", "down_proj"], init_lora_weights=False, task_type="CAUSAL_LM"
        )
        folder = adapters / f"marker_{version_id}"
        peft.get_peft_model(model, settings).save_pretrained(folder)
        engine.load(version_id, folder)
        for prompt in PROMPTS:
            request = Request([Message(role="user", content=prompt)], TOKENS)
            expected[version_id, prompt] = engine.generate([request], version_id)[0].text
        engine.unload(version_id)
    if any(len({expected[one, prompt] for one in VERSIONS}) < len(VERSIONS) for prompt in PROMPTS):
        raise EngineError("Two marker versions give the same answer, so a wrong one would not show.")
    return expected


async def _traffic(
    url: str, swap: Callable[[str], None], expected: Expected, swaps: int, users: int
) -> dict[str, object]:
    """Let the users ask until the last swap is done, and count."""
    counts: Counter[str] = Counter()
    faults: list[str] = []
    over = asyncio.Event()
    limits = httpx.Limits(max_connections=users + 2)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits, trust_env=False) as client:
        await _champion(client, VERSIONS[0], _START_S)

        async def use(user: int) -> None:
            turn = user
            while not over.is_set():
                prompt = PROMPTS[turn % len(PROMPTS)]
                try:
                    version_id, text = await _ask(client, prompt, stream=bool(user % 2))
                except Exception as error:
                    counts["failed"] += 1
                    faults.append(f"{type(error).__name__}: {error}"[:200])
                else:
                    counts["answered"] += 1
                    counts[version_id] += 1
                    counts["wrong_version"] += text != expected.get((version_id, prompt))
                turn += 1

        at_work = [asyncio.create_task(use(user)) for user in range(users)]
        began, waits = time.monotonic(), []
        try:
            for number in range(1, swaps + 1):
                version_id = VERSIONS[number % len(VERSIONS)]
                asked = time.monotonic()
                await asyncio.to_thread(swap, version_id)
                await _champion(client, version_id, _SWAP_S)
                waits.append(time.monotonic() - asked)
        finally:
            over.set()
            await asyncio.gather(*at_work)
    return {
        "swaps": len(waits),
        "failed": counts["failed"],
        "wrong_version": counts["wrong_version"],
        "answered": counts["answered"],
        "answers_by_version": {name: counts[name] for name in VERSIONS},
        "swap_p50_s": round(sorted(waits)[len(waits) // 2], 3),
        "swap_max_s": round(max(waits), 3),
        "seconds": round(time.monotonic() - began, 1),
        "faults": faults[:5],
    }


async def _champion(client: httpx.AsyncClient, version_id: str, patience_s: float) -> None:
    """Wait until this version answers. Raises: TimeoutError."""
    async with asyncio.timeout(patience_s):
        while True:
            try:
                if (await client.get("/healthz")).json()["champion"] == version_id:
                    return
            except httpx.ConnectError:  # it is still starting
                pass
            await asyncio.sleep(0.02)


async def _ask(client: httpx.AsyncClient, prompt: str, *, stream: bool) -> tuple[str, str]:
    """Return the version that the answer names, and its text. Raises: HTTPError, ValueError for a broken answer."""
    messages = [{"role": "user", "content": prompt}]
    body: dict[str, Any] = {"messages": messages, "max_tokens": TOKENS, "stream": stream}
    answer = await client.post("/v1/chat/completions", json=body)
    answer.raise_for_status()
    named = answer.headers["x-sharpen-version"]
    if not stream:
        told = [answer.json()]
        text = str(told[0]["choices"][0]["message"]["content"])
    else:
        lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
        if lines[-1] != "[DONE]":
            raise ValueError(f"the stream ended without its end: {lines[-1][:100]}")
        told = [json.loads(line) for line in lines[:-1]]
        text = "".join(one["choices"][0]["delta"].get("content", "") for one in told)
    if {one["model"] for one in told} != {named}:
        return "mixed", text
    return named, text
