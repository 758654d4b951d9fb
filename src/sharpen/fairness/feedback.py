"""The store's feedback as columns, and its weights by record.

In: the store, settings, and a file in which sources declared their groups. Out: `Weighed`. Must not know what the
weights are for.

Groups come with the feedback, where the contributor consented to that, or from a file that stays where the operator
keeps it: no snapshot or report repeats them. What a verifier said of a reply is the known answer by which sources earn
trust.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sharpen.config import IntegritySection
from sharpen.errors import ConfigError
from sharpen.fairness.integrity import UNDECLARED, Columns, Integrity, integrity
from sharpen.records import Critique, Feedback, Source, Trace, content_hash
from sharpen.store import ERASED, Store

Embed = Callable[[list[str]], list[list[float]]]
LEAST = 1e-4  # the smallest weight of an example: training wants it positive


@dataclass(frozen=True, slots=True)
class People:
    """What sources declared: facet -> source -> value, and what of the file could not be used."""

    facets: dict[str, dict[str, str]]
    without_consent: int
    problems: tuple[str, ...]  # line and reason


@dataclass(frozen=True)
class Weighed:
    """Feedback with weights."""

    ids: tuple[str, ...]
    found: Integrity
    people: People

    @cached_property
    def _row(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.ids)}

    def factor(self, evidence: Sequence[str]) -> float:
        """Return how much an example counts by the feedback it rests on: the mean; 1 where it rests on none."""
        rows = [self._row[one] for one in evidence if one in self._row]
        return max(float(self.found.weights.weight_N[rows].mean()), LEAST) if rows else 1.0

    def explain(self, evidence: Sequence[str]) -> list[str]:
        """Return why each piece of feedback weighs what it weighs."""
        rows = [(one, self._row[one]) for one in evidence if one in self._row]
        return [line for one, row in rows for line in (f"{one}:", *self.found.explain(row))]


def weighed(store: Store, settings: IntegritySection, embed: Embed | None = None) -> Weighed | None:
    """Weigh what the store holds; None where there is no feedback. `embed` is asked where `[integrity] meaning` is set.

    Raises: ConfigError when the file of people is not there or a target names a facet that nobody declared; Refused
    when facets and targets contradict; MissingExtra.
    """
    said = [one for one in store.find(Feedback) if one.rating is not None or one.correction is not None]
    if not said:
        return None
    people = read_people(Path(settings.people)) if settings.people else People({}, 0, ())
    targets = settings.by_facet()
    kept = {one.partition("=")[0] for feedback in said for one in feedback.groups}
    if odd := sorted(set(targets) - set(people.facets) - kept):
        raise ConfigError(
            f"[integrity] targets names '{odd[0]}', which nobody declared.", "add it to [integrity] people"
        )
    columns = _columns(store, said, people, tuple(targets))
    vectors_ND = None
    if settings.meaning and embed is not None:
        vectors_ND = np.array(embed([text or "-" for text in columns.text]), dtype=np.float32)
    found = integrity(columns, targets, vectors_ND=vectors_ND, same_meaning=settings.meaning or None)
    return Weighed(tuple(one.id for one in said), found, people)


def _columns(store: Store, said: Sequence[Feedback], people: People, facets: Sequence[str]) -> Columns:
    names = {one.id: one.name for one in store.find(Source)}
    # Who gives no name is nobody's second voice: each such record is a source of its own, and none is trusted.
    source = [names.get(one.source_id or "") or one.source_id or f"nameless {one.id}" for one in said]
    traces = {one.id: one for one in store.find(Trace, ids=sorted({one.trace_id for one in said}))}
    verdicts = {
        one.trace_id: one.draft_score
        for one in store.find(Critique)
        if one.scored_by == "verifier" and one.draft_score is not None
    }
    items = {
        name: content_hash([[turn.role, turn.content] for turn in trace.messages]) for name, trace in traces.items()
    }
    words = ((one.comment, one.correction) for one in said)
    return Columns(
        source=source,
        item=[items.get(one.trace_id, one.trace_id) for one in said],
        label_N=np.array([int(one.rating > 0 if one.rating is not None else 0) for one in said]),
        time_N=np.array([one.at.timestamp() for one in said]),
        text=[" ".join(text for text in pair if text and text != ERASED) for pair in words],
        gold_N=np.array([float("nan") if (v := verdicts.get(one.trace_id)) is None else v for one in said]),
        facets={name: _facet(name, said, source, people) for name in facets},
    )


def _facet(name: str, said: Sequence[Feedback], source: Sequence[str], people: People) -> list[str]:
    """Return each record's value of a facet: as the record says, else as the file does."""
    declared = people.facets.get(name, {})
    own = ({axis: value for axis, _, value in (one.partition("=") for one in feedback.groups)} for feedback in said)
    return [groups.get(name) or declared.get(who, UNDECLARED) for groups, who in zip(own, source, strict=True)]


def read_people(path: Path) -> People:
    """Read what sources declared. Lines that say nothing usable are kept as problems, not dropped in silence.

    Raises: ConfigError when the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"[integrity] people cannot be read: {path}: {error}", "name a JSON Lines file") from error
    facets: dict[str, dict[str, str]] = {}
    refused, problems = 0, []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        row = _row(line)
        if row is None:
            problems.append(f"line {number}: not an object with a 'source'")
            continue
        if row.get("consent") is not True:
            refused += 1
            continue
        for facet, value in row.items():
            if facet in ("source", "consent"):
                continue
            if not isinstance(value, str) or not value:
                problems.append(f"line {number}: the value of '{facet}' is not text")
            elif facets.setdefault(facet, {}).setdefault(row["source"], value) != value:
                problems.append(f"line {number}: '{row['source']}' has another '{facet}' already; the first one counts")
    return People(facets, refused, tuple(problems))


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("source"), str) and row["source"] else None
