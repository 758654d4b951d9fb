"""llama.cpp's server in this process, with a list of LoRA adapters: asked over loopback, in token ids.

In: a GGUF file, adapters as GGUF files, token ids. Out: token ids and log-probabilities. Must not know versions.

Every request names the scale of every adapter and computes its prompt anew. Measured: a request that names no adapter
keeps the scales of the one before, and llama.cpp reuses what it computed of a prompt under another adapter.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from sharpen.errors import EngineError
from sharpen.plugins import part

_SURE = 1e4  # chosen: added to a token's logit it leaves no chance to another; llama.cpp clips nothing below it
_TIMEOUT_S = 600.0  # chosen: a long prompt on a slow CPU; the connection is to this very process


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
        xllamacpp = part("xllamacpp")
        params = xllamacpp.CommonParams()
        params.model.path = str(model)
        params.hostnames = ["127.0.0.1"]
        params.port = 0
        params.n_parallel = slots
        params.n_ctx = slots * context_tokens
        params.cache_ram_mib = 0
        params.warmup = False
        params.ui = False
        params.verbosity = -1
        if threads:
            params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(file), 0.0) for file in adapters]
        self._adapters = len(adapters)
        try:
            self._server: Any = xllamacpp.Server(params)
        except Exception as error:  # it raises what C++ threw
            raise EngineError(f"llama.cpp could not load {model}: {error}", "sharpen doctor") from error
        self._client = httpx.Client(base_url=self._server.listening_address, timeout=_TIMEOUT_S)

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
            raise EngineError(f"llama.cpp did not answer: {error}") from error

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
    def vocabulary(self) -> int:
        """How many tokens the model knows."""
        return int(self._get("/v1/models")["data"][0]["meta"]["n_vocab"])

    def close(self) -> None:
        """Stop, and free the weights."""
        self._client.close()
        self._server = None

    def _forced(self, ids: Sequence[int], token: int, adapter: int | None, count: int) -> list[dict[str, Any]]:
        how = {"n_predict": 1, "temperature": 0, "n_probs": count, "logit_bias": [[token, _SURE]]}
        try:
            answer = self._client.post("/completion", json=self._body(ids, adapter) | how)
        except httpx.HTTPError as error:
            raise EngineError(f"llama.cpp did not answer: {error}") from error
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
