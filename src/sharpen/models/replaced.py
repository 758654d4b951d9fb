"""A version that replaces weights of the base, beside versions that only add to them.

In: an adapter folder that is not LoRA, and the base's folder. Out: the replaced tensors, put in and taken out by moving
pointers. Must not know requests or LoRA.

LoRA's halves lie beside the frozen base and many share it. Full fine-tuning changes the weights themselves, and PEFT
cannot hold its other kinds beside LoRA in one model: such a version is merged once, when it is loaded, on a second copy
of the base. It costs the memory of the weights it changes; switching costs nothing, and its answers never depend on
which versions were loaded before it.
"""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharpen.config.adapter_kinds import FULL, KINDS, LORA
from sharpen.errors import EngineError
from sharpen.models import adapters

if TYPE_CHECKING:
    from torch import Tensor

Weights = dict[str, "Tensor"]


def replaces(adapter: Path) -> bool:
    """Tell whether the adapter in this folder is of a kind that replaces weights. Damage is told later, by name."""
    try:
        kind = json.loads((adapter / adapters.CONFIG).read_text(encoding="utf-8")).get("peft_type")
    except (OSError, ValueError, AttributeError):
        return False
    return kind != LORA and kind in KINDS.values()


def read(adapter: Path, base: Path, base_digest: str) -> Weights:
    """Return the parameters of the base that this version has in place of the base's own, by name.

    Raises: EngineError when the adapter is damaged or does not fit the base.
    """
    import torch

    config, shapes = adapters.opened(adapter)
    named = str(config.get("base_model_name_or_path"))
    if re.fullmatch("[0-9a-f]{16}", named) and named != base_digest:
        raise _misfit(adapter, f"it was trained on the base {named}, and this one is {base_digest}")
    model = _second_copy(base)
    own = dict(model.named_parameters())
    if config["peft_type"] == FULL:
        for name, shape in shapes.items():
            if name not in own or tuple(own[name].shape) != shape:
                raise _misfit(adapter, f"the base has no place for '{name}' of the shape {shape}")
        from safetensors.torch import load_file

        return dict(load_file(adapter / adapters.WEIGHTS))
    before = {name: (weight, weight.detach().clone()) for name, weight in own.items()}
    merged = dict(_merged(model, adapter, {*shapes}).named_parameters())
    if set(merged) != set(before):
        raise _misfit(adapter, "merging it changed the names of the base's weights")
    return {
        name: weight.detach().contiguous()
        for name, weight in merged.items()
        if not torch.equal(weight, before[name][1])
    }


def _merged(model: Any, adapter: Path, stored: set[str]) -> Any:
    """Merge an adapter of one of PEFT's kinds into a copy of the base that nobody else uses."""
    from peft import PeftModel, get_peft_model_state_dict

    try:
        with warnings.catch_warnings():  # PEFT warns of missing weights and asks Transformers by a name about to go
            warnings.simplefilter("ignore")
            peft = PeftModel.from_pretrained(model, str(adapter)).eval()
            expected = set(get_peft_model_state_dict(peft))
            if expected != stored:
                odd = sorted(expected ^ stored)[0]
                raise _misfit(adapter, f"the base has no place, or it no weights, for '{odd}'")
            return peft.merge_and_unload(safe_merge=True)
    except EngineError:
        raise
    except Exception as error:  # PEFT and safetensors raise a dozen types; all mean the same here
        raise _misfit(adapter, str(error)) from error


def _second_copy(base: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
    ).eval()


def _misfit(adapter: Path, problem: str) -> EngineError:
    return EngineError(f"The adapter in {adapter} does not fit the base: {problem}.", "sharpen doctor")


class Swap:
    """The base's parameters, and whose values they hold now."""

    def __init__(self, model: Any) -> None:
        self._parameters = dict(model.named_parameters())
        self._own = {name: weight.data for name, weight in self._parameters.items()}
        self._away: frozenset[str] = frozenset()

    def use(self, weights: Weights) -> None:
        """Let the model compute with these in place of its own; {} gives the base back."""
        for name in self._away:
            self._parameters[name].data = self._own[name]
        for name, value in weights.items():
            self._parameters[name].data = value
        self._away = frozenset(weights)
