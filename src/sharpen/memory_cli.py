"""The verbs of `sharpen memory`: search what is remembered, see what fails again and again, make the index again.

In: arguments. Out: text and tables. Must not hold logic of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from sharpen import console
from sharpen.config import DEFAULT_PATH, load
from sharpen.errors import ConfigError

app = typer.Typer(no_args_is_help=True, help="What is remembered: search it, see its failures, rebuild its index.")
ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="the configuration file")]
_SHOWN = 160  # chosen: characters of a text that a row of a terminal shows


@app.command()
def rebuild(config: ConfigOption = DEFAULT_PATH) -> None:
    """Make the vector index, and the knowledge graph where one is kept, again from the store."""
    from sharpen.memory.search import Memories
    from sharpen.store import Store

    settings = load(config)
    store = Store.open(settings.store_url)
    memories = Memories.of(settings, store, by="vectors")
    count = memories.rebuild()
    memories.close()
    console.out.print(f"{count} memories are in the index ({settings.memory.vectors}).")
    if settings.memory.knowledge:
        from sharpen.memory.knowledge import Knowledge

        knowledge = Knowledge.of(settings, store)
        nodes, edges = knowledge.rebuild()
        knowledge.close()
        console.out.print(f"{nodes} nodes and {edges} edges are in the graph ({settings.graphs.backend}).")


@app.command()
def learn(config: ConfigOption = DEFAULT_PATH) -> None:
    """Let the champion read new documents and exchanges, and keep the facts that it can quote."""
    from sharpen.memory.facts import model_proposer
    from sharpen.memory.knowledge import Knowledge
    from sharpen.workbench import Workbench

    bench = Workbench(load(config))
    engine, champion_id = bench.champion()
    knowledge = Knowledge.of(bench.config, bench.store)
    reading = knowledge.read_new(model_proposer(engine, champion_id))
    knowledge.close()
    console.out.print(f"{len(reading.facts)} facts are kept.")
    for reason, dropped in sorted(reading.dropped.items()):
        console.out.print(f"  {dropped} proposals dropped: {reason}")


@app.command()
def search(
    text: Annotated[str, typer.Argument(help="a question, or words")],
    count: Annotated[int, typer.Option("--count", "-k", min=1, max=100, help="how many memories")] = 5,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Show what is remembered that fits a text, best first."""
    from sharpen.memory.search import Memories
    from sharpen.memory.words import asked
    from sharpen.store import Store

    settings = load(config)
    memories = Memories.of(settings, Store.open(settings.store_url))
    found = memories.search(text, count)
    memories.close()
    if not found:
        console.out.print("Nothing that fits is remembered yet.")
        return
    table = Table("memory", "type", "question", "words", "score")
    for memory, score in found:
        question = asked(memory.messages)
        table.add_row(memory.id, memory.type, _shown(question), _shown(memory.reply), f"{score:.3f}")
    console.out.print(table)


@app.command()
def failures(
    count: Annotated[int, typer.Option("--count", "-k", min=1, help="how many patterns to show")] = 20,
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Group past failures into named patterns, the most frequent first."""
    from sharpen.memory import failures as past
    from sharpen.memory.search import Memories
    from sharpen.memory.vectors import embedder_of
    from sharpen.store import Store

    settings = load(config)
    memories = Memories.of(settings, Store.open(settings.store_url), by="words")
    failed = past.failures(memories.all())
    if not failed:
        console.out.print("No failures are remembered yet; a cycle remembers them.")
        return
    patterns = past.patterns(failed, embedder_of(settings))
    table = Table("pattern", "failures", "share", "example", title=f"{len(failed)} failures")
    for pattern in patterns[:count]:
        share = f"{pattern.count / sum(one.count for one in patterns):.0%}"
        table.add_row(Text(pattern.name), str(pattern.count), share, _shown(pattern.example))
    console.out.print(table)


@app.command()
def add(
    path: Annotated[Path, typer.Argument(help="a text file, UTF-8")],
    config: ConfigOption = DEFAULT_PATH,
) -> None:
    """Remember a document, in passages."""
    from sharpen.memory.keep import keep_document
    from sharpen.memory.search import Memories
    from sharpen.store import Store

    settings = load(config)
    store = Store.open(settings.store_url)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", "name a text file in UTF-8") from error
    kept = keep_document(store, text, str(path), tenant=settings.memory.tenant)
    memories = Memories.of(settings, store)
    memories.add(kept)
    memories.close()
    console.out.print(f"{len(kept)} passages of {path.name} are remembered.")


def _shown(text: str) -> Text:
    """Return words of strangers for a terminal: one line, no control characters, no markup."""
    line = " ".join("".join(one if one.isprintable() else " " for one in text[: _SHOWN * 4]).split())
    return Text(line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…")
