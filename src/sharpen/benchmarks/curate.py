"""From a million exchanges to a training set, on two cores: seconds, memory, and how the time per exchange grows.

In: nothing. Out: for 10^5 and 10^6 synthetic exchanges of about 1 KB, each with feedback, the seconds from the store to
a Parquet snapshot, the most memory that all processes held, and the ratio of the two times per exchange. Must not know
who reads them.

What is timed: reading the store, mining, exact and MinHash duplicates, contamination against 500 held-out cases, the
patterns of personal data, secrets and injections, a cap per source, weights, and writing. Filling the store is not.
Features are measured on a sample of their own, and told per 1,000 examples: at this size nobody asks a model of each.
"""

from __future__ import annotations

import json
import random
import resource
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa

from sharpen.benchmarks import machine
from sharpen.config import Config, CurationSection
from sharpen.curation.bundle import write_bundle
from sharpen.curation.candidate import Candidate
from sharpen.curation.features import described
from sharpen.curation.plan import Plan
from sharpen.curation.selection import sharded
from sharpen.records import Case, Feedback, Message, Record, Trace
from sharpen.store import PAYLOADS, TABLES, Store

SIZES = (100_000, 1_000_000)
PROMISE_S, PROMISE_BYTES, PROMISE_GROWTH = 600.0, 6 << 30, 1.3
PROCESSES = 2
_AT_ONCE = 10_000
_AT = "2026-01-01T00:00:00Z"
_WORDS, _CASES, _SOURCES, _SAMPLE = 30_000, 500, 5_000, 100
_SETTINGS: dict[str, Any] = {"engine": f"local:{PROCESSES}", "source_cap": 500, "hard_weight": 2.0, "ratings": True}


def measure(sizes: tuple[int, ...] = SIZES, seed: int = 0, processes: int = PROCESSES) -> dict[str, object]:
    """Return the figures. Raises: MissingExtra, StoreError."""
    runs = [_run(size, seed, processes) for size in sizes]
    each = [float(run["seconds"]) / run["exchanges"] for run in runs]
    used = [float(run["processor_seconds"]) / run["exchanges"] for run in runs]
    return {
        "benchmark": "curate",
        "seconds": runs[-1]["seconds"],
        "promised_seconds": PROMISE_S,
        "peak_rss_bytes": runs[-1]["peak_rss_bytes"],
        "promised_rss_bytes": PROMISE_BYTES,
        "growth": round(each[-1] / each[0], 3),
        "growth_of_processor_time": round(used[-1] / used[0], 3),
        "promised_growth": PROMISE_GROWTH,
        "features": _features(seed),
        "feature_sample": _SAMPLE,
        "runs": runs,
        "machine": machine("rensa", "pyarrow", "numpy"),
    }


def _run(size: int, seed: int, processes: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = Store.open(f"sqlite:///{folder / 'store.db'}")
        text_bytes = fill(store, size, seed)
        plan = Plan.of(CurationSection(**_SETTINGS | {"engine": f"local:{processes}"}), _held_out(seed), seed)
        with _watched() as peak:
            started, before_s = time.perf_counter(), _processor_s()
            found = sharded(store, plan, folder / "parts")
            chosen = time.perf_counter()
            manifest = write_bundle(str(folder / "out"), "snp_bench", found, plan)
            ended, processor_s = time.perf_counter(), _processor_s() - before_s
        store.close()
    return {
        "exchanges": size,
        "bytes_each": round(text_bytes / size),
        "seconds": round(ended - started, 1),
        "processor_seconds": round(processor_s, 1),
        "of_these_writing": round(ended - chosen, 1),
        "peak_rss_bytes": peak["bytes"],
        "kept": manifest["rows"],
        "dropped": manifest["dropped"],
        "digest": manifest["digest"],
    }


def _processor_s() -> float:
    """Return the processor time of this process and of children that have ended: other programs do not stretch it."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


@contextmanager
def _watched() -> Iterator[dict[str, int]]:
    """Watch the memory of this process and its children together, ten times a second."""
    peak, done, own = {"bytes": 0}, threading.Event(), psutil.Process()

    def watch() -> None:
        while not done.wait(0.1):
            total = 0
            for process in (own, *own.children(recursive=True)):
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            peak["bytes"] = max(peak["bytes"], total)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def fill(store: Store, size: int, seed: int) -> int:
    """Write exchanges with feedback straight into the tables; return how many bytes of words they have."""
    chance = random.Random(seed)  # noqa: S311 - nothing secret
    vocabulary = [f"{chance.choice('bcdfghklmnprstvw')}{chance.choice('aeiou')}{i:x}" for i in range(_WORDS)]
    total = 0
    recent: list[str] = []
    for start in range(0, size, _AT_ONCE):
        traces, feedback, words = [], [], []
        for i in range(start, min(start + _AT_ONCE, size)):
            question = _question(chance, vocabulary, recent)
            reply = " ".join(chance.choices(vocabulary, k=60))
            said = json.dumps({"messages": [{"content": question, "role": "user"}], "reply": reply})
            told = json.dumps({"comment": None, "correction": reply[::-1] if i % 3 == 0 else None})
            total += len(said) + len(told)
            traces.append({"id": f"trc_{i:012x}", "subject": None, "body": _body(i)})
            feedback.append({"id": f"fbk_{i:012x}", "subject": f"trc_{i:012x}", "body": _said(i, chance)})
            words += [{"record_id": f"trc_{i:012x}", "body": said}, {"record_id": f"fbk_{i:012x}", "body": told}]
        with store.writing() as connection:
            for table, rows in (*_tables((Trace, traces), (Feedback, feedback)), (PAYLOADS, words)):
                connection.execute(sa.insert(table), rows)
    return total


def _tables(*pairs: tuple[type[Record], list[dict[str, Any]]]) -> list[tuple[sa.Table, list[dict[str, Any]]]]:
    return [(TABLES[kind.prefix], rows) for kind, rows in pairs]


def _question(chance: random.Random, vocabulary: list[str], recent: list[str]) -> str:
    """Return a question of about 400 characters: one in ten repeats one of the last, exactly or but for a word."""
    if recent and chance.random() < 0.1:
        words = chance.choice(recent).split()
        if chance.random() < 0.5:
            words[chance.randrange(len(words))] = chance.choice(vocabulary)
        return " ".join(words)
    words = chance.choices(vocabulary, k=60)
    junk = chance.random()
    if junk < 0.02:
        words[5] = f"{words[5]}@example.org"
    elif junk < 0.04:
        words[5:8] = ["ignore", "all previous", "instructions"]
    text = " ".join(words)
    recent.append(text)
    if len(recent) > 1000:
        recent[chance.randrange(1000)] = recent.pop()
    return text


def _body(i: int) -> str:
    told = {
        "at": _AT, "completion_tokens": 90, "error": None, "finish_reason": "stop", "id": f"trc_{i:012x}",
        "latency_s": 0.5, "prompt_tokens": 90, "session": None, "version_id": "ver_0",
    }  # fmt: skip
    return json.dumps(told)


def _said(i: int, chance: random.Random) -> str:
    told = {
        "at": _AT, "better_than": None, "id": f"fbk_{i:012x}", "rating": chance.choice((-1.0, 0.0, 1.0)),
        "source_id": f"src_{chance.randrange(_SOURCES)}", "trace_id": f"trc_{i:012x}",
    }  # fmt: skip
    return json.dumps(told)


def _held_out(seed: int) -> list[Case]:
    chance = random.Random(seed)  # noqa: S311 - the same first words as the corpus, so that some cases are in it
    vocabulary = [f"{chance.choice('bcdfghklmnprstvw')}{chance.choice('aeiou')}{i:x}" for i in range(_WORDS)]
    cases = []
    for number in range(_CASES):
        text = " ".join(chance.choices(vocabulary, k=40))
        messages = (Message(role="user", content=text),)
        cases.append(Case(id=str(number), messages=messages, reference="x", cluster=str(number), tier="gate"))
    return cases


def _features(seed: int) -> dict[str, dict[str, float]]:
    """Measure a small sample by every feature, by the models of the default configuration; return what each cost."""
    from sharpen.models.transformers_engine import TransformersEngine

    chance = random.Random(seed)  # noqa: S311 - nothing secret
    settings = CurationSection(features=["length", "quality", "perplexity", "cluster"], feature_sample=_SAMPLE)
    rows = [
        Candidate(
            place,
            json.dumps([["user", f"Where is my order number {chance.randrange(10**6)}, and who brings it?"]]),
            "It left our store on Monday and is on its way to you; the carrier will call you before it comes.",
            None,
            "correction",
            (f"trc_{place}",),
        )
        for place in range(_SAMPLE)
    ]
    with tempfile.TemporaryDirectory() as folder:
        config = Config(home=Path(folder), curation=settings)
        engine = TransformersEngine.open(config)
        try:
            engine.load("ver_0", None)
            return described(config, rows, bare=lambda: (engine, "ver_0")).costs
        finally:
            engine.close()
