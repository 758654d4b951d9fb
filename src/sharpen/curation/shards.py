"""The evidence in parts that workers can share: each part holds whole prompts, and lies in a file.

In: the store, a folder that all workers see. Out: one Parquet file of evidence per part, one of candidates and one of
drops. Must not know which engine runs the parts.

A part is finished when its mark is there, which is written last; a part that has its mark is not done again. Which
parts there are changes nothing in the result: prompts are whole, and what comes out is ordered by what it says.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from sharpen.curation.candidate import Candidate, level, place_in_training
from sharpen.curation.filters.duplicates import Keys
from sharpen.curation.filters.wordsets import WordSets
from sharpen.curation.mining.evidence import Raw, grouped, prompt_of
from sharpen.curation.plan import Plan
from sharpen.curation.sift import Dropped, sift
from sharpen.durable import write_text
from sharpen.failpoints import failpoint
from sharpen.plugins import part
from sharpen.records import Critique, Feedback, Record, Trace
from sharpen.store import PAYLOADS, TABLES, Store

TRACES_PER_SHARD = 50_000  # chosen: a part of 1 KB traces takes about 300 MB while it is worked on
_BUFFERED = 4_000  # chosen: rows of a part that are written together
_KINDS: tuple[type[Record], ...] = (Trace, Feedback, Critique)


class Sieved(NamedTuple):
    """What all parts gave: candidates that stay in their files' memory, and columns to choose by."""

    rows: Sequence[Candidate]
    keys: Keys
    origins: list[str]
    places: list[int]
    drawn: list[str]
    levels: list[float]
    dropped: list[Dropped]


def export(store: Store, folder: Path, plan: Plan) -> int:
    """Write the store's evidence in parts, unless they are there; return how many parts there are."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {kind.__name__: _last(store, kind) for kind in _KINDS}
    shards = plan.settings.shards or max(1, -(-sizes["Trace"] // TRACES_PER_SHARD))
    told = json.dumps({"shards": shards, "store": store.url, "upto": sizes}, sort_keys=True)
    mark = folder / "evidence.json"
    if mark.is_file() and mark.read_text(encoding="utf-8") == told:
        return shards
    for leftover in folder.glob("*-*.*"):  # of other evidence, or of a run that was killed
        leftover.unlink()
    shard_of: dict[str, int] = {}
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(_Writer(folder / f"evidence-{shard:04d}.parquet")) for shard in range(shards)]
        for number, kind in enumerate(_KINDS):
            for seq, body, words in _rows(store, kind, sizes[kind.__name__]):
                if number == 0:
                    shard_of[json.loads(body)["id"]] = shard = _shard(words, shards)
                else:
                    shard = shard_of.get(json.loads(body)["trace_id"], 0)
                writers[shard].add(number, seq, body, words)
    write_text(mark, told)
    return shards


def tasks_of(folder: Path, shards: int, plan: Plan) -> list[str]:
    """Return one task per part, as text."""
    path = folder / f"plan-{plan.digest}.json"
    write_text(path, plan.to_json())
    return [json.dumps({"folder": str(folder), "shard": shard, "plan": str(path)}) for shard in range(shards)]


def sift_task(task: str) -> str:
    """Do one part, unless it is done; return its mark. This is what an engine runs, wherever it likes."""
    told = json.loads(task)
    folder, shard = Path(told["folder"]), told["shard"]
    plan = Plan.from_json(Path(told["plan"]).read_text(encoding="utf-8"))
    name = f"{plan.digest}-{shard:04d}"
    mark = folder / f"done-{name}.json"
    if mark.is_file():
        return mark.read_text(encoding="utf-8")
    found = sift(grouped(*_raw(folder / f"evidence-{shard:04d}.parquet")), plan)
    keys = Keys.of(found.kept)
    _write(folder / f"kept-{name}.parquet", _kept_table(found.kept, keys, plan))
    drops = {column: [getattr(one, column) for one in found.dropped] for column in Dropped._fields}
    schema = part("pyarrow").schema([(column, part("pyarrow").string()) for column in Dropped._fields])
    _write(folder / f"dropped-{name}.parquet", part("pyarrow").table(drops, schema=schema))
    failpoint("curate.before_mark")
    write_text(mark, json.dumps({"shard": shard, "kept": len(found.kept), "dropped": len(found.dropped)}))
    return mark.read_text(encoding="utf-8")


def gather(folder: Path, shards: int, plan: Plan) -> Sieved:
    """Return what all parts gave, in the order of the parts; what is chosen of it does not depend on that order."""
    pa, parquet = part("pyarrow"), part("pyarrow.parquet")
    names = [f"{plan.digest}-{shard:04d}" for shard in range(shards)]
    table = pa.concat_tables([parquet.read_table(folder / f"kept-{name}.parquet") for name in names])
    drops = pa.concat_tables([parquet.read_table(folder / f"dropped-{name}.parquet") for name in names])
    words = table["words"].combine_chunks()
    keys = Keys(table["said"].to_numpy(), WordSets(words.flatten().to_numpy(), words.offsets.to_numpy()))
    origins, places, drawn = (table[name].to_pylist() for name in ("origin", "place", "drawn"))
    levels = table["level"].to_pylist()
    rows = _Rows(table.select(list(Candidate._fields)).combine_chunks())
    dropped = [Dropped(*row) for row in zip(*(drops[name].to_pylist() for name in Dropped._fields), strict=True)]
    return Sieved(rows, keys, origins, places, drawn, levels, dropped)


class _Rows(Sequence[Candidate]):
    """Candidates in a table: each is made when it is asked for."""

    def __init__(self, table: Any) -> None:
        self._columns = [column.chunk(0) if column.num_chunks else None for column in table.columns]
        self._length = len(table)
        self._evidence = Candidate._fields.index("evidence")

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, at: Any) -> Any:
        """Return one candidate."""
        values = [column[at].as_py() for column in self._columns if column is not None]
        values[self._evidence] = tuple(values[self._evidence])
        return Candidate(*values)


def _kept_table(kept: Sequence[Candidate], keys: Keys, plan: Plan) -> Any:
    pa = part("pyarrow")
    text = pa.large_string()
    kinds = {"place": pa.int64(), "evidence": pa.large_list(text)} | dict.fromkeys(
        ("margin", "weight", "pass_rate"), pa.float64()
    )
    columns = {
        name: pa.array([getattr(one, name) for one in kept], type=kinds.get(name, text)) for name in Candidate._fields
    }
    words = pa.LargeListArray.from_arrays(pa.array(keys.words.offsets), pa.array(keys.words.hashes))
    columns |= {"said": pa.array(keys.said), "words": words}
    columns["drawn"] = pa.array([place_in_training(one, plan.seed) for one in kept], type=pa.string())
    columns["level"] = pa.array([level(one, plan.settings.order) for one in kept], type=pa.float64())
    return pa.table(columns)


def _write(path: Path, table: Any) -> None:
    """Write a file that is there whole or not at all: two workers may do the same part."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    part("pyarrow.parquet").write_table(table, partial, compression="zstd", compression_level=1)
    partial.replace(path)


class _Writer:
    """One part's evidence, a few thousand rows at a time."""

    def __init__(self, path: Path) -> None:
        pa = part("pyarrow")
        names = [("kind", pa.int8()), ("seq", pa.int64()), ("body", pa.large_string()), ("words", pa.large_string())]
        self._schema = pa.schema(names)
        writer = part("pyarrow.parquet").ParquetWriter
        self._writer = writer(path, self._schema, compression="zstd", compression_level=1)
        self._rows: list[tuple[int, int, str, str | None]] = []

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._writer.close()

    def add(self, kind: int, seq: int, body: str, words: str | None) -> None:
        """Add a row."""
        self._rows.append((kind, seq, body, words))
        if len(self._rows) >= _BUFFERED:
            self._flush()

    def _flush(self) -> None:
        columns = list(zip(*self._rows, strict=True)) or [(), (), (), ()]
        table = part("pyarrow").table(
            {name: list(column) for name, column in zip(self._schema.names, columns, strict=True)}, schema=self._schema
        )
        self._writer.write_table(table)
        self._rows = []


def _raw(path: Path) -> Iterator[Iterable[Raw]]:
    """Yield a part's traces, feedback and critiques, as they lay in the store."""
    columns = part("pyarrow.parquet").read_table(path).to_pydict()
    rows = list(zip(columns["kind"], columns["seq"], columns["body"], columns["words"], strict=True))
    for number in range(len(_KINDS)):
        yield [(seq, body, words) for kind, seq, body, words in rows if kind == number]


def _shard(words: str | None, shards: int) -> int:
    """Return the part of a trace: by its prompt, so that all answers to it are together."""
    if words is None:
        return 0
    return zlib.crc32(prompt_of(json.loads(words)["messages"]).encode("utf-8", "surrogatepass")) % shards


def _last(store: Store, kind: type[Record]) -> int:
    with store.reading() as connection:
        return int(connection.execute(sa.select(sa.func.max(TABLES[kind.prefix].c.seq))).scalar() or 0)


def _rows(store: Store, kind: type[Record], last: int) -> Iterator[Raw]:
    table = TABLES[kind.prefix]
    source = table.outerjoin(PAYLOADS, PAYLOADS.c.record_id == table.c.id)
    query = sa.select(table.c.seq, table.c.body, PAYLOADS.c.body).select_from(source).where(table.c.seq <= last)
    with store.reading() as connection:
        for row in connection.execution_options(yield_per=10_000).execute(query.order_by(table.c.seq)):
            yield row[0], row[1], row[2]
