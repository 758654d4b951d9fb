"""The algorithms, one file each, of one shape: `build(job, model, tokenizer, rows, scratch) -> Trainer`.

In: a method's name. Out: its builder. Must not know what any of them does. `shared`, `groups` and `rollouts` are what
several of them stand on.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from sharpen.records import Method

Build = Callable[..., Any]


def builder(method: Method) -> Build:
    """Return what makes this method's trainer; the libraries it stands on are imported here."""
    build: Build = importlib.import_module(f"{__name__}.{method}").build
    return build
