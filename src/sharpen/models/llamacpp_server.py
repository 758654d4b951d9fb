"""llama.cpp's server in a child process, with a list of LoRA adapters: asked over loopback, in token ids.

In: a GGUF file, adapters as GGUF files, token ids. Out: token ids and log-probabilities. Must not know versions.

A process of its own, since C++ ends a process where Python raises: measured, an abort inside a process that had loaded
many other libraries.

Every request names the scale of every adapter and computes its prompt anew. Measured: a request that names no adapter
keeps the scales of the one before, and llama.cpp reuses what it computed of a prompt under another adapter.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from sharpen.children import bound_environment
from sharpen.errors import EngineError
from sharpen.plugins import present

_SURE = 1e4  # chosen: added to a token's logit it leaves no chance to another; llama.cpp clips nothing below it
_DYING_S = 1.0  # chosen: far more than a killed process takes to be gone
_TIMEOUT_S = 600.0  # chosen: a long prompt on a slow CPU; the connection is to this very machine


@dataclass(frozen=True)
class Piece:
    """What came of a request: its next text and tokens; the last piece says how many tokens and seconds it took."""

    text: str
    tokens: list[int]
    is_last: bool
    count: int = 0
    seconds: float = 0.0


class LlamacppServer:
    """One model and its adapters. The list is fixed when it starts."""

    def __init__(
        self, model: Path, adapters: Sequence[Path], *, slots: int, context_tokens: int, threads: int = 0
    ) -> None:
        present("xllamacpp")  # a missing part is told here, and not by the child
        settings = {
            "model": str(model),
            "adapters": [str(file) for file in adapters],
            "slots": slots,
            "context_tokens": context_tokens,
            "threads": threads,
        }
        self._adapters = len(adapters)
        # A new connection per request: llama.cpp ends an idle one after some seconds, and a request that is just then
        # sent on it is lost.
        self._client = httpx.Client(timeout=_TIMEOUT_S, limits=httpx.Limits(max_keepalive_connections=0))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sharpen.models.llamacpp_child", json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=bound_environment(),
            text=True,
        )
        told = self._address()
        if "address" not in told:
            self.close()
            raise EngineError(f"llama.cpp could not load {model}: {told['error']}", "sharpen doctor")
        self.address = told["address"]
        self._client.base_url = httpx.URL(self.address)

    def _address(self) -> dict[str, str]:
        """Return what the child says of itself: its address, or why it has none."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):  # llama.cpp may print something before
                return dict(json.loads(line))
        return {"error": f"its process ended with status {self._process.wait()}"}

    def stream(self, ids: Sequence[int], adapter: int | None, *, live: bool, **how: Any) -> Iterator[Piece]:
        """Yield what is written after these tokens; leaving the iterator stops it. Raises: EngineError.

        `live` gives it as it is written; the pieces then lack tokens that are a part of a character, but no text.
        """
        body = self._body(ids, adapter) | {"stream": live, "return_tokens": True} | how
        try:
            with self._client.stream("POST", "/completion", json=body) as answer:
                if answer.status_code != httpx.codes.OK:
                    raise EngineError(f"llama.cpp refused: {answer.read().decode(errors='replace')}")
                for line in answer.iter_lines():
                    if line.startswith(("data: ", "{")):
                        yield _piece(json.loads(line.removeprefix("data: ")))
        except httpx.HTTPError as error:
            raise self._silent(error) from error

    def logprob(self, ids: Sequence[int], token: int, adapter: int | None) -> float:
        """Return the log-probability of a token after these, nats, before any sampling. Raises: EngineError.

        The token is forced, and llama.cpp tells what its chance was. Of a token that is a part of a character it tells
        nothing: then another one is forced, and the whole vocabulary's chances are told.
        """
        told = self._forced(ids, token, adapter, 1)
        if told and told[0]["id"] == token:
            return float(told[0]["logprob"])
        for plain in self._plain():
            for found in (self._forced(ids, plain, adapter, self.vocabulary) or [{}])[0].get("top_logprobs", []):
                if found["id"] == token:
                    return float(found["logprob"])
        raise EngineError(f"llama.cpp does not tell the chance of token {token}.")

    @property
    def is_alive(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    @property
    def vocabulary(self) -> int:
        """How many tokens the model knows."""
        return int(self._get("/v1/models")["data"][0]["meta"]["n_vocab"])

    def close(self) -> None:
        """Stop, and free the weights."""
        self._client.close()
        self._process.kill()  # it holds nothing that could be lost
        self._process.communicate()

    def _silent(self, error: httpx.HTTPError) -> EngineError:
        """Return the error to raise; where the process is dying, not before `is_alive` knows it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_DYING_S)  # its connections end a moment before it does
        return EngineError(f"llama.cpp did not answer: {error}")

    def _forced(self, ids: Sequence[int], token: int, adapter: int | None, count: int) -> list[dict[str, Any]]:
        how = {"n_predict": 1, "temperature": 0, "n_probs": count, "logit_bias": [[token, _SURE]]}
        try:
            answer = self._client.post("/completion", json=self._body(ids, adapter) | how)
        except httpx.HTTPError as error:
            raise self._silent(error) from error
        if answer.status_code != httpx.codes.OK:
            raise EngineError(f"llama.cpp refused: {answer.text}")
        return list(answer.json().get("completion_probabilities") or [])

    def _plain(self) -> list[int]:
        answer = self._client.post("/tokenize", json={"content": "a", "add_special": False})
        return list(answer.json()["tokens"])

    def _get(self, path: str) -> Any:
        return self._client.get(path).json()

    def _body(self, ids: Sequence[int], adapter: int | None) -> dict[str, Any]:
        scales = [{"id": number, "scale": float(number == adapter)} for number in range(self._adapters)]
        return {"prompt": list(ids), "lora": scales, "cache_prompt": False}


def _piece(told: dict[str, Any]) -> Piece:
    if "error" in told:
        raise EngineError(f"llama.cpp stopped: {told['error'].get('message', told['error'])}")
    times = told.get("timings") or {}
    seconds = (float(times.get("prompt_ms", 0)) + float(times.get("predicted_ms", 0))) / 1000
    return Piece(
        str(told.get("content", "")),
        list(told.get("tokens", [])),
        bool(told.get("stop")),
        int(told.get("tokens_predicted", 0)),
        seconds,
    )
