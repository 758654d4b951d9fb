from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from sharpen.errors import Refused
from sharpen.models.adapters import CONFIG, is_whole
from sharpen.models.composition import compose
from sharpen.testing import tiny_model

IDS = torch.arange(3, 23)[None]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("thin") / "tiny", width=64, layers=2)


def model(base: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)


def adapter(base: Path, place: Path, rank: int, targets: list[str], seed: int) -> Path:
    """Save an adapter of random weights, as a trainer would."""
    wrapped = get_peft_model(
        model(base), LoraConfig(r=rank, lora_alpha=3 * rank, target_modules=targets, task_type="CAUSAL_LM")
    )
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in wrapped.named_parameters():
            if "lora_" in name:
                weight.copy_(torch.randn(weight.shape, generator=random) * 0.05)
    wrapped.save_pretrained(place)
    config = json.loads((place / CONFIG).read_text())
    (place / CONFIG).write_text(json.dumps(config | {"base_model_name_or_path": "one base"}))
    return place


@pytest.fixture(scope="module")
def two(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    place = tmp_path_factory.mktemp("adapters")
    return (
        adapter(base, place / "skill", 4, ["q_proj", "v_proj"], 1),
        adapter(base, place / "debias", 2, ["q_proj", "down_proj"], 2),
    )


def merged(base: Path, *parts: tuple[Path, float]) -> torch.Tensor:
    """Return the logits of the base whose weights were changed by hand."""
    from safetensors.torch import load_file

    changed = model(base)
    modules = dict(changed.named_modules())
    with torch.no_grad():
        for folder, scale in parts:
            weights = load_file(folder / "adapter_model.safetensors")
            for name in {name.partition(".lora_")[0] for name in weights}:
                delta = weights[f"{name}.lora_B.weight"] @ weights[f"{name}.lora_A.weight"]
                modules[name.removeprefix("base_model.model.")].weight += scale * 3.0 * delta
        return changed(IDS).logits


def logits(base: Path, folder: Path) -> torch.Tensor:
    with torch.no_grad():
        return PeftModel.from_pretrained(model(base), folder)(IDS).logits


def test_a_composed_adapter_is_the_scaled_sum_exactly(base: Path, two: tuple[Path, Path], tmp_path: Path) -> None:
    skill, debias = two
    name = compose([(skill, 1.0), (debias, 0.25)], tmp_path)
    assert is_whole(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    torch.testing.assert_close(
        logits(base, tmp_path / name), merged(base, (skill, 1.0), (debias, 0.25)), atol=1e-4, rtol=1e-4
    )
    assert compose([(skill, 1.0), (debias, 0.25)], tmp_path) == name  # doing it twice is doing it once


def test_a_debias_adapter_is_taken_out_without_a_trace(base: Path, two: tuple[Path, Path], tmp_path: Path) -> None:
    skill, debias = two
    both = compose([(skill, 1.0), (debias, 0.5)], tmp_path)
    without = compose([(tmp_path / both, 1.0), (debias, -0.5)], tmp_path)
    torch.testing.assert_close(logits(base, tmp_path / without), logits(base, skill), atol=1e-4, rtol=1e-4)
    at_zero = compose([(skill, 1.0), (debias, 0.0)], tmp_path)
    torch.testing.assert_close(logits(base, tmp_path / at_zero), logits(base, skill), atol=1e-5, rtol=1e-5)


def test_what_does_not_add_up_is_refused(base: Path, two: tuple[Path, Path], tmp_path: Path) -> None:
    skill, debias = two
    for scales in ((0.0, 0.0), (1.0, float("nan"))):
        with pytest.raises(Refused, match="nothing to compose"):
            compose([(skill, scales[0]), (debias, scales[1])], tmp_path)
    other = adapter(base, tmp_path / "other", 2, ["q_proj"], 3)
    config = json.loads((other / CONFIG).read_text())
    (other / CONFIG).write_text(json.dumps(config | {"base_model_name_or_path": "another base"}))
    with pytest.raises(Refused, match="different bases"):
        compose([(skill, 1.0), (other, 1.0)], tmp_path)
    (other / CONFIG).write_text(json.dumps(config | {"use_dora": True}))
    with pytest.raises(Refused, match="no plain LoRA"):
        compose([(skill, 1.0), (other, 1.0)], tmp_path)
