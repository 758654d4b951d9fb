"""Ready-made suites: public data sets, read from a folder that the user fills; no data is shipped.

In: `ready:NAME` and the data folder. Out: `Suite`. Must not know models or who asks.

Each data set has one module, which says what the task is, which files it reads, what a cluster is, the default scorer
and the licence.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sharpen.errors import ConfigError
from sharpen.records import Case, Message
from sharpen.verify.cases import CHOICE_KINDS, make_case
from sharpen.verify.ready.source import Draft, Folder, Ready
from sharpen.verify.scorers import find_scorer
from sharpen.verify.specs import Spec, nearest

if TYPE_CHECKING:
    from sharpen.verify.suites import Suite

NAMES = (
    "arc", "arithmetic", "bbq", "bold", "crows_pairs", "gsm8k", "instructions", "nq_open", "svamp", "truthfulqa",
    "winobias", "xstest",
)  # fmt: skip
_ALIASES = {"ifeval": "instructions"}


def load_ready(spec: Spec, data: Path | None) -> Suite:
    """Load a ready-made suite. Raises: ConfigError naming the suite, folder or line, and what to type."""
    from sharpen.verify.suites import Suite

    name = spec.source.removeprefix("ready:")
    if name not in (*NAMES, *_ALIASES):
        raise ConfigError(f"There is no ready-made suite '{name}'.", nearest(name, (*NAMES, *_ALIASES)))
    if data is None:
        raise ConfigError(
            f"{spec.source} reads its data from a folder, and none is named.", '[evaluation] data = "FOLDER"'
        )
    spec.only(())
    ready: Ready = importlib.import_module(f"{__name__}.{_ALIASES.get(name, name)}").READY
    scorer = spec.scorer or ready.scorer
    if not scorer:
        raise ConfigError(f"{spec.source} has prompts and no right answers.", f"{spec.source}?scorer=MODULE:NAME")
    cases: dict[str, Case] = {}
    for draft in ready.read(Folder(data / ready.folder, ready)):
        case = _case(draft, spec, ready)
        cases.setdefault(case.id, case)
    is_written = any(case.kind not in CHOICE_KINDS for case in cases.values())
    if is_written:
        find_scorer(scorer)
    return Suite(name=name, cases=tuple(cases.values()), scorer=scorer, monitor=ready.monitor)


def _case(draft: Draft, spec: Spec, ready: Ready) -> Case:
    if spec.kind is not None and (spec.kind in CHOICE_KINDS) != (draft.kind in CHOICE_KINDS):
        known = " or ".join(CHOICE_KINDS) if draft.kind in CHOICE_KINDS else draft.kind
        raise ConfigError(f"{spec.source} cannot be of the kind '{spec.kind}'.", f"kind={known}")
    draft = replace(draft, kind=spec.kind or draft.kind)
    return make_case(
        [Message(role="user", content=draft.prompt)],
        draft.reference,
        kind=draft.kind,
        choices=draft.choices,
        contexts=draft.contexts,
        groups=draft.groups,
        tags=draft.tags,
        cluster=draft.cluster or None,
        shares=spec.shares or ready.shares,
        named_by_choices=draft.kind in CHOICE_KINDS,
    )
