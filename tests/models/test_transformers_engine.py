from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sharpen.config import ModelsSection
from sharpen.errors import EngineError
from sharpen.models.adapters import digest
from sharpen.models.engine import Job, Request
from sharpen.models.transformers_engine import TransformersEngine
from sharpen.records import Message
from sharpen.testing import tiny_model

Make = Callable[..., Path]
WEIGHTS = "adapter_model.safetensors"


def ask(text: str, limit: int = 12, **fields: object) -> Request:
    return Request([Message(role="user", content=text)], max_new_tokens=limit, **fields)  # type: ignore[arg-type]


ASKED = [ask(f"question {i} about {word}", 6 + i) for i, word in enumerate(["rain", "bread", "the sea", "maps", "tea"])]


def texts(engine: TransformersEngine, version: str, requests: Sequence[Request] = ASKED) -> list[str]:
    return [answer.text for answer in engine.generate(requests, version)]


def test_versions_answer_as_themselves_and_leave_the_base_alone(
    engine: TransformersEngine, base: Path, adapter: Make
) -> None:
    before = texts(engine, "base")
    logprobs = engine.logprobs([ASKED[0].messages], [["yes", "no"]], "base")
    one, two = adapter(base, "one", seed=1), adapter(base, "two", seed=2)
    engine.load("one", one)
    first = texts(engine, "one")
    engine.load("two", two)
    second = texts(engine, "two")
    assert before != first != second != before
    assert (texts(engine, "one"), texts(engine, "base"), texts(engine, "two")) == (first, before, second)
    engine.unload("one")
    assert engine.versions == {"base", "two"}
    assert (texts(engine, "base"), texts(engine, "two")) == (before, second)
    engine.unload("two")
    assert texts(engine, "base") == before
    assert engine.logprobs([ASKED[0].messages], [["yes", "no"]], "base") == logprobs
    engine.load("one", one)
    assert (texts(engine, "one"), texts(engine, "base")) == (first, before)


def test_an_adapter_answers_as_peft_says(engine: TransformersEngine, base: Path, adapter: Make) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder = adapter(base, "one")
    engine.load("one", folder)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), folder).eval()
    ids = engine._encode(ASKED[0].messages)
    out = model.generate(input_ids=torch.tensor([ids]), max_new_tokens=6, do_sample=False, pad_token_id=2)
    assert texts(engine, "one", ASKED[:1]) == [engine._decode(out[0, len(ids) :]).rstrip("\ufffd")]


def test_versions_that_run_side_by_side_never_mix(engine: TransformersEngine, base: Path, adapter: Make) -> None:
    engine.load("one", adapter(base, "one", seed=1))
    engine.load("two", adapter(base, "two", seed=2))
    alone = {version: texts(engine, version) for version in ("base", "one", "two")}
    jobs = {version: [Job(request, version) for request in ASKED] for version in alone}
    for i in range(len(ASKED)):
        for version in alone:
            engine.start(jobs[version][i])
        engine.step()
    while engine.step():
        pass
    assert {version: [job.result.text for job in each if job.result] for version, each in jobs.items()} == alone


def test_a_version_that_loads_while_others_answer_changes_nothing(
    engine: TransformersEngine, base: Path, adapter: Make
) -> None:
    alone = texts(engine, "base")
    jobs = [Job(request, "base") for request in ASKED]
    for job in jobs:
        engine.start(job)
    for i in range(4):
        engine.step()
        engine.load(f"v{i}", adapter(base, f"v{i}", seed=i))
    engine.unload("v1")
    while engine.step():
        pass
    assert [job.result.text for job in jobs if job.result] == alone


def test_unloading_ends_the_jobs_of_that_version_only(engine: TransformersEngine, base: Path, adapter: Make) -> None:
    engine.load("one", adapter(base, "one"))
    alone = texts(engine, "base")
    gone, kept = Job(ask("hello", 30), "one"), [Job(request, "base") for request in ASKED]
    for job in (gone, *kept):
        engine.start(job)
    engine.step()
    engine.unload("one")
    assert gone.result is not None and gone.result.finish_reason == "error"
    assert gone.result.error == "the version was unloaded"
    while engine.step():
        pass
    assert [job.result.text for job in kept if job.result] == alone
    with pytest.raises(EngineError, match="'one' is not loaded"):
        engine.start(Job(ask("hello"), "one"))
    with pytest.raises(EngineError, match="'one' is not loaded"):
        engine.generate([ask("hello")], "one")
    engine.unload("one")


def test_a_listener_may_unload_a_version(engine: TransformersEngine, base: Path, adapter: Make) -> None:
    engine.load("one", adapter(base, "one"))
    other = Job(ask("hello", 30), "one")
    first = Job(ask("question 3 about maps", 8), "base", on_text=lambda _: engine.unload("one"))
    for job in (first, other):
        engine.start(job)
    while engine.step():
        pass
    assert other.result is not None and other.result.finish_reason == "error"
    assert first.result is not None and first.result.finish_reason == "length"


def test_a_version_name_never_changes_its_weights(engine: TransformersEngine, base: Path, adapter: Make) -> None:
    one, two = adapter(base, "one", seed=1), adapter(base, "two", seed=2)
    engine.load("one", one)
    engine.load("one", one / ".." / "one")  # the same place, in other words
    with pytest.raises(EngineError, match="immutable"):
        engine.load("one", two)
    with pytest.raises(EngineError, match="immutable"):
        engine.load("base", one)
    assert engine.versions == {"base", "one"}


def truncated(folder: Path) -> None:
    file = folder / WEIGHTS
    file.write_bytes(file.read_bytes()[:-100])


def garbage(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"\x80\x04not tensors at all" * 20)


def no_weights(folder: Path) -> None:
    (folder / WEIGHTS).unlink()


def no_config(folder: Path) -> None:
    (folder / "adapter_config.json").unlink()


def broken_config(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{")


def configured(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def not_a_number(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    next(iter(tensors.values()))[0, 0] = float("nan")
    save_file(tensors, folder / WEIGHTS)


def layer_missing(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    save_file({key: value for key, value in tensors.items() if "layers.2" not in key}, folder / WEIGHTS)


def layer_too_many(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    key = next(key for key in tensors if "layers.3" in key)
    save_file(tensors | {key.replace("layers.3", "layers.4"): tensors[key].clone()}, folder / WEIGHTS)


def another_size(folder: Path) -> None:
    tensors = {key: torch.cat([value, value], dim=1) for key, value in load_file(folder / WEIGHTS).items()}
    save_file(tensors, folder / WEIGHTS)


DAMAGES = {
    "truncated": truncated, "garbage": garbage, "no weights": no_weights, "no config": no_config,
    "broken config": broken_config, "wrong rank": configured(r=8),
    "other base": configured(base_model_name_or_path="0" * 16),
    "not LoRA": configured(peft_type="IA3"), "whole layers": configured(modules_to_save=["lm_head"]),
    "NaN": not_a_number, "a layer missing": layer_missing, "a layer too many": layer_too_many,
    "another size": another_size,
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
@pytest.mark.parametrize("first", [True, False], ids=["first adapter", "second adapter"])
def test_a_bad_adapter_is_refused_and_the_others_still_answer(
    engine: TransformersEngine, base: Path, adapter: Make, damage: Callable[[Path], None], first: bool
) -> None:
    versions = ["base"]
    if not first:
        engine.load("good", adapter(base, "good"))
        versions.append("good")
    before = {version: texts(engine, version, ASKED[:2]) for version in versions}
    bad = adapter(base, "bad", seed=3)
    damage(bad)
    with pytest.raises(EngineError, match="bad"):
        engine.load("bad", bad)
    assert engine.versions == set(versions)
    assert {version: texts(engine, version, ASKED[:2]) for version in versions} == before
    shutil.rmtree(bad)
    engine.load("bad", adapter(base, "bad", seed=3))  # the name is free for the whole one
    assert texts(engine, "bad", ASKED[:2]) != before["base"]


def test_one_flipped_bit_in_an_adapter_named_by_its_content_is_found(
    engine: TransformersEngine, base: Path, adapter: Make
) -> None:
    made = adapter(base, "made")
    folder = made.rename(made.with_name(digest(made)))
    engine.load("whole", folder)
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[-7] ^= 1
    (folder / WEIGHTS).write_bytes(data)
    with pytest.raises(EngineError, match="damaged"):
        engine.load("flipped", folder)


def test_an_adapter_for_a_model_of_another_shape_is_refused(
    engine: TransformersEngine, base: Path, adapter: Make, tmp_path: Path
) -> None:
    from transformers import AutoConfig, LlamaForCausalLM

    config = AutoConfig.from_pretrained(base)
    config.num_hidden_layers = 2
    LlamaForCausalLM(config).save_pretrained(tmp_path / "shallow")
    with pytest.raises(EngineError, match="no weights for"):
        engine.load("one", adapter(tmp_path / "shallow", "one"))


def test_streamed_pieces_are_the_text(engine: TransformersEngine) -> None:
    requests = [ask(f"tell me {i}", 40) for i in range(6)]
    whole = texts(engine, "base", requests)
    pieces: list[list[str]] = [[] for _ in requests]
    jobs = [Job(request, "base", on_text=piece.append) for request, piece in zip(requests, pieces, strict=True)]
    for job in jobs:
        engine.start(job)
    while engine.step():
        pass
    assert ["".join(piece) for piece in pieces] == whole == [job.result.text for job in jobs if job.result]


def test_a_stop_string_cuts_the_answer(engine: TransformersEngine) -> None:
    whole = texts(engine, "base", [ask("tell me", 40)])[0]
    stop = whole[9:13]
    answer = engine.generate([ask("tell me", 40, stop=(stop,))], "base")[0]
    assert answer.text == whole[: whole.index(stop)]
    assert answer.finish_reason == "stop" and answer.completion_tokens < 40


def test_the_end_token_ends_an_answer_and_is_not_part_of_it(base: Path, reference: Callable[..., list[str]]) -> None:
    engine = TransformersEngine(base)
    engine.load("base", None)
    ids = engine._encode(ask("tell me").messages)
    with torch.inference_mode():
        first = int(engine._model(torch.tensor([ids])).logits[0, -1].argmax())
    engine._ends = frozenset({first})
    answer = engine.generate([ask("tell me")], "base")[0]
    assert (answer.text, answer.completion_tokens, answer.finish_reason) == ("", 0, "stop")


def test_messages_that_the_template_refuses_are_a_result(base: Path) -> None:
    engine = TransformersEngine(base)
    engine.load("base", None)
    engine._tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    answer = engine.generate([ask("hello")], "base")[0]
    assert answer.finish_reason == "error" and "roles must alternate" in (answer.error or "")


def test_the_engine_counts_the_seconds_inside_the_model(engine: TransformersEngine, base: Path, adapter: Make) -> None:
    engine.load("one", adapter(base, "one"))
    texts(engine, "one")
    spent = engine.model_seconds
    assert spent > 0
    engine.unload("one")
    assert engine.model_seconds == spent


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path, tiny_base: Path) -> None:
    with pytest.raises(EngineError, match="could not be loaded"):
        TransformersEngine(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(tiny_base, copy)
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(EngineError, match="could not be loaded"):
        TransformersEngine(copy)


def test_pickled_weights_are_not_loaded_though_a_safetensors_file_lies_beside_them(
    tmp_path: Path, tiny_base: Path
) -> None:
    from transformers import AutoModelForCausalLM

    copy = tmp_path / "copy"
    shutil.copytree(tiny_base, copy)
    torch.save(AutoModelForCausalLM.from_pretrained(copy).state_dict(), copy / "pytorch_model.bin")
    (copy / "model.safetensors").rename(copy / "other.safetensors")
    with pytest.raises(EngineError, match="could not be loaded"):
        TransformersEngine(copy)


def test_a_model_without_a_chat_template_is_refused(tmp_path: Path, tiny_base: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_base, copy)
    for file in copy.glob("*.jinja"):
        file.unlink()
    settings = json.loads((copy / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (copy / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(EngineError, match="no chat template"):
        TransformersEngine(copy)


def test_the_tiny_model_is_made_once_and_is_the_same_for_the_same_seed(tiny_base: Path, tmp_path: Path) -> None:
    stamp = (tiny_base / "model.safetensors").stat().st_mtime_ns
    assert tiny_model(tiny_base) == tiny_base
    assert (tiny_base / "model.safetensors").stat().st_mtime_ns == stamp
    again = tiny_model(tmp_path / "again")
    assert (again / "model.safetensors").read_bytes() == (tiny_base / "model.safetensors").read_bytes()
    other = tiny_model(tmp_path / "other", seed=1)
    assert (other / "model.safetensors").read_bytes() != (again / "model.safetensors").read_bytes()


def test_closing_frees_every_version(base: Path) -> None:
    engine = TransformersEngine(base, ModelsSection(max_rows=2))
    engine.load("base", None)
    engine.close()
    assert engine.versions == frozenset()
    with pytest.raises(EngineError, match="not loaded"):
        engine.generate([ask("hello")], "base")
