"""LoRA adapters as a sum: composed, scaled and taken out again, without a model.

In: adapter folders of one base, and a scale for each. Out: one adapter folder that changes the weights by exactly the
scaled sum. Must not know torch, or what any of the adapters is for.

An adapter adds s B A to a weight, s = alpha / r. The sum over adapters is one adapter whose A are stacked and whose B,
times their scale, stand side by side: its rank is the sum of the ranks, and nothing is approximated. So a debias
adapter at scale 0 is gone without a trace, and scales in between give the curve of bias against ability to choose from.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sharpen.errors import Refused
from sharpen.models.adapters import CONFIG, WEIGHTS, digest, opened
from sharpen.plugins import part

_KEPT_BY_SUM = {"r", "lora_alpha", "target_modules", "rank_pattern", "alpha_pattern"}  # what a sum makes anew


def compose(parts: Sequence[tuple[Path, float]], home: Path) -> str:
    """Write the sum of scale times adapter into `home`, in a folder named by its digest; returns the digest.

    Parts with scale 0 are left out. Raises: Refused when nothing is left, the adapters are of different bases, or one
    is no plain LoRA; EngineError when one is damaged; OSError when the disk refuses.
    """
    kept = [(folder, scale) for folder, scale in parts if scale]
    if not kept or not all(math.isfinite(scale) for _, scale in kept):
        raise Refused("There is nothing to compose: every scale is 0, or one is no number.", "use the base as it is")
    numbers = part("safetensors.numpy")
    configs, weights = [], []
    for folder, _ in kept:
        config, _ = opened(folder)
        _check_plain(folder, config)
        configs.append(config)
        weights.append(numbers.load_file(folder / WEIGHTS))
    if len({config.get("base_model_name_or_path") for config in configs}) > 1:
        raise Refused("The adapters were made for different bases.", "compose adapters of one base")
    summed = _sum(configs, weights, [scale for _, scale in kept])
    place = home / f".composing-{digest(kept[0][0])}"
    place.mkdir(parents=True, exist_ok=True)
    numbers.save_file(summed, place / WEIGHTS, metadata={"format": "pt"})
    (place / CONFIG).write_text(json.dumps(_config(configs, summed), sort_keys=True, indent=1), encoding="utf-8")
    name = digest(place)
    if (home / name).exists():
        for file in place.iterdir():
            file.unlink()
        place.rmdir()
    else:
        place.rename(home / name)
    return name


def _check_plain(folder: Path, config: dict[str, Any]) -> None:
    odd = [name for name in ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern") if config.get(name)]
    if config.get("peft_type") != "LORA" or odd or config.get("modules_to_save") or config.get("bias") != "none":
        raise Refused(f"The adapter in {folder} is no plain LoRA; others do not add up.", "train with adapter = 'lora'")


def _sum(
    configs: Sequence[dict[str, Any]], weights: Sequence[dict[str, np.ndarray]], scales: Sequence[float]
) -> dict[str, np.ndarray]:
    """Return the halves of the sum; a layer that an adapter leaves alone gets zeros, so that all ranks are equal."""
    ranks = [int(config["r"]) for config in configs]
    modules = sorted({name.partition(".lora_")[0] for own in weights for name in own})
    summed: dict[str, np.ndarray] = {}
    for module in modules:
        first, second = f"{module}.lora_A.weight", f"{module}.lora_B.weight"
        inputs = next(own[first].shape[1] for own in weights if first in own)
        outputs = next(own[second].shape[0] for own in weights if second in own)
        halves_a, halves_b = [], []
        for config, own, scale, rank in zip(configs, weights, scales, ranks, strict=True):
            factor = scale * float(config["lora_alpha"]) / rank
            halves_a.append(own[first] if first in own else np.zeros((rank, inputs), dtype=np.float32))
            halves_b.append(factor * own[second] if second in own else np.zeros((outputs, rank), dtype=np.float32))
        summed[first] = np.ascontiguousarray(np.concatenate(halves_a, axis=0), dtype=np.float32)
        summed[second] = np.ascontiguousarray(np.concatenate(halves_b, axis=1), dtype=np.float32)
    return summed


def _config(configs: Sequence[dict[str, Any]], summed: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the sum's configuration: scales are in its weights, so alpha equals the rank."""
    rank = sum(int(config["r"]) for config in configs)
    targets = sorted({name.partition(".lora_")[0].rpartition(".")[2] for name in summed})
    first = {name: value for name, value in configs[0].items() if name not in _KEPT_BY_SUM}
    return first | {
        "r": rank,
        "lora_alpha": rank,
        "target_modules": targets,
        "rank_pattern": {},
        "alpha_pattern": {},
    }
