"""The kinds of adapter that `[training] adapter` may name: one table, without PEFT, so that a typo is found at once.

In: a name. Out: the same name, or why it is refused. Must not know how a kind is trained.
"""

from __future__ import annotations

import difflib

LORA, FULL = "LORA", "FULL"

# name → PEFT's type. The four ways of LoRA and full fine-tuning come first; then PEFT's other kinds that live in the
# layers and can be merged into them, by PEFT's own names.
KINDS = {
    "lora": LORA,
    "dora": LORA,
    "qlora": LORA,
    "full": FULL,
    **{
        name: name.upper()
        for name in (
            "adamss", "boft", "c3a", "deft", "delora", "fourierft", "frod", "glora", "gralora", "hira", "hra", "ia3",
            "ln_tuning", "loha", "lokr", "miss", "oft", "osf", "peanut", "psoft", "pvera", "randlora", "road", "shira",
            "supertuning", "tinylora", "unilora", "vblora", "vera", "waveft",
        )
    },
}  # fmt: skip

_IN_THE_PROMPT = "it lies in the prompt, not in the layers: it cannot share a prompt's cache with other versions"
_NOT_ONE = "it chooses among several adapters, and a version is one"
REFUSED = {
    **dict.fromkeys(
        (
            "prompt_tuning",
            "multitask_prompt_tuning",
            "p_tuning",
            "prefix_tuning",
            "adaption_prompt",
            "cpt",
            "cartridge",
        ),
        _IN_THE_PROMPT,
    ),
    **dict.fromkeys(("xlora", "poly"), _NOT_ONE),
    "adalora": "it needs a schedule of ranks, which this recipe has none of",
    "beft": "it changes biases, and the bases here have none",
    "lily": "PEFT cannot merge it, and the engine serves it merged",
    "shadow": "PEFT cannot train it with a key-value cache",
    "trainable_tokens": "it trains words of the vocabulary, and the recipe names none",
}


def kind(name: str) -> str:
    """Return the name if adapters of that kind can be trained and served.

    Raises: ValueError with the nearest name, or the reason of a refusal.
    """
    if name in KINDS:
        return name
    if name in REFUSED:
        raise ValueError(f"{name} is refused: {REFUSED[name]}")
    near = difflib.get_close_matches(name.lower(), KINDS, n=1)
    guess = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(KINDS)}"
    raise ValueError(f"no such kind of adapter; {guess}")
