"""A small model whose answers vary, engines on it, random adapters for it, and Transformers itself to compare with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from sharpen.config import ModelsSection
from sharpen.models.engine import Request
from sharpen.models.transformers_engine import TransformersEngine
from sharpen.records import Message

WORDS = [
    "the",
    "model",
    "answers",
    "what",
    "it",
    "is",
    "asked",
    "and",
    "nothing",
    "else",
    "as",
    "far",
    "as",
    "we",
    "know",
    "so",
]


def ask(text: str, limit: int = 12, system: str = "", **fields: Any) -> Request:
    head = [Message(role="system", content=system)] if system else []
    return Request([*head, Message(role="user", content=text)], max_new_tokens=limit, **fields)


@pytest.fixture(scope="session")
def base(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tiny model with its weights five times as large: what it writes then depends on what it reads."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path_factory.mktemp("lively")
    model = AutoModelForCausalLM.from_pretrained(tiny_base)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() == 2:
                weights.mul_(5)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_base).save_pretrained(folder)
    return folder


@pytest.fixture
def engine(base: Path) -> Iterator[TransformersEngine]:
    """Return an engine of four rows with version 'base'."""
    engine = TransformersEngine(base, ModelsSection(max_rows=4))
    engine.load("base", None)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def asked() -> list[Request]:
    """Return requests of mixed prompt and answer length; half of them share a long beginning."""
    system = "Answer in one word, and think of the reader before you write anything at all. " * 2
    prompts = [" ".join((WORDS * 2)[i % 5 : i % 5 + 1 + 3 * (i % 6)]) + f" {i}?" for i in range(14)]
    return [ask(prompt, 1 + (i * 7) % 23, system if i % 2 else "") for i, prompt in enumerate(prompts)]


@pytest.fixture(scope="session")
def reference(base: Path) -> Callable[[Sequence[Request]], list[str]]:
    """Return a function that answers with `transformers.generate`, one request at a time."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()

    def answer(requests: Sequence[Request]) -> list[str]:
        texts = []
        for request in requests:
            turns = [message.model_dump() for message in request.messages]
            inputs = tokenizer.apply_chat_template(
                turns, add_generation_prompt=True, return_dict=True, return_tensors="pt"
            )
            out = model.generate(**inputs, max_new_tokens=request.max_new_tokens, do_sample=False)
            written = out[0][inputs["input_ids"].shape[1] :]
            texts.append(tokenizer.decode(written, skip_special_tokens=True).rstrip("\ufffd"))
        return texts

    return answer


@pytest.fixture
def adapter(tmp_path: Path) -> Callable[..., Path]:
    """Return a maker of LoRA adapters with random weights."""

    def make(base: Path, name: str, *, seed: int = 1, **shape: Any) -> Path:
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        settings = {"r": 4, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj", "down_proj"]} | shape
        config = LoraConfig(**settings, init_lora_weights=False, task_type="CAUSAL_LM")
        get_peft_model(model, config).save_pretrained(tmp_path / name)
        return tmp_path / name

    return make
