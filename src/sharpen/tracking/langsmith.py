"""Suites as LangSmith datasets, arms as experiments, Scores as feedback: through LangSmith's own SDK.

In: cases, Scores of one arm. Out: records on a LangSmith server, named by content, so that telling twice is telling
once. Must not know the store. Prompts, references and replies leave the machine here: only to the address that the user
sets.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from typing import Any

from sharpen.errors import ConfigError
from sharpen.plugins import part
from sharpen.records import Case, Score, content_hash
from sharpen.tracking.refusal import refusals_of

_SPACE = uuid.UUID("5ba7be17-0000-5000-8000-000000000000")  # chosen: any fixed one, so that ids come from content alone
_REMEDY = 'check its address, or set [tracking] langsmith = ""'
_TIMEOUT_MS = 20_000  # chosen: long enough for a busy server, short enough to wait for


class LangSmithMirror:
    """Datasets, experiments and feedback on one LangSmith server. `address` is its API's.

    Raises: ConfigError without a key; MissingExtra without the SDK. TrackerError when the server refuses.
    """

    def __init__(self, address: str, api_key: str) -> None:
        if not address.startswith(("http://", "https://")) or not api_key:
            raise ConfigError(
                "LangSmith needs an address and a key.",
                'export LANGSMITH_API_KEY=…; [tracking] langsmith = "https://…"',
            )
        os.environ["LANGSMITH_TRACING"] = "false"  # the SDK sends what it is told here, and nothing by itself
        self._client: Any = part("langsmith").Client(
            api_url=address,
            api_key=api_key,
            timeout_ms=_TIMEOUT_MS,
            auto_batch_tracing=False,
            omit_traced_runtime_info=True,
        )

    def record_suite(self, name: str, cases: Sequence[Case]) -> str:
        """Write cases as a dataset of their own digest and return its id; what is there already is left alone."""
        with refusals_of("LangSmith", _REMEDY):
            title = f"{name} {content_hash([case.model_dump() for case in cases])}"
            dataset_id = self._dataset(title)
            known = {str(one.id) for one in self._client.list_examples(dataset_id=dataset_id)}
            missing = [one for one in (_example(dataset_id, case) for case in cases) if str(one["id"]) not in known]
            if missing:
                self._client.create_examples(dataset_id=dataset_id, examples=missing)
            return dataset_id

    def record_experiment(self, dataset_id: str, cases: Sequence[Case], scores: Sequence[Score]) -> str:
        """Write one arm's Scores as an experiment on a dataset, with one feedback per Score; return its name.

        All Scores must be of one evaluation and arm. A Score without a value is feedback with its reason.
        """
        first = scores[0]
        if {(one.evaluation_id, one.arm) for one in scores} != {(first.evaluation_id, first.arm)}:
            raise ConfigError("An experiment is one arm of one evaluation.", "record each arm by itself")
        name = f"{first.suite} {first.arm} {first.version_id} {first.evaluation_id}"
        by_id = {case.id: case for case in cases}
        with refusals_of("LangSmith", _REMEDY):
            project = self._client.create_project(
                name, reference_dataset_id=dataset_id, upsert=True,
                metadata={"sharpen.evaluation_id": first.evaluation_id, "sharpen.version_id": first.version_id},
            )  # fmt: skip
            self._client.batch_ingest_runs(
                create=[_run(name, dataset_id, by_id[one.case_id], one) for one in scores if one.case_id in by_id]
            )
            for one in scores:
                if one.case_id in by_id:
                    self._client.create_feedback(
                        _id("run", name, one.case_id), one.scorer, score=one.value, comment=one.reason,
                        feedback_id=_id("feedback", one.id), session_id=project.id, start_time=one.at,
                        stop_after_attempt=2,
                    )  # fmt: skip
        return name

    def _dataset(self, title: str) -> str:
        if self._client.has_dataset(dataset_name=title):
            return str(self._client.read_dataset(dataset_name=title).id)
        return str(self._client.create_dataset(title, description="a suite of sharpen").id)


def _id(*parts: str) -> uuid.UUID:
    return uuid.uuid5(_SPACE, "\n".join(parts))


def _inputs(case: Case) -> dict[str, Any]:
    return {"messages": [turn.model_dump() for turn in case.messages]}


def _example(dataset_id: str, case: Case) -> dict[str, Any]:
    return {
        "id": _id("example", dataset_id, case.id),
        "inputs": _inputs(case),
        "outputs": {"reference": case.reference},
        "metadata": {"case": case.id, "cluster": case.cluster, "groups": list(case.groups)},
        "split": case.tier,
    }


def _run(name: str, dataset_id: str, case: Case, score: Score) -> dict[str, Any]:
    run_id = _id("run", name, case.id)
    return {
        "id": run_id,
        "trace_id": run_id,
        "dotted_order": f"{score.at:%Y%m%dT%H%M%S%fZ}{run_id}",
        "name": score.arm,
        "run_type": "llm",
        "session_name": name,
        "reference_example_id": _id("example", dataset_id, case.id),
        "inputs": _inputs(case),
        "outputs": {"reply": score.reply} if score.reply is not None else None,
        "error": score.reason if score.reply is None else None,
        "start_time": score.at,
        "end_time": score.at,
        "extra": {"metadata": {"sharpen.version_id": score.version_id}},
    }
