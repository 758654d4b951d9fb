"""sharpen: the open-weights model you serve improves from its own use, and ships only what is measurably better."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sharpen.config import Config
    from sharpen.errors import SharpenError
    from sharpen.loop import Loop
    from sharpen.records import Cycle, Feedback, Trace, Verdict
    from sharpen.store import Store
    from sharpen.verify.scorers import scorer
    from sharpen.verify.suites import Suite, load_suite

__all__ = [
    "Config", "Cycle", "Feedback", "Loop", "SharpenError", "Store", "Suite", "Trace", "Verdict", "load_suite", "scorer",
]  # fmt: skip

_HOMES = {
    "Config": "config",
    "Cycle": "records",
    "Feedback": "records",
    "Loop": "loop",
    "SharpenError": "errors",
    "Store": "store",
    "Suite": "verify.suites",
    "Trace": "records",
    "Verdict": "records",
    "load_suite": "verify.suites",
    "scorer": "verify.scorers",
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use: `import sharpen` itself loads nothing heavy."""
    if name not in _HOMES:
        raise AttributeError(f"module 'sharpen' has no attribute '{name}'")
    return getattr(import_module(f"sharpen.{_HOMES[name]}"), name)
