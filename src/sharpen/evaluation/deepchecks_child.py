"""The Deepchecks half of `deepchecks.py`: a program of its own, run by the Python of an environment of its own.

In: one JSON object on standard input: texts with labels and properties, and maybe a reference of the same form. Out:
one JSON object on standard output: per check a value, or the reason why there is none. Must not import sharpen, which
is not installed there, nor reach the network.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

Found = dict[str, dict[str, Any]]


def main() -> None:
    """Read the job, run the checks, write what they found."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not stand among the answers
    job = json.load(sys.stdin)
    _stay_offline()
    found: Found = {}
    current = job["current"]
    _note(found, "text_duplicates", lambda: _text_duplicates(current))
    _note(found, "data_duplicates", lambda: _data_duplicates(current))
    if job["reference"] is not None:
        _note(found, "label_drift", lambda: _label_drift(job["reference"], current))
        try:
            drifts = _property_drift(job["reference"], current)
        except Exception as error:
            drifts = {name: _failed(error) for name in current["properties"]}
        found |= {f"property_drift:{name}": drift for name, drift in drifts.items()}
    json.dump(found, answers)
    answers.flush()


def _note(found: Found, name: str, check: Callable[[], float]) -> None:
    try:
        found[name] = {"value": float(check()), "reason": None}
    except Exception as error:  # whatever a check raises belongs to that check alone
        found[name] = _failed(error)


def _failed(error: Exception) -> dict[str, Any]:
    return {"value": None, "reason": f"{type(error).__name__}: {error}"[:500]}


def _text_duplicates(batch: dict[str, Any]) -> float:
    """Return the share of texts that repeat another one."""
    from deepchecks.nlp.checks import TextDuplicates

    return float(TextDuplicates().run(_text_data(batch)).value["percent_of_duplicates"])


def _data_duplicates(batch: dict[str, Any]) -> float:
    """Return the share of rows of text and label that repeat another one."""
    import pandas as pd
    from deepchecks.tabular import Dataset
    from deepchecks.tabular.checks import DataDuplicates

    frame = pd.DataFrame({"text": batch["texts"], "label": batch["labels"]})
    return float(DataDuplicates().run(Dataset(frame, cat_features=["text", "label"])).value)


def _property_drift(reference: dict[str, Any], current: dict[str, Any]) -> Found:
    from deepchecks.nlp.checks import PropertyDrift

    check = PropertyDrift(min_samples=_few(reference, current))
    drifts = check.run(_text_data(reference), _text_data(current)).value
    return {
        name: {"value": None if drift["Drift score"] is None else float(drift["Drift score"]), "reason": None}
        for name, drift in drifts.items()
    }


def _label_drift(reference: dict[str, Any], current: dict[str, Any]) -> float:
    from deepchecks.nlp.checks import LabelDrift

    check = LabelDrift(min_samples=_few(reference, current))
    return float(check.run(_text_data(reference), _text_data(current)).value["Drift score"])


def _few(*batches: dict[str, Any]) -> int:
    """Return the smallest sample that the check may take: ours to judge, since we say how many there were."""
    return min(len(batch["texts"]) for batch in batches)


def _text_data(batch: dict[str, Any]) -> Any:
    import pandas as pd
    from deepchecks.nlp import TextData

    data = TextData(batch["texts"], label=batch["labels"], task_type="text_classification")
    data.set_properties(pd.DataFrame(batch["properties"]), categorical_properties=[])
    return data


def _stay_offline() -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("Deepchecks runs without a network here")

    socket.socket.connect = refuse  # type: ignore[method-assign]
    socket.getaddrinfo = refuse  # type: ignore[assignment]


if __name__ == "__main__":
    main()
