"""What an adapter folder must be before it may touch the model: whole, LoRA or DoRA, and made for this base.

In: a folder. Out: its digest, or EngineError. Must not know versions. PEFT changes the model in place and only warns
about weights that are missing, so everything is checked before PEFT sees the folder.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from sharpen.errors import EngineError

FILES = CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<half>A(?=\.w)|B(?=\.w)|magnitude_vector)(\.weight)?")


def digest(folder: Path) -> str:
    """Return the SHA-256 of an adapter's two files, first 32 hexadecimal digits. Raises: OSError."""
    total = hashlib.sha256()
    for name in FILES:
        total.update(name.encode())
        total.update((folder / name).read_bytes())
    return total.hexdigest()[:32]


def is_whole(folder: Path) -> bool:
    """Tell whether an adapter that is named by its content still is what its name says."""
    return all((folder / name).is_file() for name in FILES) and digest(folder) == folder.name


def opened(folder: Path) -> tuple[dict[str, Any], dict[str, tuple[int, ...]]]:
    """Return the configuration and the shapes of a version's weights. Raises: EngineError when it is damaged."""
    for name in FILES:
        if not (folder / name).is_file():
            raise EngineError(f"{folder} holds no {name}.", "sharpen doctor")
    # Our own adapters lie in folders that are named by their content.
    if re.fullmatch("[0-9a-f]{32}", folder.name) and not is_whole(folder):
        raise EngineError(f"The adapter in {folder} is damaged: its content is not what its name says.", "sharpen undo")
    try:
        return dict(json.loads((folder / CONFIG).read_text(encoding="utf-8"))), _shapes(folder / WEIGHTS)
    except EngineError:
        raise
    except Exception as error:  # a damaged file fails in as many ways as there are parsers
        raise EngineError(f"The adapter in {folder} cannot be read: {error}", "sharpen doctor") from error


def check(folder: Path, model: Any, base_digest: str) -> None:
    """Refuse an adapter that is damaged, is more than LoRA or DoRA on linear layers, or belongs to another base.

    Raises: EngineError.
    """
    config, shapes = opened(folder)
    try:
        problem = _misfit(config, shapes, model, base_digest)
    except Exception as error:  # a configuration may hold anything
        raise EngineError(f"The adapter in {folder} cannot be read: {error}", "sharpen doctor") from error
    if problem:
        raise EngineError(f"The adapter in {folder} does not fit the base: {problem}.", "sharpen doctor")


def _shapes(file: Path) -> dict[str, tuple[int, ...]]:
    from safetensors import safe_open

    shapes = {}
    with safe_open(file, framework="pt") as tensors:
        for key in tensors.keys():  # noqa: SIM118 - it is no dictionary
            tensor = tensors.get_tensor(key)
            if not bool(tensor.isfinite().all()):
                raise EngineError(f"{file}: '{key}' holds values that are not numbers.", "train again at a lower rate")
            shapes[key] = tuple(tensor.shape)
    return shapes


def _misfit(config: dict[str, Any], shapes: dict[str, tuple[int, ...]], model: Any, base_digest: str) -> str:
    """Return what does not fit, or ''."""
    if config.get("peft_type") != "LORA" or config.get("modules_to_save") or config.get("bias", "none") != "none":
        return "only LoRA on linear layers is supported"
    named = str(config.get("base_model_name_or_path"))
    if re.fullmatch("[0-9a-f]{16}", named) and named != base_digest:
        return f"it was trained on the base {named}, and this one is {base_digest}"
    modules = dict(model.named_modules())
    found = set()
    for key, shape in shapes.items():
        parts = _KEY.fullmatch(key)
        if parts is None or parts["module"] not in modules:
            return f"the base has no place for '{key}'"
        layer: Any = modules[parts["module"]]
        outputs, inputs = getattr(layer, "base_layer", layer).weight.shape
        rank = shape[0 if parts["half"] == "A" else -1] if config.get("rank_pattern") else config["r"]
        needed = {"A": (rank, inputs), "B": (outputs, rank)}.get(parts["half"], (outputs,))
        if shape != needed:
            return f"'{key}' is {shape}, and the base and the rank need {needed}"
        found.add((parts["module"], parts["half"]))
    halves = ("A", "B", "magnitude_vector") if config.get("use_dora") else ("A", "B")
    missing = [name for name in _targets(config, modules) if not {(name, half) for half in halves} <= found]
    return f"it has no weights for '{missing[0]}'" if missing else ""


def _targets(config: dict[str, Any], modules: dict[str, Any]) -> list[str]:
    """Return the layers that the adapter says it changes, where it names them plainly."""
    targets = config.get("target_modules")
    if not isinstance(targets, list) or config.get("layers_to_transform") or config.get("exclude_modules"):
        return []
    return [name for name in modules if any(name == target or name.endswith(f".{target}") for target in targets)]
