"""Each family as a tiny random model of its true architecture: generate, SFT, DPO, save, reload, serve."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.conformance import check_of, record
from transformers import AutoModelForCausalLM, AutoTokenizer

from sharpen.config import ModelsSection
from sharpen.models import adapters
from sharpen.models.engine import Request
from sharpen.models.families import FAMILIES, UNKNOWN, family_of, prepare, turn_of
from sharpen.models.transformers_engine import TransformersEngine
from sharpen.models.weights import digest
from sharpen.records import Message
from sharpen.serving.shelf import Shelf
from sharpen.store import Store
from sharpen.testing import deploy, tiny_family
from sharpen.training.job import Job, Recipe
from sharpen.training.worker import run

PAIRS = {"my bill is wrong": "billing", "where is my parcel": "delivery", "do you sell kettles": "sales"}
LONG = "and so on, as it was asked before, " * 3
NAMES = [family.name for family in FAMILIES]


def request(text: str, limit: int = 8) -> Request:
    return Request([Message(role="user", content=text)], max_new_tokens=limit)


ASKED = [request(question) for question in PAIRS]


@dataclass
class Grown:
    """A family's base, the engine on it, and the adapters trained so far."""

    name: str
    folder: Path
    engine: TransformersEngine
    trained: dict[str, str] = field(default_factory=dict)

    @property
    def adapters(self) -> Path:
        return self.folder / "adapters"

    def train(self, method: str) -> str:
        """Return the digest of the adapter that this method gives; trained at the first call."""
        if method not in self.trained:
            self.adapters.mkdir(exist_ok=True)
            rows = self.folder / "rows.jsonl"
            turns = [([{"role": "user", "content": asked}], chosen) for asked, chosen in PAIRS.items()]
            found = [{"messages": turn, "chosen": chosen, "rejected": "perhaps"} for turn, chosen in turns]
            rows.write_text("".join(json.dumps(row) + "\n" for row in found))
            recipe = Recipe(
                method=method,  # type: ignore[arg-type]
                epochs=12, rank=8, alpha=16, learning_rate=0.01, batch=3, max_length=64, beta=0.1, seed=0, threads=1,
            )  # fmt: skip
            base = self.folder / "base"
            job = Job(base=base, base_digest=digest(base), rows=rows, adapters=self.adapters, recipe=recipe)
            self.trained[method] = run(job, time.perf_counter()).adapter_digest
        return self.trained[method]

    def logprobs(self, version: str) -> list[list[float]]:
        """Return the log-probabilities of the chosen and the rejected answer of each pair."""
        choices = [[answer, "perhaps"] for answer in PAIRS.values()]
        return self.engine.logprobs([one.messages for one in ASKED], choices, version)


@pytest.fixture(scope="module", params=NAMES)
def grown(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grown]:
    folder = tmp_path_factory.mktemp("family")
    base = tiny_family(folder / "base", request.param)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with torch.no_grad():  # what it writes then depends on what it reads
        for weight in model.parameters():
            if weight.dim() >= 2:
                weight.mul_(5)
    model.save_pretrained(base)
    engine = TransformersEngine(base, ModelsSection(threads=1, max_rows=4))
    engine.load("base", None)
    yield Grown(request.param, folder, engine)
    engine.close()


@pytest.fixture
def cell(grown: Grown, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Grown:
    record(record_property, table="model families", part=grown.name, check=check_of(request), how="in process")
    return grown


def test_generate_as_transformers_does(cell: Grown) -> None:
    base = cell.folder / "base"
    tokenizer = AutoTokenizer.from_pretrained(base)
    prepare(tokenizer, json.loads((base / "config.json").read_text())["model_type"])
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    # More than there are rows, and of mixed length: rows are padded, leave and join.
    asked = [request(LONG[: 5 + 17 * i] + question, 4 + i) for i, question in enumerate(list(PAIRS) * 2)]
    expected = []
    for one in asked:
        turns = [message.model_dump() for message in one.messages]
        inputs = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True, return_tensors="pt")
        inputs.pop("token_type_ids", None)
        out = model.generate(
            **inputs, max_new_tokens=one.max_new_tokens, do_sample=False, eos_token_id=sorted(cell.engine._ends)
        )
        written = out[0][inputs["input_ids"].shape[1] :]
        expected.append(tokenizer.decode(written, skip_special_tokens=True).rstrip("\ufffd"))
    assert [answer.text for answer in cell.engine.generate(asked, "base")] == expected
    assert len(set(expected)) > 1


def test_sft(cell: Grown) -> None:
    cell.engine.load("sft", cell.adapters / cell.train("sft"))
    for (after, _), (before, _) in zip(cell.logprobs("sft"), cell.logprobs("base"), strict=True):
        assert after > before + 5  # nats


def test_dpo(cell: Grown) -> None:
    cell.engine.load("dpo", cell.adapters / cell.train("dpo"))
    for (chosen, other), (before, before_other) in zip(cell.logprobs("dpo"), cell.logprobs("base"), strict=True):
        assert chosen - other > before - before_other + 1


def test_save_two_files_that_say_what_they_are(cell: Grown) -> None:
    for method in ("sft", "dpo"):
        folder = cell.adapters / cell.train(method)
        assert sorted(file.name for file in folder.iterdir()) == sorted(adapters.FILES)
        assert adapters.is_whole(folder)
        [family] = [one for one in FAMILIES if one.name == cell.name]
        assert set(json.loads((folder / adapters.CONFIG).read_text())["target_modules"]) == set(family.targets)


def test_reload_what_was_trained(cell: Grown) -> None:
    from peft import PeftModel

    folder = cell.adapters / cell.train("sft")
    model = AutoModelForCausalLM.from_pretrained(cell.folder / "base", dtype=torch.float32)
    peft = PeftModel.from_pretrained(model, str(folder)).eval()
    ids = cell.engine._encode(ASKED[0].messages)
    reply = cell.engine._encode_reply("billing", True)
    with torch.inference_mode():
        logits = peft(torch.tensor([ids + reply])).logits[0].log_softmax(-1)
    theirs = sum(float(logits[len(ids) - 1 + i, token]) for i, token in enumerate(reply))
    cell.engine.load("again", folder)
    assert cell.logprobs("again")[0][0] == pytest.approx(theirs, abs=1e-3)


def test_serve_it_and_the_base_stays_as_it_was(cell: Grown, sqlite_store: Store) -> None:
    before = cell.engine.generate(ASKED, "base")
    deploy(sqlite_store, cell.engine, "served", adapter_digest=cell.train("sft"))
    Shelf(cell.engine, sqlite_store, cell.adapters).load("served")
    after = cell.engine.generate(ASKED, "served")
    assert all(answer.finish_reason in ("stop", "length") for answer in after)
    assert [answer.text for answer in after] != [answer.text for answer in before]
    assert cell.engine.generate(ASKED, "base") == before


def test_end_a_turn_with_the_family_s_own_token(cell: Grown) -> None:
    [family] = [one for one in FAMILIES if one.name == cell.name]
    tokenizer = AutoTokenizer.from_pretrained(cell.folder / "base")
    prepare(tokenizer, json.loads((cell.folder / "base" / "config.json").read_text())["model_type"])
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "answer"}]
    written = tokenizer.apply_chat_template(turns, tokenize=False)
    after = tokenizer.encode(written.partition("answer")[2], add_special_tokens=False)
    turn = turn_of(family, tokenizer, None)
    assert after[0] == turn.end and turn.end in turn.ends
    asked = tokenizer.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True)
    assert written.startswith(asked + turn.lead + "answer")
    assert tokenizer.pad_token is not None


def test_change_every_linear_layer_but_the_head(cell: Grown) -> None:
    [family] = [one for one in FAMILIES if one.name == cell.name]
    model = AutoModelForCausalLM.from_pretrained(cell.folder / "base")
    linear = {name.rpartition(".")[2] for name, part in model.named_modules() if isinstance(part, torch.nn.Linear)}
    assert set(family.targets) == linear - {"lm_head"}
    assert {*family.rescaled, *family.feedforward} <= set(family.targets)
    modules = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    assert modules & set(family.norms)


def test_families_of_one_architecture_are_told_apart_by_a_token() -> None:
    assert family_of("llama", {"<|eot_id|>": 5}).name == "Llama 3"
    assert family_of("llama", {"<|im_end|>": 5}).name == "SmolLM"
    assert family_of("llama", {}) is UNKNOWN is family_of("no such type", {"<|im_end|>": 1})


def test_a_model_of_an_unknown_family_ends_and_pads_with_its_own_end(tiny_base: Path) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(tiny_base)
    tokenizer.pad_token = None
    assert prepare(tokenizer, "no such type") is UNKNOWN
    assert tokenizer.pad_token == tokenizer.eos_token
    turn = turn_of(UNKNOWN, tokenizer, [7, 8])
    assert (turn.end, turn.ends) == (tokenizer.eos_token_id, {tokenizer.eos_token_id, 7, 8})
