"""Run a critique method over the traces of a cycle and record what it found.

In: Traces, Feedback, a suite that can verify, an engine. Out: one Critique per Trace. Must not know what becomes of
them.

Traces go through in portions, each written in one transaction. A cycle that was killed goes on with the first trace
that has no Critique yet, and so finds the same portions again and ends with the same records as one that was not
killed. What came in since then joins the last portion; what is written is never asked again.

A trace whose critique of an earlier cycle still stands is not looked at again, see `standing.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sharpen.config import Config
from sharpen.critique.constitution import load_constitution
from sharpen.critique.gap import SURE, judged, kept_gap
from sharpen.critique.item import ACCEPTED, Item, record
from sharpen.critique.method import Method, Scene
from sharpen.critique.methods import find
from sharpen.critique.standing import accepted, basis_of, carry, stands
from sharpen.critique.tools import Tool, toolbox
from sharpen.critique.viewpoints import load_perspectives
from sharpen.errors import BoundaryError
from sharpen.failpoints import failpoint
from sharpen.memory.perspectives import collections_of
from sharpen.memory.recall import Recall
from sharpen.models.engine import Engine
from sharpen.records import Critique, Feedback, Message, Trace, content_hash
from sharpen.store import ERASED, Store
from sharpen.verify.suites import Suite

PORTION = 64  # chosen: enough to fill the engine's rows twice, little enough to lose when killed

Progress = Callable[[int, int], None]  # traces done, traces in all
Around = Callable[[tuple[Message, ...]], tuple[Message, ...]]


def critique(
    config: Config,
    store: Store,
    engine: Engine,
    suite: Suite | None,
    *,
    cycle_id: str,
    version_id: str,
    on_progress: Progress = lambda done, total: None,
    tools: Mapping[str, Tool] | None = None,
    around: Around = tuple,
) -> list[Critique]:
    """Criticise every answered Trace as `version_id`, and return the Critiques in the order of the Traces.

    The Critique of an earlier cycle is returned where it still stands.
    `tools` are those of `[critique] tools` that other parts bring, such as "knowledge"; `around` puts what is known
    around a question before it.
    Raises: ConfigError for a critic, tool or constitution that is not there; BoundaryError when more than
    `[critique] max_error_share` of the items failed.
    """
    traces = [trace for trace in store.find(Trace) if trace.reply is not None and trace.messages[-1].content != ERASED]
    corrections = _corrections(store, config)
    earlier = store.find(Critique)
    done = {critique.trace_id: critique for critique in earlier if critique.cycle_id == cycle_id}
    known = accepted(critique for critique in earlier if critique.cycle_id != cycle_id)
    reflections = {one.trace_id: one.reflections for one in earlier if one.cycle_id != cycle_id and one.reflections}
    recall = _recall(traces, corrections)
    method = open_method(config, engine, version_id, suite=suite, recall=recall, tools=tools)
    basis = basis_of(method, version_id)
    every = {
        t.id: _item(t, corrections.get(t.id), suite, reflections.get(t.id, ())) for t in traces if t.id not in done
    }
    standing = {name: known[name] for name, item in every.items() if stands(method, item, known.get(name), basis)}
    _learn(recall, traces, standing)
    _learn(recall, traces, done)
    waiting = [trace for trace in traces if trace.id not in done and trace.id not in standing]
    settled = len(standing)
    first = len(traces) - len(waiting) - settled
    for start in range(0, len(waiting), PORTION):
        portion = waiting[start : start + PORTION]
        items = [every[trace.id] for trace in portion]
        for item in items:
            item.messages = around(item.messages)
        method.run(items, seed=int(content_hash((config.seed, cycle_id, first + start), 8), 16))
        _label(method, items, suite, version_id)
        carry(method, items, known)
        written = {one.trace_id: record(one, cycle_id=cycle_id, method=method.name, basis=basis) for one in items}
        failpoint("critique.before_write")
        store.append(*written.values())
        failpoint("critique.after_write")
        done |= written
        _learn(recall, portion, written)  # what was found in this portion helps the next
        on_progress(settled + first + start + len(portion), len(traces))
    critiques = [done.get(trace.id) or standing[trace.id] for trace in traces]
    _check_errors(critiques, config.critique.max_error_share)
    return critiques


def open_method(
    config: Config,
    engine: Engine,
    version_id: str,
    *,
    suite: Suite | None = None,
    recall: Recall | None = None,
    tools: Mapping[str, Tool] | None = None,
) -> Method:
    """Return the configured method, with the engine's version as its actor.

    Raises: ConfigError for a critic, tool or constitution that is not there.
    """
    recall, settings = Recall() if recall is None else recall, config.critique
    parts: dict[str, object] = {"suite": suite, "recall": recall}
    if settings.method == "react":
        parts["tools"] = toolbox(list(settings.tools), recall, tools or {})
    if settings.method == "constitutional":
        parts["constitution"] = tuple(load_constitution(settings.constitution).principle)
    if settings.method == "perspectives":
        parts["perspectives"] = tuple(load_perspectives(settings.perspectives).perspective)
        parts["context"] = collections_of(config).texts
    return find(settings.method)(Scene.of(config, engine, version_id, **parts))


def _corrections(store: Store, config: Config) -> dict[str, str]:
    """Return the newest correction per Trace, where the configuration allows learning from corrections."""
    if not config.curation.corrections:
        return {}
    said = [feedback for feedback in store.find(Feedback) if feedback.correction and feedback.correction.strip()]
    return {feedback.trace_id: (feedback.correction or "").strip() for feedback in said}


def _recall(traces: Sequence[Trace], corrections: dict[str, str]) -> Recall:
    return Recall((trace.messages, corrections[trace.id]) for trace in traces if trace.id in corrections)


def _learn(recall: Recall, traces: Sequence[Trace], found: dict[str, Critique]) -> None:
    """Remember the revisions of these traces that a verifier accepted."""
    pairs = [(trace.messages, found[trace.id]) for trace in traces if trace.id in found]
    recall.add(
        (asked, one.revision)
        for asked, one in pairs
        if one.revision is not None and (one.revision_score or 0.0) >= ACCEPTED and one.scored_by == "verifier"
    )


def _label(method: Method, items: Sequence[Item], suite: Suite | None, version_id: str) -> None:
    """Let the model accept revisions that no verifier can score, where its measured gap says that it may."""
    config = method.scene.config
    if config.critique.self_labels == "never" or suite is None:
        return
    open_ = [item for item in items if item.revision is not None and item.revision_score is None and not item.error]
    if (
        not open_
        or not kept_gap(method, suite, folder=config.home / "gap", name=version_id, seed=config.seed).allows_labels
    ):
        return
    told = [Item(item.trace_id, item.messages, item.revision) for item in open_]
    sure = judged(method, told)
    for item, asked in zip(open_, told, strict=True):
        for step in asked.steps:
            item.note("label", step.output, tokens=step.tokens, parent=item.answer_step, score=step.score)
        if (sure[item.trace_id] or 0.0) > SURE:
            item.revision_score, item.scored_by = ACCEPTED, "self"


def _item(trace: Trace, correction: str | None, suite: Suite | None, reflections: tuple[str, ...]) -> Item:
    case = suite.find(trace.messages) if suite else None
    # Only training cases may answer a verifier's question: the others measure.
    return Item(
        trace_id=trace.id,
        messages=trace.messages,
        draft=(trace.reply or "").strip(),
        correction=correction,
        case=case if case is not None and case.tier == "train" else None,
        choices=case.choices if case is not None else (),
        remembered=reflections,
    )


def _check_errors(critiques: Sequence[Critique], max_share: float) -> None:
    failed = [critique for critique in critiques if critique.error]
    if critiques and len(failed) / len(critiques) > max_share:
        raise BoundaryError(
            f"{len(failed)} of {len(critiques)} critiques failed, more than [critique] max_error_share = {max_share}; "
            f"the first: {failed[0].error}",
            f"sharpen show {failed[0].id}",
        )
