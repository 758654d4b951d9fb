"""Answer "why does this version answer as it does?" from the records alone.

In: the store and a version's or an example's id. Out: the chain ModelVersion → TrainingRun → Snapshot → Examples →
evidence, with the Verdict and the Deployment that shipped it; as a tree to print or as plain values. Must not know how
any of them were made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from sharpen.errors import NotFound
from sharpen.records import (
    Critique,
    Deployment,
    Example,
    Feedback,
    ModelVersion,
    Record,
    Snapshot,
    Trace,
    TrainingRun,
    Verdict,
)
from sharpen.store import ERASED, Store

if TYPE_CHECKING:
    from rich.tree import Tree

R = TypeVar("R", bound=Record)

_SHOWN = 5  # chosen: examples in a tree, so that it fits a screen
_WIDTH = 72  # chosen: characters of a text in a tree


@dataclass(frozen=True, slots=True)
class ExampleLineage:
    """One training example and the records that it rests on, in the order the example names them."""

    example: Example
    evidence: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a version comes from. The bare base has no run; a version that never served has no deployment."""

    version: ModelVersion
    run: TrainingRun | None
    snapshot: Snapshot | None
    examples: tuple[ExampleLineage, ...]
    verdict: Verdict | None
    deployment: Deployment | None


def why(store: Store, version: str = "champion", shown: int = _SHOWN) -> Provenance:
    """Return where a version comes from, with its first `shown` examples in training order.

    Raises: NotFound when there is no such version, or a record of its chain is missing.
    """
    model = store.get(ModelVersion, resolve(store, version))
    run = store.get(TrainingRun, model.run_id) if model.run_id else None
    snapshot = store.get(Snapshot, run.snapshot_id) if run else None
    deployments = store.find(Deployment, subjects=[model.id])
    verdicts = [verdict for verdict in store.find(Verdict) if verdict.challenger_id == model.id]
    return Provenance(
        version=model,
        run=run,
        snapshot=snapshot,
        examples=tuple(example_lineage(store, one) for one in snapshot.example_ids[:shown]) if snapshot else (),
        verdict=verdicts[-1] if verdicts else None,
        deployment=deployments[0] if deployments else None,
    )


def example_lineage(store: Store, example_id: str) -> ExampleLineage:
    """Return one training example and its evidence. Raises: NotFound when either is missing."""
    example = _get(store, Example, example_id, "sharpen why champion  names examples")
    return ExampleLineage(example, tuple(store.lookup(evidence_id) for evidence_id in example.evidence))


def resolve(store: Store, version: str) -> str:
    """Return the id behind "champion", "previous" or an id. Raises: NotFound."""
    if version == "champion":
        return store.champion().version_id
    if version == "previous":
        previous = store.champion().previous_id
        if previous is None:
            raise NotFound("No version served before this one.", "sharpen why champion")
        return previous
    return _get(store, ModelVersion, version, "sharpen why champion, or sharpen why previous").id


def as_dict(provenance: Provenance) -> dict[str, Any]:
    """Return the same as plain values, ready for JSON; every text is whole."""

    def plain(record: Record | None) -> dict[str, Any] | None:
        return record.model_dump(mode="json") if record else None

    return {
        "version": plain(provenance.version),
        "run": plain(provenance.run),
        "snapshot": plain(provenance.snapshot),
        "examples": [
            {"example": plain(one.example), "evidence": [plain(record) for record in one.evidence]}
            for one in provenance.examples
        ],
        "verdict": plain(provenance.verdict),
        "deployment": plain(provenance.deployment),
    }


def render(provenance: Provenance) -> Tree:
    """Return a tree to print, its texts shortened to one line each."""
    version, run, snapshot = provenance.version, provenance.run, provenance.snapshot
    kind = "the bare base" if version.adapter_digest is None else f"adapter {version.adapter_digest}, trained from"
    tree = _branch(None, f"version {version.id}", f"{kind} {version.parent or version.base}")
    if provenance.deployment:
        _branch(tree, f"deployed {provenance.deployment.at:%Y-%m-%d %H:%M}", provenance.deployment.reason)
    else:
        _branch(tree, "never deployed", "")
    if provenance.verdict:
        _branch(tree, f"verdict {provenance.verdict.id}", provenance.verdict.reason)
    if run and snapshot:
        trained = _branch(tree, f"run {run.id}", f"{run.method}, seed {run.seed}, {run.seconds:.0f} s")
        counts = ", ".join(f"{count} {origin}" for origin, count in snapshot.counts.items())
        control = "shuffled labels; " if snapshot.shuffled_labels else ""
        branch = _branch(trained, f"snapshot {snapshot.id}", f"{control}{len(snapshot.example_ids)} examples: {counts}")
        for one in provenance.examples:
            _grow(branch, one)
        hidden = len(snapshot.example_ids) - len(provenance.examples)
        if hidden:
            _branch(branch, f"and {hidden} more", "")
    return tree


def _grow(tree: Tree, lineage: ExampleLineage) -> None:
    example = lineage.example
    answer = example.chosen if example.chosen is not None else f"not: {example.rejected}"
    words = f"{_last(example.messages)} → {answer}"
    branch = _branch(tree, f"{example.origin} {example.id}", words)
    for record in lineage.evidence:
        _branch(branch, f"{type(record).__name__.lower()} {record.id}", _say(record))


def _say(record: Record) -> str:
    """Return one line about a piece of evidence."""
    if isinstance(record, Trace):
        return f"{_last(record.messages)} → {record.reply or 'no reply'}"
    if isinstance(record, Feedback):
        rating = "" if record.rating is None else f"rated {record.rating:g} "
        return f"{rating}{'corrected: ' + record.correction if record.correction else ''}{record.comment or ''}".strip()
    if isinstance(record, Critique):
        return f"{record.method}, draft scored {record.draft_score}, revision {record.revision_score}"
    return ""


def _last(messages: Iterable[Any]) -> str:
    return next((message.content for message in reversed(tuple(messages)) if message.role == "user"), ERASED)


def _branch(tree: Tree | None, name: str, words: str) -> Tree:
    """Add a line to the tree, or begin one. People's words are shown as they are: no markup, no control characters."""
    from rich.text import Text
    from rich.tree import Tree as NewTree

    line = "".join(letter for letter in " ".join(words.split()) if letter.isprintable())
    short = line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"
    label = Text.assemble((name, "bold"), f"  {short}" if short else "")
    return tree.add(label) if tree is not None else NewTree(label)


def _get(store: Store, kind: type[R], record_id: str, next_step: str) -> R:
    found = store.find(kind, ids=[record_id])
    if not found:
        raise NotFound(f"There is no {kind.__name__} '{record_id}'.", next_step)
    return found[0]
