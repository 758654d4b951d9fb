"""Deepchecks on snapshots and on answers: repeated texts, and drift of texts and labels between two sets.

In: a batch of texts with labels, and maybe an earlier one. Out: Scores of the whole batch: 1 is no duplicate, or no
drift at all. Must not import Deepchecks: it is under the AGPL and needs older libraries, so it runs as a program of its
own, in an environment of its own (`sharpen install deepchecks`), and is spoken to in JSON.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sharpen.errors import BoundaryError
from sharpen.evaluation.outside import Answer, Given, Place
from sharpen.install import environment
from sharpen.records import Example, Score, Snapshot, content_hash

NAME = "deepchecks"
_CHILD = Path(__file__).with_name("deepchecks_child.py")
_FEWEST = 20  # chosen: drift between fewer texts than this is chance
_MOST_LABELS = 50  # chosen: more distinct labels than this are free texts, not classes


@dataclass(frozen=True)
class Batch:
    """Texts with one label each, and where their Scores belong."""

    place: Place
    texts: tuple[str, ...]
    labels: tuple[str, ...]

    def properties(self) -> dict[str, list[float]]:
        """Return what is measured of each text; Deepchecks' own properties would fetch models."""
        words = [text.split() or [""] for text in self.texts]
        return {
            "characters": [float(len(text)) for text in self.texts],
            "words": [float(len(text.split())) for text in self.texts],
            "word_length": [statistics.fmean(map(len, some)) for some in words],
        }


def of_snapshot(snapshot: Snapshot, examples: Iterable[Example], version_id: str) -> Batch:
    """Return a training set as a batch: the last turn of each prompt, labelled by the answer to learn."""
    rows = [(one.messages[-1].content, one.chosen) for one in examples if one.chosen is not None]
    place = Place(f"evl_{snapshot.id}", "snapshot", version_id, snapshot.id, "train", snapshot.id, snapshot.id)
    return Batch(place, tuple(asked for asked, _ in rows), tuple(answer for _, answer in rows))


def of_answers(answers: Sequence[Answer]) -> Batch:
    """Return one arm's replies as a batch, labelled by themselves where they are classes. There must be one."""
    replies = tuple(answer.reply for answer in answers if answer.reply is not None)
    first = answers[0].place
    name = content_hash([answer.place.case_id for answer in answers])
    place = Place(first.evaluation_id, first.arm, first.version_id, first.suite, first.tier, name, name)
    return Batch(place, replies, tuple(reply.strip() for reply in replies))


def look(current: Batch, reference: Batch | None = None, *, timeout_s: float = 600.0) -> list[Score]:
    """Return a Score per check; those of drift need a reference. A check that could not run is unscored.

    Raises: MissingExtra; BoundaryError when the program fails as a whole.
    """
    checks = {"text_duplicates": (), "data_duplicates": ()} | ({"label_drift": ()} if reference else {})
    names = [*checks, *(f"property_drift:{name}" for name in (current.properties() if reference else {}))]
    if not current.texts:
        found: dict[str, Any] = {}
        default = "there are no texts"
    else:
        found, default = _asked(current, reference, timeout_s), "Deepchecks gave no value"
    return [
        current.place.scored(NAME, name, _given(name, found.get(name), default, current, reference)) for name in names
    ]


def _given(name: str, told: Any, default: str, current: Batch, reference: Batch | None) -> Given:
    if reference is not None and "drift" in name:
        fewest = min(len(current.texts), len(reference.texts))
        if fewest < _FEWEST:
            return None, f"drift needs {_FEWEST} texts on both sides; there are {fewest}"
        labels = len({*current.labels, *reference.labels})
        if name == "label_drift" and labels > _MOST_LABELS:
            return None, f"{labels} distinct labels are no classes"
    if not isinstance(told, dict) or told.get("value") is None:
        return None, str((told or {}).get("reason") or default) if isinstance(told, dict | None) else default
    return 1 - float(told["value"]), None


def _asked(current: Batch, reference: Batch | None, timeout_s: float) -> dict[str, Any]:
    """Run the program on the batches and return what it found per check."""
    python = environment(NAME) / "bin" / "python"
    job = {"current": _told(current), "reference": _told(reference) if reference else None}
    try:
        done = subprocess.run(
            [str(python), "-I", "-W", "ignore", str(_CHILD)], input=json.dumps(job), capture_output=True, text=True,
            errors="replace", timeout=timeout_s, check=False, env=os.environ | {"MPLBACKEND": "agg"},
        )  # fmt: skip
        found = json.loads(done.stdout)
        if not isinstance(found, dict):
            raise ValueError("its answer is no object")
    except (subprocess.TimeoutExpired, OSError, ValueError) as error:
        said = getattr(error, "stderr", None) or (done.stderr if "done" in locals() else "")
        raise BoundaryError(
            f"Deepchecks failed: {error}; it said: {str(said)[-300:]}", "sharpen install deepchecks"
        ) from error
    return found


def _told(batch: Batch) -> dict[str, Any]:
    return {"texts": batch.texts, "labels": batch.labels, "properties": batch.properties()}
