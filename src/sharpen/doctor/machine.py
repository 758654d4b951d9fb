"""Whether this machine can run a cycle: Python, packages, weights, disk, memory, port.

In: a configuration. Out: findings. Must not load a model or fetch anything.
"""

from __future__ import annotations

import importlib.util
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from sharpen.config import Config
from sharpen.doctor.finding import Finding
from sharpen.plugins import EXTRAS
from sharpen.verify.generators import GENERATOR

_DISK_BYTES = 2e9  # chosen: a 135M base in fp32, its GGUF, and adapters and runs of some weeks
_MEMORY_BYTES = 3e9  # chosen: engine and trainer child of a 135M model, each with an fp32 copy of the weights


def check_python(_: Config) -> Iterator[Finding]:
    """Look at the interpreter's version."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("Python", "ok" if sys.version_info >= (3, 11) else "fail", version, "install Python 3.11 or newer")


def check_packages(config: Config) -> Iterator[Finding]:
    """Look for the packages of each extra; those that this configuration needs must be there."""
    specs = [config.evaluation.suite, *config.evaluation.guards]
    needed = {
        "loop": True,
        "torch": True,
        "train": True,
        "tracking": config.tracking.mlflow,
        "suites": any(spec.startswith(GENERATOR) for spec in specs),
        "postgres": config.store_url.startswith("postgresql"),
    }
    for extra in dict.fromkeys(EXTRAS.values()):
        modules = [module for module, its_extra in EXTRAS.items() if its_extra == extra]
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        state: Literal["ok", "note", "fail"] = "ok" if not missing else "fail" if needed.get(extra) else "note"
        unneeded = "" if needed.get(extra) else " (not needed here)"
        told = f"{', '.join(missing)} missing{unneeded}" if missing else ", ".join(modules)
        yield Finding(f"packages: {extra}", state, told, f"pip install 'sharpen[{extra}]'")


def check_base(config: Config) -> Iterator[Finding]:
    """Find the weights without converting, fetching or loading them."""
    from sharpen.models.weights import packaged, resolve

    base = config.base
    path = Path(base).expanduser()
    if base.startswith("package:"):
        yield Finding("base", "ok", f"{base}: {packaged(base.removeprefix('package:')).name}")
    elif path.suffix == ".gguf" and path.is_file():
        yield Finding("base", "ok", str(path))
    elif path.exists() or path.is_absolute() or base.startswith((".", "~")) or base.count("/") > 1:
        yield Finding("base", "ok", str(resolve(base)))
    else:
        from huggingface_hub import try_to_load_from_cache

        cached = isinstance(try_to_load_from_cache(base, "config.json"), str)
        told = "in the hub's cache" if cached else "not here yet: it is fetched at the first use"
        fetch = "check the name and the network, or set `base` to a folder or a GGUF file"
        yield Finding("base", "ok" if cached else "note", f"{base}: {told}", fetch)


def check_disk(config: Config) -> Iterator[Finding]:
    """Look at the free space where `home` is."""
    folder = next(folder for folder in (config.home, *config.home.parents) if folder.exists())
    free = shutil.disk_usage(folder).free
    told = f"{free / 1e9:.1f} GB free in {folder}"
    yield Finding("disk", "ok" if free >= _DISK_BYTES else "fail", told, "free 2 GB, or set `home` to another disk")


def check_memory(_: Config) -> Iterator[Finding]:
    """Look at the memory that is free now."""
    import psutil

    free = psutil.virtual_memory().available
    step = "stop other programs while a cycle trains, or lower [training] batch"
    yield Finding("memory", "ok" if free >= _MEMORY_BYTES else "note", f"{free / 1e9:.1f} GB available", step)


def check_gateway(config: Config) -> Iterator[Finding]:
    """Try the gateway's port, and its key."""
    from sharpen.gateway.auth import key_for

    key_for(config.gateway)
    host, port = config.gateway.host, config.gateway.port
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            told = f"port {port} on {host} cannot be used: {error.strerror or error}"
            yield Finding("gateway", "note", told, "fine if sharpen serve is running; else set [gateway] port")
            return
    yield Finding("gateway", "ok", f"port {port} on {host} is free")
