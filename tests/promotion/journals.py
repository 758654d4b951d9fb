"""A journal for a store of the tests: one key for all, and the head beside the database's file or in a folder."""

from __future__ import annotations

import hashlib
import tempfile
import time
from pathlib import Path

from sharpen.errors import ChampionChanged
from sharpen.promotion.journal import Journal
from sharpen.promotion.registry import deploy, enter, register_base
from sharpen.records import ModelVersion, Verdict
from sharpen.store import Store

KEY = b"k" * 32


def journal_of(store: Store) -> Journal:
    """Return the store's journal; every process of a test gets the same one."""
    name = hashlib.sha256(store.url.encode()).hexdigest()[:16]
    folder = Path(store.url.removeprefix("sqlite:///")).parent
    home = folder if store.url.startswith("sqlite") else Path(tempfile.gettempdir())
    return Journal(KEY, home / f"{name}.head")


def began(store: Store) -> str:
    """Deploy version 0."""
    return register_base(store, journal_of(store), "tiny", "b1", "t1").id


def promoted(store: Store, name: str, champion: str) -> Verdict:
    """Register a version and the verdict that promotes it."""
    store.append(ModelVersion(id=name, base="tiny", base_digest="b1", adapter_digest=name, template_digest="t1"))
    verdict = Verdict(
        id=f"vdt_{name}", cycle_id="c1", champion_id=champion, challenger_id=name, comparisons=(), alpha_spent=0.01,
        attempt=1, decision="promote", reason="Promote: better by 0.4.",
    )  # fmt: skip
    enter(store, journal_of(store), verdict)
    return verdict


def promote_at(url: str, verdict_id: str, start_s: float, said: str) -> None:
    """Promote at a moment, in a process of its own; write down what came of it."""
    store = Store.open(url)
    verdict = store.get(Verdict, verdict_id)
    time.sleep(max(0.0, start_s - time.time()))
    try:
        deploy(store, journal_of(store), verdict, verdict.challenger_id)
        outcome = "won"
    except ChampionChanged:
        outcome = "refused"
    Path(said).write_text(outcome)
    store.close()
