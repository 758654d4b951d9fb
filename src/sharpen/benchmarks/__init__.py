"""Promises of speed, each measured against a named peer in the same run; they ship, so that a user can check them.

In: a benchmark's name. Out: its figures, printed as JSON and written to a file if one is named. Must not know what a
benchmark measures.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import pkgutil
import platform
import subprocess
from pathlib import Path

from sharpen.errors import ConfigError


def names() -> list[str]:
    """Return the benchmarks there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def run(name: str, json_path: Path | None = None) -> None:
    """Run a benchmark and print its figures. Raises: ConfigError when there is none of that name."""
    name = name.replace("-", "_")
    if name not in names():
        raise ConfigError(f"There is no benchmark '{name}'.", f"one of {', '.join(names())}")
    publish(importlib.import_module(f"{__name__}.{name}").measure(), json_path)


def publish(figures: dict[str, object], json_path: Path | None) -> None:
    """Print the figures, and write them to a file if one is named."""
    text = json.dumps(figures, indent=1)
    print(text)  # noqa: T201 - the figures are the output
    if json_path is not None:
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_text(text + "\n", encoding="utf-8")


def sources() -> dict[str, object]:
    """Return the commit that is measured and the files that differ from it; nothing outside a checkout."""

    def git(*words: str) -> list[str]:
        folder = Path(__file__).parent.parent
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, timeout=30, check=True)
        return done.stdout.splitlines()

    try:
        return {
            "commit": git("rev-parse", "HEAD")[0],
            "uncommitted": [one[3:] for one in git("status", "-s", "--", ".")],
        }
    except (OSError, IndexError, subprocess.SubprocessError):
        return {}


def machine(*packages: str) -> dict[str, object]:
    """Return what the figures were measured on: processor, cores, load, Python, and the versions of the packages."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    told: dict[str, object] = {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
    }
    return told | {package: importlib.metadata.version(package) for package in packages}


def forget_peak() -> None:
    """Have the kernel count the most memory of this process anew. Source: proc_pid_clear_refs(5), value 5."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_bytes() -> int:
    """Return the most resident memory of this process since `forget_peak`. Source: proc_pid_status(5), VmHWM."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
