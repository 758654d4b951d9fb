"""The in-process engine: Transformers weights, PEFT adapters by immutable version, continuous batching.

In: requests for a version. Out: text and log-probabilities. Must not know the store, HTTP or why it is asked.

Adapters stay unmerged beside the frozen base, so that a version's answers do not depend on which versions were loaded
before it. Rows of different versions never share a step.
"""

from __future__ import annotations

import gc
import math
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from sharpen.config import Config, ModelsSection
from sharpen.errors import EngineError
from sharpen.models import adapters, families, replaced, weights
from sharpen.models.decoding import Decoder, Row
from sharpen.models.engine import FinishReason, Generation, Job, Prompt, Request
from sharpen.models.text import TextStream, whole
from sharpen.records import content_hash

_PROMPTS_TOGETHER = 16  # chosen: prompts that are read in one call before their completions are scored
_COMPLETIONS_TOGETHER = 64  # chosen: with eight tokens each and 49k words, the logits take 100 MB
_COLDEST = 1e-4  # chosen: below this a sample is the likeliest token, and the division could overflow


class TransformersEngine:
    """A causal language model in this process."""

    def __init__(self, folder: Path, settings: ModelsSection | None = None) -> None:
        settings = settings or ModelsSection()
        if settings.threads:
            torch.set_num_threads(settings.threads)
        transformers_logging.disable_progress_bar()
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            # fp32 on CPU: bf16 is 20 to 300 times slower where the processor has no instructions for it.
            self._model: Any = AutoModelForCausalLM.from_pretrained(
                folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
            ).eval()
        except Exception as error:  # damaged files fail in as many ways as there are parsers
            raise EngineError(f"The model in {folder} could not be loaded: {error}", "sharpen doctor") from error
        self._swap: Any = replaced.Swap(self._model)
        self._replaced: dict[str, replaced.Weights] = {}  # of the versions that are no LoRA
        family = families.prepare(self._tokenizer, self._model.config.model_type)
        self._peft: Any = None  # wraps the model while adapters are loaded; their layers lie in the model itself
        if self._tokenizer.chat_template is None:
            raise EngineError(
                f"The model in {folder} has no chat template.", "choose an instruction-tuned model as `base`"
            )
        self._folder = folder
        self.base_digest = weights.digest(folder)
        self.template_digest = content_hash(self._tokenizer.chat_template)
        self._settings = settings
        config = self._model.config
        longest: Any = getattr(config, "max_position_embeddings", None) or getattr(config, "max_seq_len", 1 << 30)
        self._limit = min(settings.max_context_tokens, int(longest))
        self._decoders: dict[str, Decoder] = {}
        self._adapters: dict[str, Path | None] = {}
        self._rows: dict[Job, Row] = {}
        self._active: str | None = None
        self._spent = 0.0
        configured = getattr(getattr(self._model, "generation_config", None), "eos_token_id", None)
        self._turn = families.turn_of(family, self._tokenizer, configured)
        self._ends = self._turn.ends

    @classmethod
    def open(cls, config: Config) -> TransformersEngine:
        """Resolve `base` and load it. Raises: ConfigError, EngineError."""
        return cls(weights.resolve(config.base), config.models)

    @property
    def model_seconds(self) -> float:
        """Seconds spent inside forward passes so far."""
        return self._spent + sum(decoder.model_seconds for decoder in self._decoders.values())

    @property
    def versions(self) -> frozenset[str]:
        """The version ids that are loaded."""
        return frozenset(self._adapters)

    # -- versions ----------------------------------------------------------------------------------------------------

    def load(self, version_id: str, adapter: Path | None) -> None:
        """Make a version answerable: an adapter folder, or None for the bare base."""
        adapter = adapter.resolve() if adapter is not None else None
        if version_id in self._adapters:
            if self._adapters[version_id] != adapter:
                raise EngineError(f"Version '{version_id}' is loaded from another place; version names are immutable.")
            return
        if adapter is not None and replaced.replaces(adapter):
            self._replaced[version_id] = replaced.read(adapter, self._folder, self.base_digest)
        elif adapter is not None:
            self._load_adapter(version_id, adapter)
        self._adapters[version_id] = adapter
        self._decoders[version_id] = Decoder(self._model, max_rows=self._settings.max_rows)

    def _load_adapter(self, version_id: str, adapter: Path) -> None:
        from peft import PeftModel

        adapters.check(adapter, self._model, self.base_digest)
        self._active = None
        try:
            if self._peft is None:
                with warnings.catch_warnings():  # PEFT asks Transformers by a name that is about to go
                    warnings.simplefilter("ignore", FutureWarning)
                    self._peft = PeftModel.from_pretrained(self._model, str(adapter), adapter_name=version_id).eval()
            else:
                self._peft.load_adapter(str(adapter), adapter_name=version_id)
        except Exception as error:  # PEFT and safetensors raise a dozen types; all mean the same here
            if self._peft is not None and version_id in self._peft.peft_config:
                self._peft.delete_adapter(version_id)
            raise EngineError(f"The adapter in {adapter} does not fit the base: {error}", "sharpen doctor") from error

    def unload(self, version_id: str) -> None:
        """Forget a version."""
        if version_id not in self._adapters:
            return
        for job in [job for job in self._rows if job.version_id == version_id]:
            self._finish(job, "error", "the version was unloaded")
        self._spent += self._decoders.pop(version_id).model_seconds
        self._active = None
        if self._adapters.pop(version_id) is None:
            return
        if version_id in self._replaced:
            self._swap.use({})
            del self._replaced[version_id]
        elif len(self._peft.peft_config) > 1:
            self._peft.delete_adapter(version_id)
        else:  # PEFT cannot run without any adapter: give the base its own layers back
            self._peft.unload()
            self._peft = None

    def _activate(self, version_id: str) -> Decoder:
        if version_id not in self._adapters:
            raise EngineError(f"Version '{version_id}' is not loaded.", "sharpen show  lists the versions")
        if self._active != version_id:
            self._swap.use(self._replaced.get(version_id, {}))
            if self._adapters[version_id] is not None and version_id not in self._replaced:
                self._peft.base_model.enable_adapter_layers()
                self._peft.set_adapter(version_id)
            elif self._peft is not None:
                self._peft.base_model.disable_adapter_layers()
            self._active = version_id
        return self._decoders[version_id]

    # -- answering ---------------------------------------------------------------------------------------------------

    def start(self, job: Job) -> None:
        """Queue a job."""
        if job.version_id not in self._adapters:
            raise EngineError(f"Version '{job.version_id}' is not loaded.", "sharpen show  lists the versions")
        request = job.request
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
        stream = TextStream(self._decode, request.stop, job.on_text)
        row = Row(
            prompt=prompt,
            max_new_tokens=min(request.max_new_tokens, room),
            pick=_picker(request),
            on_token=partial(self._on_token, job, stream),
            on_failure=partial(self._on_failure, job),
        )
        self._rows[job] = row
        self._decoders[job.version_id].add(row)

    def _on_token(self, job: Job, stream: TextStream, row: Row, token: int) -> bool:
        if token in self._ends:
            row.written.pop()
            self._finish(job, "stop", text=stream.end())
        elif stream.push(row.written):
            self._finish(job, "stop", text=stream.end())
        elif len(row.written) >= row.max_new_tokens:
            self._finish(job, "length", text=stream.end())
        return job.done

    def _on_failure(self, job: Job, problem: Exception) -> None:
        """End one job whose token could not be chosen or told; its neighbours go on."""
        self._finish(job, "error", f"{type(problem).__name__}: {problem}")

    def cancel(self, job: Job) -> None:
        """Stop a job; what it has written so far is its text."""
        if not job.done and job in self._rows:
            self._finish(job, "cancelled", text=whole(self._decode(self._rows[job].written)))

    def _finish(self, job: Job, reason: FinishReason, error: str | None = None, text: str = "") -> None:
        if job.done:  # its listener may have cancelled it while it was being told
            return
        row = self._rows.pop(job)
        row.dropped = True
        job.result = Generation(text, len(row.prompt), len(row.written), reason, error)

    def step(self) -> bool:
        """Advance every version's jobs by one step."""
        busy = [version for version, decoder in self._decoders.items() if decoder.busy]
        for version in busy:
            if version in self._decoders:  # a listener may have unloaded it
                self._activate(version).step()
        return bool(busy)

    def generate(self, requests: Sequence[Request], version_id: str) -> list[Generation]:
        """Answer all requests, batched; the results are in the order of the requests."""
        jobs = [Job(request, version_id) for request in requests]
        decoder = self._activate(version_id)
        decoder.freshen()
        try:
            # Prompts of like length together: less padding. Ties keep their order, so that runs repeat exactly.
            for job in sorted(jobs, key=lambda job: sum(len(m.content) for m in job.request.messages)):
                self.start(job)
            while any(not job.done for job in jobs):
                decoder.step()
        finally:
            for job in jobs:  # when a step failed: leave nothing behind
                self.cancel(job)
        return [job.result for job in jobs if job.result is not None]

    def logprobs(
        self, prompts: Sequence[Prompt], completions: Sequence[Sequence[str]], version_id: str, *, ended: bool = True
    ) -> list[list[float]]:
        """Return, per prompt and per completion, the log-probability of the completion and the end of turn, in nats.

        A prompt whose completions do not all fit into the context gets NaN for each.
        """
        decoder = self._activate(version_id)
        decoder.freshen()
        encoded = [self._encode(prompt) for prompt in prompts]
        replies = [[self._encode_reply(text, ended) for text in texts] for texts in completions]
        longest = [len(prompt) + max(map(len, ids), default=0) for prompt, ids in zip(encoded, replies, strict=True)]
        order = sorted((i for i, n in enumerate(longest) if n <= self._limit), key=lambda i: len(encoded[i]))
        results = [[math.nan] * len(texts) for texts in completions]
        with torch.inference_mode():
            for chunk in _chunks(order, _PROMPTS_TOGETHER):
                scores = iter(_score(decoder, [encoded[i] for i in chunk], [replies[i] for i in chunk]))
                for i in chunk:
                    results[i] = [next(scores) for _ in completions[i]]
        return results

    def close(self) -> None:
        """Free the weights."""
        self._decoders.clear()
        self._adapters.clear()
        self._replaced.clear()
        self._model = self._peft = self._swap = None
        gc.collect()

    # -- tokens ------------------------------------------------------------------------------------------------------

    def _encode(self, messages: Prompt) -> list[int]:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        ids = self._tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=True, return_dict=True)
        return list(ids["input_ids"])

    def _decode(self, ids: Sequence[int]) -> str:
        # Cleaning up spaces would make a text depend on where it was cut into pieces.
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _encode_reply(self, text: str, ended: bool) -> list[int]:
        ids = self._tokenizer.encode(self._turn.lead + text, add_special_tokens=False)
        return [*ids, *([] if self._turn.end is None or not ended else [self._turn.end])]


def _picker(request: Request) -> Any:
    """Return the function that turns a row's logits into its next token; each row has a random stream of its own."""
    if request.temperature < _COLDEST:
        return lambda logits_V: int(logits_V.argmax())
    generator = torch.Generator().manual_seed(request.seed % (1 << 63))

    def sample(logits_V: Tensor) -> int:
        probs_V = torch.softmax(logits_V.float() / request.temperature, dim=-1)
        if request.top_p < 1:
            ordered_V, index_V = probs_V.sort(descending=True)
            ordered_V[ordered_V.cumsum(0) - ordered_V > request.top_p] = 0
            return int(index_V[torch.multinomial(ordered_V, 1, generator=generator)])
        return int(torch.multinomial(probs_V, 1, generator=generator))

    return sample


def _score(decoder: Decoder, prompts: list[list[int]], completions: list[list[list[int]]]) -> list[float]:
    """Read each prompt once, then all its completions on copies of its cache."""
    logits_BV, cache, mask_BT = decoder.prefill(prompts)
    flat = [(i, ids) for i, group in enumerate(completions) for ids in group]
    scores: list[float] = []
    for start in range(0, len(flat), _COMPLETIONS_TOGETHER):
        part = flat[start : start + _COMPLETIONS_TOGETHER]
        owner = torch.tensor([i for i, _ in part])
        width = max(len(ids) for _, ids in part)
        ids_NS = torch.zeros(len(part), width, dtype=torch.long)
        real_NS = torch.zeros(len(part), width, dtype=torch.bool)
        for row, (_, ids) in enumerate(part):
            ids_NS[row, : len(ids)] = torch.tensor(ids)
            real_NS[row, : len(ids)] = True
        spread = [(k.index_select(0, owner), v.index_select(0, owner)) for k, v in cache]
        logits_NSV = decoder.continue_from(spread, mask_BT.index_select(0, owner), ids_NS)
        # The token at position s is predicted by the logits one position earlier; the first by the prompt's last.
        before_NSV = torch.cat([logits_BV.index_select(0, owner)[:, None], logits_NSV[:, :-1]], dim=1).float()
        token_NS = before_NSV.gather(-1, ids_NS[..., None])[..., 0] - before_NSV.logsumexp(-1)
        scores += [float(value) for value in (token_NS * real_NS).sum(-1)]
    return scores


def _chunks(items: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
