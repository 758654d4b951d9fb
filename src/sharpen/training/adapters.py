"""The adapter's shape: which weights are trained, and how they are written down.

In: a job. Out: PEFT's configuration or None (every weight is trained), the loaded base, and the finished adapter's two
files. Must not know any algorithm.

A version is a folder of two files whatever its kind: a configuration that names the base by digest, and the weights.
For `full` the weights are the parameters that differ from the base's, whole and under the base's own names.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, get_peft_model_state_dict
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from sharpen.config.adapter_kinds import FULL, KINDS, LORA
from sharpen.errors import MissingExtra, TrainerError
from sharpen.models.adapters import CONFIG, WEIGHTS
from sharpen.models.families import UNKNOWN, Family, family_of
from sharpen.training.job import Job

_RANKED = "r"  # PEFT's name of the rank, in those kinds that have one
_SHARES_A_SIZE = {"c3a": "block_size", "vblora": "vector_length", "road": "group_size"}
_MOST_SHARED = 64  # chosen: the largest block of c3a, vblora and road; PEFT's 256 does not divide small models' layers


def lora(job: Job) -> PeftConfig | None:
    """Return the adapter's shape, or None where every weight is trained. No dropout: one seed gives one adapter.

    Raises: TrainerError when this kind does not fit this base.
    """
    name = job.recipe.adapter
    if KINDS[name] == FULL:
        return None
    family = _family(job.base)
    targets = list(family.targets) or "all-linear"
    if KINDS[name] == LORA:
        return LoraConfig(
            r=job.recipe.rank,
            lora_alpha=job.recipe.alpha,
            lora_dropout=0.0,
            target_modules=targets,
            use_dora=name == "dora",
            task_type="CAUSAL_LM",
        )
    return _other(name, job, family, targets)


def _other(name: str, job: Job, family: Family, targets: Any) -> PeftConfig:
    """Return the shape of PEFT's other kinds: PEFT's own defaults, on the layers of the family."""
    kind = PEFT_TYPE_TO_CONFIG_MAPPING[KINDS[name]]
    known = kind.__dataclass_fields__
    settings: dict[str, Any] = {"task_type": "CAUSAL_LM", "target_modules": targets}
    if name in ("ia3", "ln_tuning") and family is UNKNOWN:
        raise TrainerError(
            f"adapter = '{name}' needs to know the layers by name, and this base is of no known family.",
            "adapter = 'lora'",
        )
    if name == "ia3":
        settings |= {"target_modules": list(family.rescaled), "feedforward_modules": list(family.feedforward)}
    elif name == "ln_tuning":
        settings["target_modules"] = list(family.norms)
    elif name in _SHARES_A_SIZE:
        settings[_SHARES_A_SIZE[name]] = math.gcd(_MOST_SHARED, *_sizes(job.base, family.targets))
    elif _RANKED in known and name != "oft":  # OFT takes the size of a block in its place
        settings[_RANKED] = job.recipe.rank
    if f"{name}_alpha" in known or "alpha" in known:
        settings[f"{name}_alpha" if f"{name}_alpha" in known else "alpha"] = job.recipe.alpha
    return kind(**settings)


def _family(base: Path) -> Family:
    """Return the base's family by its architecture: families that share one have the same layers."""
    try:
        model_type = str(json.loads((base / "config.json").read_text(encoding="utf-8")).get("model_type"))
    except (OSError, ValueError) as error:
        raise TrainerError(f"The base in {base} cannot be read: {error}", "sharpen doctor") from error
    return family_of(model_type, {"<|eot_id|>": 0, "<|im_end|>": 0})


def _sizes(base: Path, targets: tuple[str, ...]) -> set[int]:
    """Return every width of the layers that the adapter changes; of all matrices where the family is unknown."""
    found: set[int] = set()
    for file in base.glob("*.safetensors"):
        with safe_open(file, framework="pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118 - it is no dictionary
                shape = tensors.get_slice(key).get_shape()
                if len(shape) == 2 and (not targets or key.split(".")[-2] in targets):
                    found |= set(shape)
    return found


# -- the base ----------------------------------------------------------------------------------------------------------


def loading(job: Job) -> dict[str, Any]:
    """Return how Transformers is to load the base for this kind: in four bits for QLoRA.

    Source: Dettmers et al. 2023: NF4 and double quantisation. It computes in fp32, as everything here does on a CPU.
    Raises: MissingExtra.
    """
    if job.recipe.adapter != "qlora":
        return {}
    try:
        import bitsandbytes  # noqa: F401 - Transformers only says that it is not there after reading the weights
    except ImportError as error:
        raise MissingExtra("bitsandbytes", "qlora") from error
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    return {"quantization_config": config, "device_map": {"": "cuda:0" if torch.cuda.is_available() else "cpu"}}


def make_trainable(job: Job, model: Any) -> Any:
    """Prepare a loaded base for its kind of training: what is in four bits stays frozen, norms and head go to fp32."""
    if job.recipe.adapter != "qlora":
        return model
    from peft import prepare_model_for_kbit_training

    return prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)


# -- the finished adapter ----------------------------------------------------------------------------------------------


def write(model: Any, folder: Path, job: Job, gathered: Mapping[str, Tensor] | None = None) -> None:
    """Write what was trained as the two files of a version. Equal weights give equal bytes.

    `gathered` is the whole model's state where the processes of a distributed run hold parts of it each. PEFT writes
    the base's path into the configuration, and the names of layers in the order of a set, which changes from process
    to process: either would make equal adapters differ.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if KINDS[job.recipe.adapter] == FULL:
        config: dict[str, Any] = {"peft_type": FULL}
        weights = _changed(dict(gathered or model.state_dict()), model, job.base)
    else:
        config = model.peft_config["default"].to_dict()
        weights = get_peft_model_state_dict(model, state_dict=dict(gathered) if gathered else None)
        config["inference_mode"] = True
    config["base_model_name_or_path"] = job.base_digest
    text = json.dumps(_plain(config), sort_keys=True, indent=1)
    (folder / CONFIG).write_text(text, encoding="utf-8")
    save_file({name: weights[name].detach().cpu().contiguous() for name in sorted(weights)}, folder / WEIGHTS)


def _plain(value: Any) -> Any:
    """Return a value as JSON holds it; a set becomes a sorted list."""
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return getattr(value, "value", value)  # an enumeration


def _changed(state: dict[str, Tensor], model: Any, base: Path) -> dict[str, Tensor]:
    """Return the parameters that differ from the base's. Tied ones are one parameter, under its first name.

    The base's are read from its files: under ZeRO 3 Transformers would load them with every process, and only one is
    here. One that the files know by another name counts as changed.
    """
    first: dict[str, Tensor] = {}
    for file in base.glob("*.safetensors"):
        first |= load_file(file)
    names = [name for name, _ in model.named_parameters()]
    return {
        name: state[name]
        for name in names
        if name not in first or not torch.equal(state[name].float().cpu(), first[name].float())
    }
