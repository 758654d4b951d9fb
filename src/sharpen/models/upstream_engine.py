"""The engine on any server that speaks OpenAI's protocol: vLLM, llama.cpp's server, another gateway.

In: requests for a version. Out: text, as that server writes it. Must not know the store, or why it is asked.

The bare base is the server's model of the configured name. Any other version is the model that the server lists under
the version's own id: such a name never changes its meaning, and an answer that names another model is an error. What
weights lie behind a name cannot be seen from here.

The connections live on an event loop of their own, so that giving a request up ends it even while the server is silent.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import os
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from sharpen.config import ModelsSection
from sharpen.errors import EngineError
from sharpen.models import families, weights
from sharpen.models.engine import FinishReason, Generation, Job, Prompt, Request, answer_all
from sharpen.records import content_hash

KEY_ENV = "SHARPEN_ENGINE_API_KEY"  # its own name, so that a key for one server is never sent to another
_TIMEOUT = httpx.Timeout(120.0, connect=5.0)  # chosen: seconds without a byte of a long prompt on a busy server
_LISTING_S = 10.0  # chosen: seconds for the list of models; answers on their way wait for it
_LOOK_S = 0.005  # chosen: how long new requests may wait for the end of a step in which no text comes
_LONGEST_REASON = 300  # chosen: characters of a server's complaint that are passed on
_REFUSALS = (400, 413, 422)  # the request's fault; any other status is the server's


class _Failed(Exception):  # noqa: N818 - it becomes the result of one job
    """One job's failure; `refused` when it is the request's own fault."""

    def __init__(self, why: str, *, refused: bool = False) -> None:
        super().__init__(why)
        self.refused = refused


@dataclass(eq=False)
class _Running:
    """A job on its way; `pieces` is written by the engine's thread alone."""

    work: concurrent.futures.Future[None]
    pieces: list[str] = field(default_factory=list)


class UpstreamEngine:
    """One server, asked over HTTP."""

    def __init__(self, address: str, model: str, folder: Path, settings: ModelsSection | None = None) -> None:
        """`address` ends in /v1; `folder` holds the base that the server serves: its digests stand for it here."""
        from transformers import AutoConfig, AutoTokenizer

        try:
            tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            config: Any = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        except Exception as error:  # damaged files fail in as many ways as there are parsers
            raise EngineError(f"The model in {folder} could not be loaded: {error}", "sharpen doctor") from error
        families.prepare(tokenizer, config.model_type)
        if tokenizer.chat_template is None:
            raise EngineError(f"The model in {folder} has no chat template.", "choose an instruction-tuned `base`")
        self.base_digest = weights.digest(folder)
        self.template_digest = content_hash(tokenizer.chat_template)
        self.model_seconds = 0.0  # seconds in which at least one request was with the server
        self._model, self._address = model, address.rstrip("/")
        self._adapters: dict[str, Path | None] = {}
        self._running: dict[Job, _Running] = {}
        self._told: queue.Queue[tuple[Job, str | Generation]] = queue.Queue()
        key = os.environ.get(KEY_ENV)
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        rows = (settings or ModelsSection()).max_rows
        self._client = httpx.AsyncClient(
            headers=self._headers,
            timeout=_TIMEOUT,
            limits=httpx.Limits(max_connections=rows),
            follow_redirects=False,
            trust_env=False,
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sharpen-upstream", daemon=True)
        self._thread.start()

    @property
    def versions(self) -> frozenset[str]:
        """The version ids that are loaded."""
        return frozenset(self._adapters)

    # -- versions ----------------------------------------------------------------------------------------------------

    def load(self, version_id: str, adapter: Path | None) -> None:
        """Make a version answerable, if the server lists it. Raises: EngineError."""
        if version_id in self._adapters:
            if self._adapters[version_id] != adapter:
                raise EngineError(f"Version '{version_id}' is loaded from another place; version names are immutable.")
            return
        name = self._model if adapter is None else version_id
        if name not in self._listed():
            step = f"load {adapter} there under the name '{name}'" if adapter else "correct [models] engine"
            raise EngineError(f"The upstream server lists no model '{name}'.", step)
        self._adapters[version_id] = adapter

    def unload(self, version_id: str) -> None:
        """Forget a version; the server keeps it."""
        self._adapters.pop(version_id, None)
        for job in [job for job in self._running if job.version_id == version_id]:
            self._end(job, Generation(self._written(job), 0, 0, "error", "the version was unloaded"))

    def _listed(self) -> set[str]:
        try:
            answer = httpx.get(f"{self._address}/models", headers=self._headers, timeout=_LISTING_S, trust_env=False)
            answer.raise_for_status()
            return {str(one["id"]) for one in answer.json()["data"]}
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise EngineError(
                f"The upstream server at {self._address} does not list its models: {error}",
                f"start it, or correct [models] engine; a key goes into {KEY_ENV}",
            ) from error

    # -- answering ---------------------------------------------------------------------------------------------------

    def start(self, job: Job) -> None:
        """Send a job. Raises: EngineError when its version is not loaded."""
        if job.version_id not in self._adapters:
            raise EngineError(f"Version '{job.version_id}' is not loaded.", "sharpen show  lists the versions")
        if job.request.max_new_tokens < 1:
            job.result = Generation("", 0, 0, "length")
            return
        own = self._adapters[job.version_id] is not None
        work = asyncio.run_coroutine_threadsafe(self._ask(job, job.version_id if own else None), self._loop)
        self._running[job] = _Running(work)

    def cancel(self, job: Job) -> None:
        """Stop a job; what has come so far is its text."""
        if job in self._running:
            self._end(job, Generation(self._written(job), 0, 0, "cancelled"))

    def step(self) -> bool:
        """Tell every job what has come for it; wait a moment where nothing has."""
        if not self._running:
            return False
        began = time.perf_counter()
        try:
            self._tell(*self._told.get(timeout=_LOOK_S))
            while True:
                self._tell(*self._told.get_nowait())
        except queue.Empty:
            pass
        self.model_seconds += time.perf_counter() - began
        return True

    def _tell(self, job: Job, news: str | Generation) -> None:
        running = self._running.get(job)
        if running is None:  # it was cancelled, and this came after
            return
        if isinstance(news, Generation):
            self._end(job, news)
            return
        running.pieces.append(news)
        if job.on_text is not None:
            try:
                job.on_text(news)
            except Exception as error:  # a listener's failure is data of its job
                self._end(job, Generation(self._written(job), 0, 0, "error", f"{type(error).__name__}: {error}"))

    def _written(self, job: Job) -> str:
        return "".join(self._running[job].pieces)

    def _end(self, job: Job, result: Generation) -> None:
        running = self._running.pop(job, None)
        if running is not None:
            running.work.cancel()
            job.result = result

    def generate(self, requests: Sequence[Request], version_id: str) -> list[Generation]:
        """Answer all requests; the results are in the order of the requests."""
        return answer_all(self, requests, version_id)

    def logprobs(
        self, prompts: Sequence[Prompt], completions: Sequence[Sequence[str]], version_id: str, *, ended: bool = True
    ) -> list[list[float]]:
        """Refuse: the protocol has no way to score a given text. Raises: EngineError, always."""
        raise EngineError(
            "A server of OpenAI's protocol does not tell the log-probability of a given text.",
            'set `[models] engine` to "transformers" or "llamacpp" for what compares by log-probability',
        )

    def close(self) -> None:
        """Give up what is on its way and close the connections."""
        for job in list(self._running):
            self.cancel(job)
        self._adapters.clear()
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._leave(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    # -- on the loop -------------------------------------------------------------------------------------------------

    async def _leave(self) -> None:
        """Let what was given up end, then close the connections."""
        left = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*left, return_exceptions=True)
        await self._client.aclose()

    async def _ask(self, job: Job, version: str | None) -> None:
        """Send one job and pass on what comes. `version`: the name that the answer must bear."""
        try:
            body = _body(job.request, version or self._model, stream=job.on_text is not None)
            result = await (self._streamed if job.on_text else self._whole)(job, body, version)
        except _Failed as failure:
            result = Generation("", 0, 0, "error", str(failure), failure.refused)
        except httpx.HTTPError as error:
            result = Generation("", 0, 0, "error", f"the upstream server failed: {type(error).__name__}")
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            result = Generation("", 0, 0, "error", f"the upstream server's answer is malformed: {type(error).__name__}")
        self._told.put((job, result))

    async def _whole(self, job: Job, body: dict[str, Any], version: str | None) -> Generation:
        answer = await self._client.post(f"{self._address}/chat/completions", json=body)
        _check(answer)
        told = answer.json()
        _check_name(told, version)
        choice = told["choices"][0]
        return _generation(str(choice["message"]["content"] or ""), choice["finish_reason"], told.get("usage"))

    async def _streamed(self, job: Job, body: dict[str, Any], version: str | None) -> Generation:
        pieces: list[str] = []
        why, usage = None, None
        async with self._client.stream("POST", f"{self._address}/chat/completions", json=body) as answer:
            if answer.is_error:
                await answer.aread()
            _check(answer)
            async for line in answer.aiter_lines():
                if not line.startswith("data:") or (text := line.removeprefix("data:").strip()) == "[DONE]":
                    continue
                told = json.loads(text)
                if "error" in told:
                    raise _Failed("the upstream server failed while it answered")
                _check_name(told, version)
                usage = told.get("usage") or usage
                for choice in told["choices"]:
                    why = choice.get("finish_reason") or why
                    if piece := choice["delta"].get("content"):
                        pieces.append(piece)
                        self._told.put((job, piece))
        if why is None:
            raise _Failed("the upstream server broke off before the answer's end")
        return _generation("".join(pieces), why, usage)


def address_of(spec: str) -> tuple[str, str]:
    """Return the address and the model of "openai:http://host/v1#model"; the configuration has checked its form."""
    address, _, model = spec.removeprefix("openai:").partition("#")
    return address, model


def _body(request: Request, model: str, *, stream: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "max_tokens": request.max_new_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "seed": request.seed,
    }
    if request.stop:
        body["stop"] = list(request.stop)
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def _check(answer: httpx.Response) -> None:
    """Raise what a status other than 200 means; only a refusal's own words are for the client."""
    if answer.status_code == httpx.codes.OK:
        return
    if answer.status_code not in _REFUSALS:
        raise _Failed(f"the upstream server answered {answer.status_code}")
    try:
        why = str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        why = f"the upstream server answered {answer.status_code}"
    raise _Failed(why[:_LONGEST_REASON], refused=True)


def _check_name(told: dict[str, Any], version: str | None) -> None:
    if version is not None and told.get("model") != version:
        raise _Failed(f"the upstream server answered as '{told.get('model')}', and not as '{version}'")


def _generation(text: str, why: str, usage: dict[str, Any] | None) -> Generation:
    """Return a finished answer; its tokens are 0 where the server does not tell them."""
    read, written = (int((usage or {}).get(name) or 0) for name in ("prompt_tokens", "completion_tokens"))
    reasons: dict[str, FinishReason] = {"stop": "stop", "length": "length"}
    if why not in reasons:
        return Generation(text, read, written, "error", f"the upstream server ended the answer by '{why}'")
    return Generation(text, read, written, reasons[why])
