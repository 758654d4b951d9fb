"""Every kind of adapter: trained, saved under one digest for one seed, loaded again beside the base, served."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sharpen.config import ModelsSection, parse
from sharpen.config.adapter_kinds import FULL, KINDS, REFUSED
from sharpen.errors import ConfigError, EngineError, MissingExtra, TrainerError
from sharpen.install import install, overlay
from sharpen.models import adapters
from sharpen.models.engine import Request
from sharpen.models.transformers_engine import TransformersEngine
from sharpen.models.weights import digest
from sharpen.records import Message
from sharpen.training.adapters import loading, lora
from sharpen.training.job import Job, Recipe, resolve, write_json
from sharpen.training.worker import run
from tests.conformance import check_of, record

PAIRS = {"my bill is wrong": "billing", "where is my parcel": "delivery", "do you sell kettles": "sales"}
ASKED = [Request([Message(role="user", content=question)], 8) for question in PAIRS]
EVERYDAY = ["lora", "dora", "full", "ia3", "loha", "lokr", "vera"]
OTHERS = sorted(set(KINDS) - {*EVERYDAY, "qlora"})
# Rescaling by three vectors or a few numbers moves less per step than matrices do.
RATES = {"full": 0.003, "ia3": 0.05, "vera": 0.05}


def job_of(base: Path, folder: Path, kind: str, **more: Any) -> Job:
    rows = folder / "rows.jsonl"
    turns = [([{"role": "user", "content": asked}], chosen) for asked, chosen in PAIRS.items()]
    rows.write_text(
        "".join(json.dumps({"messages": turn, "chosen": chosen, "rejected": "no"}) + "\n" for turn, chosen in turns)
    )
    (folder / "adapters").mkdir(exist_ok=True)
    settings = {
        "method": "sft", "epochs": 6, "rank": 4, "alpha": 8, "learning_rate": RATES.get(kind, 0.01), "batch": 3,
        "max_length": 64, "beta": 0.1, "seed": 0, "threads": 1, "adapter": kind,
    } | more  # fmt: skip
    recipe = Recipe.model_validate(settings)
    return Job(base=base, base_digest=digest(base), rows=rows, adapters=folder / "adapters", recipe=recipe)


def trained(base: Path, folder: Path, kind: str, **more: Any) -> Path:
    job = job_of(base, folder, kind, **more)
    return job.adapters / run(job, time.perf_counter()).adapter_digest


def fit(engine: TransformersEngine, version: str) -> float:
    """Return the mean log-probability of the answers that were taught, nats."""
    scores = engine.logprobs([one.messages for one in ASKED], [[answer] for answer in PAIRS.values()], version)
    return sum(score for [score] in scores) / len(scores)


def check_kind(kind: str, base: Path, tmp_path: Path) -> None:
    folder = trained(base, tmp_path, kind)
    assert sorted(file.name for file in folder.iterdir()) == sorted(adapters.FILES) and adapters.is_whole(folder)
    (tmp_path / "again").mkdir()
    assert trained(base, tmp_path / "again", kind).name == folder.name  # one seed, one digest
    engine = TransformersEngine(base, ModelsSection(threads=1))
    engine.load("base", None)
    before, first = fit(engine, "base"), engine.generate(ASKED, "base")
    engine.load("taught", folder)
    assert fit(engine, "taught") > before + 0.5
    assert {answer.finish_reason for answer in engine.generate(ASKED, "taught")} <= {"stop", "length"}
    assert engine.generate(ASKED, "base") == first
    engine.unload("taught")
    assert engine.generate(ASKED, "base") == first
    engine.close()


@pytest.fixture
def cell(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    def fill(kind: str) -> None:
        record(record_property, table="kinds of adapter", part=kind, check=check_of(request), how="in process")

    return fill


@pytest.mark.parametrize("kind", EVERYDAY)
def test_train_save_reload_serve(kind: str, tiny_base: Path, tmp_path: Path, cell: Any) -> None:
    cell(kind)
    check_kind(kind, tiny_base, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", OTHERS)
def test_every_other_kind_of_peft_s_that_is_not_refused(kind: str, tiny_base: Path, tmp_path: Path, cell: Any) -> None:
    cell(kind)
    check_kind(kind, tiny_base, tmp_path)


def test_a_kind_that_nobody_knows_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"\[training\].*'adapter' = 'lorra'.*did you mean 'lora'"):
        parse({"training": {"adapter": "lorra"}})
    with pytest.raises(ConfigError, match="known: lora, dora"):
        parse({"training": {"adapter": "xyzzy"}})


@pytest.mark.parametrize("kind", sorted(REFUSED))
def test_a_kind_that_is_refused_says_why(kind: str) -> None:
    with pytest.raises(ConfigError, match=f"{kind} is refused: ") as caught:
        parse({"training": {"adapter": kind}})
    assert REFUSED[kind].lower()[:20] in str(caught.value)


def test_every_kind_of_peft_s_is_either_known_or_refused() -> None:
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    assert {kind.value for kind in PEFT_TYPE_TO_CONFIG_MAPPING} == {*KINDS.values(), *map(str.upper, REFUSED)} - {FULL}


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"full", "qlora"}))
def test_the_shape_of_every_kind_can_be_made_for_a_model(kind: str, tiny_base: Path, tmp_path: Path) -> None:
    shape = lora(job_of(tiny_base, tmp_path, kind))
    assert shape is not None and shape.peft_type.value == KINDS[kind]
    assert "lm_head" not in shape.target_modules


def test_full_fine_tuning_takes_a_tenth_of_the_rate() -> None:
    config = parse({"training": {"adapter": "full"}})
    assert resolve(config, "sft", 10, 0).learning_rate == pytest.approx(
        resolve(parse({}), "sft", 10, 0).learning_rate / 10
    )


def test_a_version_of_full_fine_tuning_is_the_weights_that_changed(tiny_base: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    folder = trained(tiny_base, tmp_path, "full")
    first = load_file(tiny_base / "model.safetensors")
    weights = load_file(folder / adapters.WEIGHTS)
    assert json.loads((folder / adapters.CONFIG).read_text()) == {
        "base_model_name_or_path": digest(tiny_base), "peft_type": "FULL"
    }  # fmt: skip
    assert set(weights) <= set(first) and len(weights) > len(first) / 2
    assert all(not torch.equal(value, first[name]) for name, value in weights.items())


def test_dpo_trains_every_weight_against_the_base_as_it_was(tiny_base: Path, tmp_path: Path) -> None:
    folder = trained(tiny_base, tmp_path, "full", method="dpo", learning_rate=0.0003)
    engine = TransformersEngine(tiny_base, ModelsSection(threads=1))
    engine.load("base", None)
    engine.load("taught", folder)
    choices = [[answer, "no"] for answer in PAIRS.values()]
    margins = {
        name: sum(a - b for a, b in engine.logprobs([one.messages for one in ASKED], choices, name))
        for name in ("base", "taught")
    }
    assert margins["taught"] > margins["base"] + 1


def test_versions_of_every_kind_stand_beside_each_other(tiny_base: Path, tmp_path: Path) -> None:
    """What a version answers must not depend on which others are loaded, whatever their kinds."""
    folders = {}
    for seed, kind in enumerate(("lora", "dora", "full", "loha")):
        (tmp_path / kind).mkdir()
        folders[kind] = trained(tiny_base, tmp_path / kind, kind, seed=seed)
    alone = {}
    for kind, folder in folders.items():
        engine = TransformersEngine(tiny_base, ModelsSection(threads=1))
        engine.load(kind, folder)
        alone[kind] = fit(engine, kind)
    together = TransformersEngine(tiny_base, ModelsSection(threads=1))
    together.load("base", None)
    base = fit(together, "base")
    for kind, folder in folders.items():
        together.load(kind, folder)
        assert fit(together, kind) == alone[kind]
    for kind in ("full", "lora", "loha", "dora", "full"):
        assert fit(together, kind) == alone[kind]
        assert fit(together, "base") == base
    together.unload("full")
    together.unload("lora")
    assert [fit(together, kind) for kind in ("loha", "dora")] == [alone["loha"], alone["dora"]]


@pytest.mark.parametrize("kind", ["full", "loha", "dora"])
@pytest.mark.parametrize("fault", ["other base", "missing weight", "not a number", "damaged", "another shape"])
def test_a_damaged_version_of_any_kind_is_refused_by_name(
    kind: str, fault: str, tiny_base: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    from safetensors.torch import load_file, save_file

    folder = trained(tiny_base, tmp_path, kind, epochs=1).rename(tmp_path / "copy")
    config, weights = json.loads((folder / adapters.CONFIG).read_text()), load_file(folder / adapters.WEIGHTS)
    name = sorted(weights)[-1]
    if fault == "other base":
        config["base_model_name_or_path"] = "0" * 16
    elif fault == "missing weight":
        weights["no.such.place"] = weights.pop(name)
    elif fault == "not a number":
        weights[name] = torch.full_like(weights[name], torch.nan)
    elif fault == "another shape":
        weights[name] = torch.ones(*(size + 1 for size in weights[name].shape))
    (folder / adapters.CONFIG).write_text(json.dumps(config))
    save_file(weights, folder / adapters.WEIGHTS)
    if fault == "damaged":
        folder = folder.rename(tmp_path / ("0" * 32))
    engine = TransformersEngine(tiny_base, ModelsSection(threads=1))
    engine.load("base", None)
    before = engine.generate(ASKED, "base")
    with pytest.raises(EngineError, match=r"does not fit|not numbers|damaged"):
        engine.load("broken", folder)
    assert engine.versions == {"base"}
    assert engine.generate(ASKED, "base") == before


def test_ia3_on_a_base_of_no_known_family_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    import shutil

    strange = shutil.copytree(tiny_base, tmp_path / "strange")
    config = json.loads((strange / "config.json").read_text()) | {"model_type": "gpt_neox"}
    (strange / "config.json").write_text(json.dumps(config))
    with pytest.raises(TrainerError, match="no known family"):
        lora(job_of(strange, tmp_path, "ia3"))


def test_qlora_without_its_part_names_the_line_to_type(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingExtra) as caught:
        loading(job_of(tiny_base, tmp_path, "qlora"))
    assert caught.value.next_step == "sharpen install qlora"


@pytest.mark.slow
def test_qlora_trains_on_four_bits_and_serves_on_the_base(tiny_base: Path, tmp_path: Path, cell: Any) -> None:
    cell("qlora")
    install("qlora")
    digests = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        job = job_of(tiny_base, folder, "qlora", epochs=30)
        write_json(folder / "job.json", job)
        path = os.pathsep.join([*overlay("qlora"), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-m", "sharpen.training.worker", str(folder / "job.json")]
        done = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        digests.append(json.loads((folder / "result.json").read_text())["adapter_digest"])
    assert digests[0] == digests[1]
    engine = TransformersEngine(tiny_base, ModelsSection(threads=1))
    engine.load("base", None)
    engine.load("taught", tmp_path / "one" / "adapters" / digests[0])
    assert fit(engine, "taught") > fit(engine, "base") + 0.5
