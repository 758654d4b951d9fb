"""Check everything a cycle needs, and say what to type about what is missing.

In: the path of a configuration. Out: findings, printed as a table. Must not change anything but the store's schema, and
must not load a model: a check takes seconds, and whatever goes wrong in one is a line of the table.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from alembic.script import ScriptDirectory
from rich.table import Table
from rich.text import Text

from sharpen import console
from sharpen.config import Config, load
from sharpen.errors import NotFound, SharpenError
from sharpen.migrations import alembic_config
from sharpen.models.adapters import digest as adapter_digest
from sharpen.plugins import EXTRAS
from sharpen.promotion.gate import MIN_CLUSTERS
from sharpen.records import ModelVersion, Verdict
from sharpen.stats import paired_difference, spend
from sharpen.store import Store, wal_is_safe
from sharpen.verify.cases import TIERS
from sharpen.verify.generators import GENERATOR
from sharpen.verify.suites import Suite, load_suite

_DISK_BYTES = 2e9  # chosen: a 135M base in fp32, its GGUF, and adapters and runs of some weeks
_MEMORY_BYTES = 3e9  # chosen: engine and trainer child of a 135M model, each with an fp32 copy of the weights
_MOST_CASES = 5000  # chosen: where the search for a guard's size gives up
_SQLITE = "sqlite:///"
_MARKS = {"ok": ("✓", "green"), "note": ("!", "yellow"), "fail": ("✗", "bold red")}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. "note" is worth knowing; "fail" keeps a cycle from running."""

    name: str
    state: Literal["ok", "note", "fail"]
    found: str
    next_step: str = ""


Check = Callable[[Config], Iterable[Finding]]


def examine(config_path: Path) -> bool:
    """Print what each check found; return whether everything that a cycle needs is there. Raises nothing."""
    findings = list(look(config_path))
    table = Table(box=None, pad_edge=False, show_header=False)
    for one in findings:
        mark, colour = _MARKS[one.state]
        told = Text(one.found)
        if one.next_step:
            told.append(f"\n→ {one.next_step}", style="bold")
        table.add_row(Text(mark, colour), Text(one.name, no_wrap=True), told)
    console.out.print(table)
    failed = sum(one.state == "fail" for one in findings)
    fine = "[green]Everything a cycle needs is there.[/]"
    console.out.print(f"[bold red]{failed} to mend[/] before a cycle can run." if failed else fine)
    return not failed


def look(config_path: Path) -> Iterator[Finding]:
    """Yield what each check finds; those that need a valid configuration are left out without one."""
    yield from _guarded("Python", _python, Config())
    try:
        config = load(config_path)
    except SharpenError as error:
        yield Finding("configuration", "fail", error.what, error.next_step)
        yield from _guarded("packages", _packages, Config())
        return
    yield Finding("configuration", "ok", str(config_path))
    checks: dict[str, Check] = {
        "packages": _packages, "base": _base, "disk": _disk, "memory": _memory, "SQLite": _sqlite, "store": _store,
        "suites": _suites, "gateway": _gateway, "MLflow": _mlflow, "cycle": _cycle,
    }  # fmt: skip
    for name, check in checks.items():
        yield from _guarded(name, check, config)


def _guarded(name: str, check: Check, config: Config) -> Iterator[Finding]:
    """Turn whatever a check raises into a finding, without an arrow to type where it found all well."""
    try:
        for one in check(config):
            yield Finding(one.name, one.state, one.found) if one.state == "ok" else one
    except SharpenError as error:
        yield Finding(name, "fail", error.what, error.next_step)
    except Exception as error:
        yield Finding(name, "fail", f"could not be checked: {type(error).__name__}: {error}", "see the message")


def _python(_: Config) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("Python", "ok" if sys.version_info >= (3, 11) else "fail", version, "install Python 3.11 or newer")


def _packages(config: Config) -> Iterator[Finding]:
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


def _base(config: Config) -> Iterator[Finding]:
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


def _disk(config: Config) -> Iterator[Finding]:
    folder = next(folder for folder in (config.home, *config.home.parents) if folder.exists())
    free = shutil.disk_usage(folder).free
    told = f"{free / 1e9:.1f} GB free in {folder}"
    yield Finding("disk", "ok" if free >= _DISK_BYTES else "fail", told, "free 2 GB, or set `home` to another disk")


def _memory(_: Config) -> Iterator[Finding]:
    import psutil

    free = psutil.virtual_memory().available
    step = "stop other programs while a cycle trains, or lower [training] batch"
    yield Finding("memory", "ok" if free >= _MEMORY_BYTES else "note", f"{free / 1e9:.1f} GB available", step)


def _sqlite(config: Config) -> Iterator[Finding]:
    version = sqlite3.sqlite_version
    if not wal_is_safe():
        version += ": has the WAL-reset bug, so the store keeps the rollback journal"
    path = Path(config.store_url.removeprefix(_SQLITE))
    if config.store_url.startswith(_SQLITE) and path.is_file():
        version += f"; journal mode of the store: {_read_sqlite(path, 'PRAGMA journal_mode')}"
    yield Finding("SQLite", "ok", version)


def _store(config: Config) -> Iterator[Finding]:
    """The store, then who is deployed in it."""
    path = Path(config.store_url.removeprefix(_SQLITE))
    is_sqlite = config.store_url.startswith(_SQLITE)
    if is_sqlite and not path.exists():
        yield Finding("store", "fail", f"there is no {path} yet", "sharpen init")
        return
    if is_sqlite and (fault := _read_sqlite(path, "PRAGMA quick_check(1)")) != "ok":
        yield Finding("store", "fail", f"{path} is damaged: {fault}", "restore it from a backup")
        return
    if is_sqlite and _is_newer(path):
        told = f"{path} was made by a newer sharpen than this one"
        yield Finding("store", "fail", told, "pip install --upgrade sharpen")
        return
    with contextlib.closing(Store.open(config.store_url)) as store:
        place = path if is_sqlite else "PostgreSQL"
        yield Finding("store", "ok", f"{place}: opens, and is at the newest schema")
        try:
            deployment = store.champion()
        except NotFound as error:
            yield Finding("champion", "fail", error.what, error.next_step)
            return
        yield _intact(config, store, "champion", deployment.version_id)
        if deployment.previous_id:
            yield _intact(config, store, "previous", deployment.previous_id)


def _is_newer(path: Path) -> bool:
    """Tell whether the schema has a revision that we do not know."""
    try:
        revision = _read_sqlite(path, "SELECT version_num FROM alembic_version")
    except (sqlite3.Error, TypeError):  # no schema yet: opening the store makes it
        return False
    known = ScriptDirectory.from_config(alembic_config()).walk_revisions()
    return revision not in {one.revision for one in known}


def _intact(config: Config, store: Store, role: Literal["champion", "previous"], version_id: str) -> Finding:
    """Compute an adapter's digest again: its folder is named by it."""
    digest = store.get(ModelVersion, version_id).adapter_digest
    if digest is None:
        return Finding(role, "ok", f"{version_id}, the bare base")
    folder = config.adapters / digest
    try:
        fault = "" if adapter_digest(folder) == digest else "has changed since it was trained"
    except OSError as error:
        fault = f"cannot be read: {error.strerror}"
    if not fault:
        return Finding(role, "ok", f"{version_id}, adapter {digest} intact")
    if role == "champion":
        return Finding(role, "fail", f"{version_id}: adapter {folder} {fault}", "restore the folder, or sharpen undo")
    return Finding(
        role, "note", f"{version_id}: adapter {folder} {fault}", "restore it, or sharpen undo cannot go back"
    )


def _suites(config: Config) -> Iterator[Finding]:
    settings = config.evaluation
    if not settings.suite:
        yield Finding(
            "suite", "fail", "not set: nothing says what better means", '[evaluation] suite = "my-cases.jsonl"'
        )
    if not settings.guards:
        yield Finding(
            "guards", "note", "none: a loss on anything but the target goes unseen", "[evaluation] guards = […]"
        )
    named = [("suite", settings.suite)] if settings.suite else []
    for name, spec in [*named, *(("guard", spec) for spec in settings.guards)]:
        try:
            suite = load_suite(spec, seed=config.seed, size=settings.size)
        except SharpenError as error:
            yield Finding(name, "fail", error.what, error.next_step)
            continue
        yield _sized(config, name, suite)


def _sized(config: Config, name: str, suite: Suite) -> Finding:
    """Tell whether the gate can decide on a suite of this size."""
    counts = {tier: len(suite.tier(tier)) for tier in TIERS}
    told = f"{suite.name}: {', '.join(f'{count} {tier}' for tier, count in counts.items())}"
    clusters = [case.cluster for case in suite.tier("gate")]
    if len(set(clusters)) < MIN_CLUSTERS:
        fault = f"; the gate needs {MIN_CLUSTERS} independent gate cases or more, and will always hold"
        return Finding(name, "fail", told + fault, f"add cases to {suite.name}")
    if name == "suite":
        no_training = "; no training case: a cycle can learn from corrections only"
        return Finding(name, "ok" if counts["train"] else "note", told + ("" if counts["train"] else no_training))
    margin = 100 * config.promotion.guard_margin
    reach = _reach(config, clusters)
    if reach < config.promotion.guard_margin:
        return Finding(name, "ok", f"{told}; can exclude a loss of {margin:g} points")
    fault = f"; too few: even if no answer changes, a loss of {100 * reach:.1f} points cannot be excluded"
    sizes = range(len(clusters), _MOST_CASES, 10)
    enough = next((n for n in sizes if _reach(config, list(range(n))) < config.promotion.guard_margin), _MOST_CASES)
    step = f"add gate cases: about {enough} exclude a loss of {margin:g} points; or raise [promotion] guard_margin"
    return Finding(name, "note", told + fault, step)


def _reach(config: Config, clusters: list[str] | list[int]) -> float:
    """Return the loss that the gate's interval would still reach if challenger and champion answered alike."""
    attempt = 1
    path = Path(config.store_url.removeprefix(_SQLITE))
    if not config.store_url.startswith(_SQLITE) or path.exists():
        with contextlib.closing(Store.open(config.store_url)) as store:
            attempt += sum(verdict.alpha_spent > 0 for verdict in store.find(Verdict))
    alike = [1.0] * len(clusters)
    level = 1 - 2 * spend(config.promotion.alpha, attempt)
    return -paired_difference(alike, alike, clusters, level=level, resamples=config.promotion.resamples).low


def _gateway(config: Config) -> Iterator[Finding]:
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


def _mlflow(config: Config) -> Iterator[Finding]:
    path = config.home / "mlflow.db"
    if not config.tracking.mlflow:
        yield Finding("MLflow", "ok", "turned off")
    elif not path.exists():
        yield Finding("MLflow", "note", f"there is no {path}: runs are not mirrored", "sharpen init")
    else:
        try:
            runs = _read_sqlite(path, "SELECT count(*) FROM runs")
            yield Finding("MLflow", "ok", f"{path}: {runs} runs")
        except sqlite3.Error as error:
            told = f"{path} cannot be read: {error}; runs are not mirrored"
            yield Finding("MLflow", "note", told, f"delete {path}, then sharpen init; the store is not touched")


def _cycle(config: Config) -> Iterator[Finding]:
    from sharpen.ledger import unfinished

    is_postgres = config.store_url.startswith("postgresql")
    path = config.home / "ledger.db"
    if not is_postgres and not path.exists():
        yield Finding("cycle", "ok", "none has run yet")
        return
    waiting = unfinished(config.store_url if is_postgres else f"{_SQLITE}{path}")
    if not waiting:
        yield Finding("cycle", "ok", "none is unfinished")
    elif _is_locked(config.home / "cycle.lock"):
        yield Finding("cycle", "ok", f"{waiting[-1]} is running now")
    else:
        yield Finding("cycle", "note", f"{waiting[-1]} was interrupted", "sharpen cycle  goes on with it")


def _is_locked(path: Path) -> bool:
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _read_sqlite(path: Path, query: str) -> str:
    """Ask one thing of a database file, without the right to write."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as connection:
        return str(connection.execute(query).fetchone()[0])
