"""Tokens per CPU-second of both local engines, each against what it is built on, on mixed-length traffic.

In: nothing, or another base. Out: `ratio_llamacpp` and `ratio_transformers`. Must not know who reads them.

- llama.cpp: our engine against llama.cpp's own server on the same GGUF file with the same slots, asked over HTTP as its
  users ask it. The promise is at least 0.95: our door costs nothing that matters.
- Transformers: our engine against `transformers.generate` in padded batches of equal size. The promise is at least 2.

CPU-seconds of the process and its children, so that a busy machine changes the ratio little; the rounds take turns, and
the better one of each side counts.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil

from sharpen.benchmarks import machine, publish
from sharpen.benchmarks.generation import QUESTIONS, requests
from sharpen.config import SMOLLM2, ModelsSection
from sharpen.models.engine import Engine, Request
from sharpen.plugins import part

PROMISED = {"llamacpp": 0.95, "transformers": 2.0}
ROUNDS = 3
ROWS = 16  # chosen: sequences per batch on both sides
SLOTS = 4  # what our engine on llama.cpp opens

Side = Callable[[], int]  # answers every request, returns the tokens that were asked for and written


def measure(base: str = SMOLLM2, rounds: int = ROUNDS) -> dict[str, object]:
    """Return the figures. Raises: ConfigError, EngineError when the base is not there; MissingExtra."""
    from sharpen.models.llamacpp_engine import LlamacppEngine
    from sharpen.models.opening import gguf_of
    from sharpen.models.transformers_engine import TransformersEngine
    from sharpen.models.weights import resolve

    folder, wanted = resolve(base), requests()
    figures: dict[str, object] = {"benchmark": "generate", "base": base, "prompts": len(wanted)}
    engine: Any = LlamacppEngine(gguf_of(base), folder)
    server = _Server(gguf_of(base))
    figures |= _told("llamacpp", _compared(_ours(engine, wanted), lambda: server.answer(wanted), rounds))
    server.close()
    engine.close()
    engine = TransformersEngine(folder, ModelsSection(max_rows=ROWS))
    figures |= _told("transformers", _compared(_ours(engine, wanted), _padded(folder, wanted), rounds))
    engine.close()
    return figures | {"machine": machine("torch", "transformers", "xllamacpp")}


def _told(name: str, rates: tuple[list[float], list[float]]) -> dict[str, object]:
    ours, theirs = rates
    return {
        f"ratio_{name}": round(max(ours) / max(theirs), 3),
        f"promised_{name}": PROMISED[name],
        f"{name}_tokens_per_cpu_s": {"ours": ours, "theirs": theirs},
    }


def _compared(ours: Side, theirs: Side, rounds: int) -> tuple[list[float], list[float]]:
    ours(), theirs()  # both have been warm once
    turns = [(_rate(ours), _rate(theirs)) for _ in range(rounds)]
    return [one for one, _ in turns], [other for _, other in turns]


def _rate(side: Side) -> float:
    began = _cpu_s()
    return round(side() / (_cpu_s() - began), 2)


def _cpu_s() -> float:
    own = psutil.Process()
    times = [one.cpu_times() for one in [own, *own.children(recursive=True)]]
    return float(sum(one.user + one.system for one in times))


def _ours(engine: Engine, wanted: Sequence[Request]) -> Side:
    engine.load("base", None)
    return lambda: sum(answer.completion_tokens for answer in engine.generate(wanted, "base"))


class _Server:
    """llama.cpp's own server, asked at its OpenAI route with the messages as they are."""

    def __init__(self, gguf: Path) -> None:
        from sharpen.models.llamacpp_server import LlamacppServer

        self._server = LlamacppServer(gguf, [], slots=SLOTS, context_tokens=ModelsSection().max_context_tokens)
        self._client = httpx.Client(base_url=self._server.address, timeout=600)

    def answer(self, wanted: Sequence[Request]) -> int:
        with ThreadPoolExecutor(SLOTS) as pool:
            return sum(pool.map(self._one, wanted))

    def _one(self, request: Request) -> int:
        body = {
            "messages": [message.model_dump() for message in request.messages],
            "max_tokens": request.max_new_tokens,
            "temperature": 0,
        }
        told = self._client.post("/v1/chat/completions", json=body).raise_for_status().json()
        return int(told["usage"]["completion_tokens"])

    def close(self) -> None:
        self._client.close()
        self._server.close()


def _padded(folder: Path, wanted: Sequence[Request]) -> Side:
    """Return `transformers.generate` on left-padded batches, each as long as its longest limit."""
    torch, transformers = part("torch"), part("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, padding_side="left")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, use_safetensors=True).eval()

    def batch(some: Sequence[Request]) -> int:
        turns = [[message.model_dump() for message in request.messages] for request in some]
        inputs = tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, padding=True, return_dict=True, return_tensors="pt"
        )
        with torch.inference_mode():
            most = max(request.max_new_tokens for request in some)
            out = model.generate(**inputs, max_new_tokens=most, do_sample=False, pad_token_id=tokenizer.pad_token_id)
        written = out[:, inputs["input_ids"].shape[1] :].tolist()
        return sum(_counted(row, request, tokenizer.eos_token_id) for row, request in zip(written, some, strict=True))

    return lambda: sum(batch(wanted[start : start + ROWS]) for start in range(0, len(wanted), ROWS))


def _counted(row: Sequence[int], request: Request, end: int) -> int:
    """Return how many of a row's tokens were asked for: up to its end and its own limit."""
    kept = row[: request.max_new_tokens]
    return kept.index(end) if end in kept else len(kept)


def main() -> None:
    """Run from the command line; `--tiny` takes a random model of a million parameters, to see that it runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a random model of a million parameters")
    parser.add_argument("--base", default=SMOLLM2, help="the weights: model id, folder, GGUF file or package:NAME")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns of each side")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    if not given.tiny:
        publish(measure(given.base, given.rounds), given.json)
        return
    from sharpen.testing import tiny_model

    with tempfile.TemporaryDirectory() as folder:
        publish(measure(str(tiny_model(Path(folder) / "tiny", texts=QUESTIONS)), given.rounds), given.json)


if __name__ == "__main__":
    main()
