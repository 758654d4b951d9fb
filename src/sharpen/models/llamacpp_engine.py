"""The engine on llama.cpp: a quantised base from a GGUF file, LoRA versions beside it.

In: requests for a version. Out: text and log-probabilities. Must not know the store, HTTP clients or why it is asked.

Prompts are put into tokens by the same tokenizer that training uses, so that a version reads what it was taught on. It
answers in the base's quantised weights: close to the Transformers engine's answers, never equal. A new adapter needs a
new start of the server's process, a matter of a second or two; what is on its way is finished before.
"""

from __future__ import annotations

import math
import queue
import shutil
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sharpen.config import ModelsSection
from sharpen.errors import EngineError, Refused
from sharpen.models import families, weights
from sharpen.models.engine import FinishReason, Generation, Job, Prompt, Request, answer_all
from sharpen.models.gguf_adapter import write_adapter
from sharpen.models.llamacpp_server import LlamacppServer, Piece
from sharpen.models.text import TextStream, whole
from sharpen.records import content_hash

_SLOTS = 4  # chosen: sequences decoded together; each has a context of its own in memory


@dataclass(eq=False)
class _Running:
    """A job on its way: its own thread reads what llama.cpp writes, the engine's thread tells it."""

    prompt: list[int]
    stream: TextStream
    live: bool
    limit: int
    left: bool = False
    pieces: list[str] = field(default_factory=list)
    written: int = 0  # tokens


class LlamacppEngine:
    """One GGUF file, and adapters for it."""

    def __init__(self, gguf: Path, folder: Path, settings: ModelsSection | None = None) -> None:
        """`folder` holds the same base as Transformers reads it: its tokenizer, its config, and its digest."""
        from transformers import AutoConfig, AutoTokenizer

        self._settings = settings or ModelsSection()
        self._gguf, self._folder = gguf, folder
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            config: Any = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        except Exception as error:  # damaged files fail in as many ways as there are parsers
            raise EngineError(f"The model in {folder} could not be loaded: {error}", "sharpen doctor") from error
        family = families.prepare(self._tokenizer, config.model_type)
        if self._tokenizer.chat_template is None:
            raise EngineError(f"The model in {folder} has no chat template.", "choose an instruction-tuned `base`")
        self._turn = families.turn_of(family, self._tokenizer, getattr(config, "eos_token_id", None))
        self._limit = min(self._settings.max_context_tokens, getattr(config, "max_position_embeddings", 1 << 30))
        self.base_digest = weights.digest(folder)
        self.template_digest = content_hash(self._tokenizer.chat_template)
        self.model_seconds = 0.0
        self._scratch = Path(tempfile.mkdtemp(prefix="sharpen-gguf-"))
        self._adapters: dict[str, Path | None] = {}
        self._files: list[str] = []  # versions with an adapter, in the order that the server knows them in
        self._server: LlamacppServer | None = None
        self._running: dict[Job, _Running] = {}
        self._told: queue.Queue[tuple[Job, Piece | Exception]] = queue.Queue()
        self._room = threading.Semaphore(_SLOTS)

    @property
    def versions(self) -> frozenset[str]:
        """The version ids that are loaded."""
        return frozenset(self._adapters)

    # -- versions ----------------------------------------------------------------------------------------------------

    def load(self, version_id: str, adapter: Path | None) -> None:
        """Make a version answerable: a LoRA adapter's folder, or None for the bare base. Raises: EngineError."""
        adapter = adapter.resolve() if adapter is not None else None
        if version_id in self._adapters:
            if self._adapters[version_id] != adapter:
                raise EngineError(f"Version '{version_id}' is loaded from another place; version names are immutable.")
            return
        if adapter is not None:
            try:
                write_adapter(adapter, self._folder, self._scratch / f"{content_hash(version_id)}.gguf")
            except Refused as error:
                raise EngineError(
                    f"llama.cpp cannot serve {adapter}: {error.what}", "serve it with Transformers"
                ) from error
            self._restart([*self._files, version_id])
        self._adapters[version_id] = adapter

    def unload(self, version_id: str) -> None:
        """Forget a version."""
        if version_id not in self._adapters:
            return
        for job in [job for job in self._running if job.version_id == version_id]:
            self._finish(job, "error", "the version was unloaded")
        if self._adapters.pop(version_id) is not None:
            self._restart([name for name in self._files if name != version_id])

    def _restart(self, files: list[str]) -> None:
        """Let the next request start a server with these adapters, when what is on its way has been written."""
        while self.step():
            pass
        if self._server is not None:
            self._server.close()
        self._server, self._files = None, files

    def _ready(self) -> LlamacppServer:
        """Return the server; one that died, by a fault of its own or for want of memory, is started anew."""
        if self._server is not None and not self._server.is_alive:
            self._server.close()
            self._server = None
        if self._server is None:
            self._server = LlamacppServer(
                self._gguf,
                [self._scratch / f"{content_hash(name)}.gguf" for name in self._files],
                slots=_SLOTS,
                context_tokens=self._limit,
                threads=self._settings.threads,
            )
        return self._server

    def _adapter(self, version_id: str) -> int | None:
        if version_id not in self._adapters:
            raise EngineError(f"Version '{version_id}' is not loaded.", "sharpen show  lists the versions")
        return self._files.index(version_id) if self._adapters[version_id] is not None else None

    # -- answering ---------------------------------------------------------------------------------------------------

    def start(self, job: Job) -> None:
        """Queue a job."""
        adapter, request = self._adapter(job.version_id), job.request
        try:
            prompt = self._encode(request.messages)
        except Exception as error:  # a chat template may raise anything, e.g. when roles do not alternate
            job.result = Generation("", 0, 0, "error", f"the chat template refused the messages: {error}")
            return
        room = self._limit - len(prompt)
        if room < 1:
            problem = f"the prompt has {len(prompt)} tokens; at most {self._limit - 1} fit"
            job.result = Generation("", len(prompt), 0, "error", problem)
            return
        if request.max_new_tokens < 1:
            job.result = Generation("", len(prompt), 0, "length")
            return
        running = _Running(
            prompt,
            TextStream("".join, request.stop, job.on_text),
            live=job.on_text is not None or bool(request.stop),
            limit=min(request.max_new_tokens, room),
        )
        self._running[job] = running
        how = _sampling(request) | {"n_predict": running.limit, "live": running.live}
        arguments = (self._ready(), job, running, adapter, how)
        threading.Thread(target=self._read, args=arguments, name="sharpen-llamacpp", daemon=True).start()

    def _read(
        self, server: LlamacppServer, job: Job, running: _Running, adapter: int | None, how: dict[str, Any]
    ) -> None:
        """Pass on what llama.cpp writes for one job, on a thread of its own; leaving the stream stops it there."""
        with self._room:
            try:
                for piece in server.stream(running.prompt, adapter, **how):
                    self._told.put((job, piece))
                    if running.left:
                        return
            except Exception as error:  # one job's failure is data of that job
                self._told.put((job, error))

    def cancel(self, job: Job) -> None:
        """Stop a job; what it has written so far is its text."""
        if job in self._running:
            self._finish(job, "cancelled", text=whole("".join(self._running[job].pieces)))

    def step(self) -> bool:
        """Wait for the next token of any job, and tell every one that has come."""
        if not self._running:
            return False
        told = [self._told.get()]
        while not self._told.empty():
            told.append(self._told.get())
        for job, piece in told:
            if job in self._running:  # else it has been finished or cancelled, and this came after
                self._take(job, piece)
        return True

    def _take(self, job: Job, piece: Piece | Exception) -> None:
        running = self._running[job]
        if isinstance(piece, Exception):
            self._finish(job, "error", f"{type(piece).__name__}: {piece}")
            return
        self.model_seconds += piece.seconds if piece.is_last else 0.0
        ended = next((at for at, token in enumerate(piece.tokens) if token in self._turn.ends), None)
        try:
            if running.live:
                self._take_live(job, running, piece, ended is not None)
            else:
                kept = piece.tokens[:ended]
                running.written = len(kept)
                full = ended is None and len(kept) >= running.limit
                self._finish(job, "length" if full else "stop", text=whole(self._decode(kept)))
        except Exception as error:  # a listener's failure is data of its job
            self._finish(job, "error", f"{type(error).__name__}: {error}")

    def _take_live(self, job: Job, running: _Running, piece: Piece, ended: bool) -> None:
        if not ended and piece.text:
            running.pieces.append(piece.text)
            running.written = piece.count
        stopped = running.stream.push(running.pieces)
        if job.done:  # its listener cancelled it
            return
        if ended or stopped:
            self._finish(job, "stop", text=running.stream.end())
        elif piece.is_last:
            running.written = piece.count
            self._finish(job, "length" if piece.count >= running.limit else "stop", text=running.stream.end())

    def _finish(self, job: Job, reason: FinishReason, error: str | None = None, text: str = "") -> None:
        running = self._running.pop(job, None)
        if running is None:  # its listener may have cancelled it while it was being told
            return
        running.left = True
        job.result = Generation(text, len(running.prompt), running.written, reason, error)

    def generate(self, requests: Sequence[Request], version_id: str) -> list[Generation]:
        """Answer all requests; the results are in the order of the requests."""
        return answer_all(self, requests, version_id)

    def logprobs(
        self, prompts: Sequence[Prompt], completions: Sequence[Sequence[str]], version_id: str, *, ended: bool = True
    ) -> list[list[float]]:
        """Return, per prompt and completion, the log-probability, with the end of turn where it `ended`, in nats."""
        adapter = self._adapter(version_id)
        found = []
        for prompt, texts in zip(prompts, completions, strict=True):
            ids, scores = self._encode(prompt), []
            for text in texts:
                reply = self._tokenizer.encode(self._turn.lead + text, add_special_tokens=False)
                reply += [] if self._turn.end is None or not ended else [self._turn.end]
                fits = len(ids) + len(reply) <= self._limit
                scores.append(self._score(ids, reply, adapter) if fits else math.nan)
            found.append(scores)
        return found

    def _score(self, ids: list[int], reply: list[int], adapter: int | None) -> float:
        server = self._ready()
        return sum(server.logprob([*ids, *reply[:at]], token, adapter) for at, token in enumerate(reply))

    def close(self) -> None:
        """Free the weights."""
        for job in list(self._running):
            self.cancel(job)
        if self._server is not None:
            self._server.close()
        self._server = None
        self._adapters.clear()
        shutil.rmtree(self._scratch, ignore_errors=True)

    # -- tokens ------------------------------------------------------------------------------------------------------

    def _encode(self, messages: Prompt) -> list[int]:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        ids = self._tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=True, return_dict=True)
        return list(ids["input_ids"])

    def _decode(self, ids: Sequence[int]) -> str:
        # Cleaning up spaces would make a text depend on where it was cut into pieces.
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def _sampling(request: Request) -> dict[str, Any]:
    """Return llama.cpp's settings for a request; everything that it would do by itself is off."""
    return {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": 0,
        "min_p": 0.0,
        "repeat_penalty": 1.0,
        "samplers": ["top_p", "temperature"],
        "seed": request.seed % (1 << 32),
    }
