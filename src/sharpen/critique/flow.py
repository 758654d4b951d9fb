"""Run a critique method over the traces of a cycle and record what it found.

In: Traces, Feedback, a suite that can verify, an engine. Out: one Critique per Trace. Must not know what becomes of
them.

Traces go through in portions, each written in one transaction. A cycle that was killed goes on with the first trace
that has no Critique yet, and so finds the same portions again and ends with the same records as one that was not
killed. What came in since then joins the last portion; what is written is never asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sharpen.config import Config
from sharpen.critique.refine import Item, Refiner
from sharpen.errors import BoundaryError
from sharpen.failpoints import failpoint
from sharpen.memory.recall import Recall
from sharpen.models.engine import Engine
from sharpen.records import Critique, Feedback, Step, Trace, content_hash
from sharpen.store import ERASED, Store
from sharpen.verify.suites import Suite

PORTION = 64  # chosen: enough to fill the engine's rows twice, little enough to lose when killed

Progress = Callable[[int, int], None]  # traces done, traces in all


def critique(
    config: Config,
    store: Store,
    engine: Engine,
    suite: Suite | None,
    *,
    cycle_id: str,
    version_id: str,
    on_progress: Progress = lambda done, total: None,
) -> list[Critique]:
    """Criticise every answered Trace as `version_id`, and return the Critiques in the order of the Traces.

    Raises: BoundaryError when more than `[critique] max_error_share` of the items failed.
    """
    traces = [trace for trace in store.find(Trace) if trace.reply is not None and trace.messages[-1].content != ERASED]
    corrections = _corrections(store, config)
    done = {critique.trace_id: critique for critique in store.find(Critique) if critique.cycle_id == cycle_id}
    recall = _recall(traces, corrections)
    refiner = Refiner(engine, version_id, suite, recall, config)
    _learn(recall, traces, done)
    waiting = [trace for trace in traces if trace.id not in done]
    first = len(traces) - len(waiting)
    for start in range(0, len(waiting), PORTION):
        portion = waiting[start : start + PORTION]
        items = [_item(trace, corrections.get(trace.id), suite) for trace in portion]
        refiner.run(items, seed=int(content_hash((config.seed, cycle_id, first + start), 8), 16))
        written = {item.trace_id: _record(item, cycle_id) for item in items}
        failpoint("critique.before_write")
        store.append(*written.values())
        failpoint("critique.after_write")
        done |= written
        _learn(recall, portion, written)  # what was found in this portion helps the next
        on_progress(first + start + len(portion), len(traces))
    critiques = [done[trace.id] for trace in traces]
    _check_errors(critiques, config.critique.max_error_share)
    return critiques


def _corrections(store: Store, config: Config) -> dict[str, str]:
    """Return the newest correction per Trace, where the configuration allows learning from corrections."""
    if not config.curation.corrections:
        return {}
    said = [feedback for feedback in store.find(Feedback) if feedback.correction and feedback.correction.strip()]
    return {feedback.trace_id: (feedback.correction or "").strip() for feedback in said}


def _recall(traces: Sequence[Trace], corrections: dict[str, str]) -> Recall:
    return Recall((trace.messages, corrections[trace.id]) for trace in traces if trace.id in corrections)


def _learn(recall: Recall, traces: Sequence[Trace], found: dict[str, Critique]) -> None:
    """Remember the verified revisions of these traces."""
    pairs = [(trace.messages, found[trace.id]) for trace in traces if trace.id in found]
    recall.add((asked, one.revision) for asked, one in pairs if one.revision is not None)


def _item(trace: Trace, correction: str | None, suite: Suite | None) -> Item:
    case = suite.find(trace.messages) if suite else None
    # Only training cases may answer a verifier's question: the others measure.
    return Item(
        trace_id=trace.id,
        messages=trace.messages,
        draft=(trace.reply or "").strip(),
        correction=correction,
        case=case if case is not None and case.tier == "train" else None,
        choices=case.choices if case is not None else (),
    )


def _record(item: Item, cycle_id: str) -> Critique:
    return Critique(
        id=f"crt_{content_hash((cycle_id, item.trace_id))}",
        trace_id=item.trace_id,
        cycle_id=cycle_id,
        method="refine",
        steps=tuple(Step(name=name, output=output, tokens=tokens) for name, output, tokens in item.steps),
        draft=item.draft,
        draft_score=item.draft_score,
        revision=item.revision,
        revision_score=item.revision_score,
        strategy=item.strategy,
        tokens=sum(tokens for _, _, tokens in item.steps),
        stop_reason=item.stop_reason,
        needs_review=item.stop_reason == "rounds",
        error=item.error,
    )


def _check_errors(critiques: Sequence[Critique], max_share: float) -> None:
    failed = [critique for critique in critiques if critique.error]
    if critiques and len(failed) / len(critiques) > max_share:
        raise BoundaryError(
            f"{len(failed)} of {len(critiques)} critiques failed, more than [critique] max_error_share = {max_share}; "
            f"the first: {failed[0].error}",
            f"sharpen show {failed[0].id}",
        )
