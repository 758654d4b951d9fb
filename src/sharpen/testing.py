"""Shipped fakes, for the tests of this package and of whoever builds on it.

In: what a fake should say. Out: objects that keep the protocols of `sharpen`, deterministically and without weights.
Must not know any test.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sharpen.errors import EngineError
from sharpen.models.engine import Engine, FinishReason, Generation, Job, Prompt, Request
from sharpen.models.families import FAMILIES, family_of
from sharpen.records import Deployment, ModelVersion, new_id
from sharpen.store import Store

Script = Callable[[Request, str], str]


def _echo(request: Request, version_id: str) -> str:
    """Name the version in every word, so that a mixed answer shows."""
    return " ".join(f"{version_id}:{word}" for word in request.messages[-1].content.split())


class ScriptedEngine:
    """An engine without weights: it answers with what `script` returns, one word per step.

    `on_step` runs before each step: sleep in it to be slow, raise in it to fail. A word is a token. The default script
    repeats the last message's words, each marked with the version that says it.
    """

    def __init__(
        self, script: Script = _echo, *, on_step: Callable[[], None] | None = None, max_context_tokens: int = 2048
    ) -> None:
        self.model_seconds = 0.0
        self.base_digest = "5c41p7ed00000000"
        self.template_digest = "7e3p1a7e00000000"
        self._script = script
        self._on_step = on_step
        self._limit = max_context_tokens
        self._loaded: dict[str, Path | None] = {}
        self._left: dict[Job, list[str]] = {}
        self._written: dict[Job, list[str]] = {}
        self._one_caller = threading.Lock()

    @property
    def versions(self) -> frozenset[str]:
        """The version ids that are loaded."""
        return frozenset(self._loaded)

    def load(self, version_id: str, adapter: Path | None) -> None:
        """Make a version answerable. Raises: EngineError when the adapter's folder is not there."""
        if adapter is not None and not adapter.is_dir():
            raise EngineError(f"There is no adapter in {adapter}.")
        self._loaded[version_id] = adapter

    def unload(self, version_id: str) -> None:
        """Forget a version; its jobs end with an error."""
        self._loaded.pop(version_id, None)
        for job in [job for job in self._left if job.version_id == version_id]:
            self._finish(job, "error", "the version was unloaded")

    def start(self, job: Job) -> None:
        """Queue a job. Raises: EngineError when its version is not loaded."""
        if job.version_id not in self._loaded:
            raise EngineError(f"Version '{job.version_id}' is not loaded.")
        prompt_tokens = _count(job.request.messages)
        if prompt_tokens >= self._limit:
            problem = f"the prompt has {prompt_tokens} tokens; at most {self._limit - 1} fit"
            job.result = Generation("", prompt_tokens, 0, "error", problem)
            return
        text = self._script(job.request, job.version_id)
        cuts = [at for stop in job.request.stop if (at := text.find(stop)) >= 0]
        self._left[job] = re.findall(r"\S+\s*|\s+", text[: min(cuts, default=len(text))])
        self._written[job] = []

    def cancel(self, job: Job) -> None:
        """Stop a job; what it has written so far is its text."""
        if job in self._left:
            self._finish(job, "cancelled")

    def step(self) -> bool:
        """Advance every job by one word. Raises: EngineError when two threads call at once."""
        if not self._one_caller.acquire(blocking=False):
            raise EngineError("Two threads step one engine.")
        try:
            if self._on_step:
                self._on_step()
            jobs = list(self._left)
            for job in jobs:
                self._advance(job)
            return bool(jobs)
        finally:
            self._one_caller.release()

    def _advance(self, job: Job) -> None:
        left, written = self._left[job], self._written[job]
        if left and len(written) < job.request.max_new_tokens:
            written.append(left.pop(0))
            if job.on_text:
                job.on_text(written[-1])
        if not left:
            self._finish(job, "stop")
        elif len(written) >= job.request.max_new_tokens:
            self._finish(job, "length")

    def _finish(self, job: Job, reason: FinishReason, error: str | None = None) -> None:
        del self._left[job]
        written = self._written.pop(job)
        job.result = Generation("".join(written), _count(job.request.messages), len(written), reason, error)

    def generate(self, requests: Sequence[Request], version_id: str) -> list[Generation]:
        """Answer all requests; the results are in the order of the requests."""
        jobs = [Job(request, version_id) for request in requests]
        for job in jobs:
            self.start(job)
        while any(not job.done for job in jobs):
            self.step()
        return [job.result for job in jobs if job.result is not None]

    def logprobs(
        self, prompts: Sequence[Prompt], completions: Sequence[Sequence[str]], version_id: str, *, ended: bool = True
    ) -> list[list[float]]:
        """Return 0 for the scripted answer, and minus the number of characters for any other."""
        return [
            [0.0 if text == self._script(Request(prompt), version_id) else -float(len(text)) for text in texts]
            for prompt, texts in zip(prompts, completions, strict=True)
        ]

    def close(self) -> None:
        """Forget everything."""
        self._loaded.clear()
        self._left.clear()


def _count(prompt: Prompt) -> int:
    return sum(len(message.content.split()) for message in prompt)


def deploy(store: Store, engine: Engine, version_id: str, *, adapter_digest: str | None = None) -> Deployment:
    """Write a version of the engine's base, and make it the champion."""
    newest = store.find(Deployment, newest=True, limit=1)
    champion_id = newest[0].version_id if newest else None
    version = ModelVersion(
        id=version_id,
        base="scripted",
        base_digest=engine.base_digest,
        adapter_digest=adapter_digest,
        template_digest=engine.template_digest,
        parent=champion_id,
    )
    deployment = Deployment(
        id=new_id(Deployment.prefix),
        version_id=version_id,
        shares={version_id: 1.0},
        previous_id=champion_id,
        reason="a test wants it",
    )
    if not store.find(ModelVersion, ids=[version_id]):
        store.append(version)
    store.deploy(deployment, champion_id)
    return deployment


TINY_TEMPLATE = family_of("llama", {"<|im_end|>": 0}).template


def tiny_model(folder: Path, *, seed: int = 0, texts: Sequence[str] = (), width: int = 128, layers: int = 4) -> Path:
    """Make a random Llama of about a million parameters, with a tokenizer trained on `texts`, in `folder`.

    Its answers are noise, but its architecture, files and speed profile are those of a real model: engines, trainers
    and the loop run on it in seconds. Made once; a second call returns the folder.
    """
    if (folder / "config.json").is_file():
        return folder
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    special = ["<|im_end|>", "<|im_start|>", "<|pad|>"]
    fast = _tokenizer(special, texts, eos_token=special[0], bos_token=special[1], pad_token=special[2])
    fast.chat_template = TINY_TEMPLATE
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(fast), hidden_size=width, intermediate_size=round(2.6875 * width), num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=1024, tie_word_embeddings=True,
        eos_token_id=fast.eos_token_id, bos_token_id=fast.bos_token_id, pad_token_id=fast.pad_token_id,
    )  # fmt: skip
    _save(LlamaForCausalLM(config), fast, folder)
    return folder


# Per family: its class, the shape of a tiny one, the words that its tokenizer knows besides bytes (beginning, end of
# sequence, then others), and whether the tokenizer brings the template along.
_SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
_GROUPED = _SHAPE | {"num_key_value_heads": 2, "intermediate_size": 64, "max_position_embeddings": 512}
_TINY: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "Llama 3": (
        "Llama",
        _GROUPED,
        ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"],
    ),
    "Mistral": ("Mistral", _GROUPED | {"sliding_window": 256}, ["<s>", "</s>", "<unk>", "[INST]", "[/INST]"]),
    "Mixtral": ("Mixtral", _GROUPED | {"num_local_experts": 4}, ["<s>", "</s>", "<unk>", "[INST]", "[/INST]"]),
    "Gemma": ("Gemma", _GROUPED | {"head_dim": 8}, ["<bos>", "<eos>", "<pad>", "<start_of_turn>", "<end_of_turn>"]),
    "Falcon": ("Falcon", _SHAPE, ["<|endoftext|>", "<|endoftext|>"]),
    "MPT": (
        "Mpt",
        {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 512},
        ["<|endoftext|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|padding|>"],
    ),
    "Qwen": ("Qwen2", _GROUPED, ["<|endoftext|>", "<|im_end|>", "<|im_start|>"]),
    "SmolLM": ("Llama", _GROUPED | {"tie_word_embeddings": True}, ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]),
}


def tiny_family(folder: Path, name: str, *, seed: int = 0, texts: Sequence[str] = ()) -> Path:
    """Make a random model of a family's true architecture, 2 layers of 32, as its checkpoints come, in `folder`.

    Its tokenizer has no padding token and, where the family's checkpoints bring none, no chat template.
    """
    import torch
    import transformers

    architecture, shape, special = _TINY[name]
    [family] = [one for one in FAMILIES if one.name == name]
    fast = _tokenizer(special, texts, bos_token=special[0], eos_token=special[1])
    if not family.lends_template:
        fast.chat_template = family.template
    torch.manual_seed(seed)
    config = getattr(transformers, f"{architecture}Config")(
        **shape, vocab_size=len(fast), bos_token_id=fast.bos_token_id, eos_token_id=fast.eos_token_id, pad_token_id=None
    )
    _save(getattr(transformers, f"{architecture}ForCausalLM")(config), fast, folder)
    return folder


def _tokenizer(special: Sequence[str], texts: Sequence[str], **named: str) -> Any:
    """Train a byte-level tokenizer on a few words."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        special_tokens=list(dict.fromkeys(special)),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts or ["system user assistant", "the model answers what it is asked"], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named)


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    try:
        partial.rename(folder)
    except OSError:  # another process was first
        shutil.rmtree(partial, ignore_errors=True)
