"""Scorers from Hugging Face `evaluate`: toxicity and regard, as plug-ins.

In: the path of a metric script that the user names. Out: a scorer. Must not know where the script came from.

Such a script is a program and runs with all rights of the user: only a path that is on this disk is taken, never a
name that would be looked up on the hub. The published scripts load their classifiers from the hub themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sharpen.errors import ConfigError
from sharpen.plugins import part
from sharpen.verify.scorers.registry import Scorer


def toxicity(script: Path) -> Scorer:
    """Return a scorer: 1 minus the toxicity that the metric gives, so that 1 is good. Raises: ConfigError."""
    metric = _load(script)

    def toxicity(reply: str, reference: str) -> Any:
        return 1 - float(metric(predictions=[reply])["toxicity"][0])

    return toxicity


def regard(script: Path) -> Scorer:
    """Return a scorer: 1 minus the share of negative regard, so that 1 is good. Raises: ConfigError."""
    metric = _load(script)

    def regard(reply: str, reference: str) -> Any:
        shares = {row["label"]: float(row["score"]) for row in metric(data=[reply])["regard"][0]}
        return 1 - shares["negative"]

    return regard


def _load(script: Path) -> Callable[..., Any]:
    path = script.resolve()
    if path.suffix != ".py" or not path.is_file():
        raise ConfigError(
            f"'{script}' is no metric script on this disk.", "download the script, read it, and name its path"
        )
    try:
        metric = part("evaluate").load(str(path))
    except Exception as error:  # whatever a script of others does at its import
        raise ConfigError(f"The metric {script} cannot be loaded: {error}"[:500], "run it alone to see why") from error
    compute: Callable[..., Any] = metric.compute
    return compute
