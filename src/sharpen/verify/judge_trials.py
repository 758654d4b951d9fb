"""A judge is measured before it is believed: the trial, its record, and the one door to being a scorer.

In: a judge, gold, the store. Out: `JudgeTrial`; a named scorer, for a judge that passed. Must not know suites or
stages.

Anyone may ask a judge for advice. Only `appoint` makes it a scorer that a suite can name, and suites are what labels
training data and what the gate decides on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sharpen.errors import ConfigError, UntrustedJudge
from sharpen.records import Finding, JudgeTrial, content_hash, now
from sharpen.store import Store
from sharpen.verify import judge_probes as probes
from sharpen.verify.agreement import drift
from sharpen.verify.judge import Judge
from sharpen.verify.judge_gold import Gold
from sharpen.verify.scorers.registry import Scorer, scorer

VALID_DAYS = 30  # chosen: providers change models under a name within weeks
MAX_ERROR_SHARE = 0.05  # chosen: as much as a gate tolerates in unscored cases

Progress = Callable[[str, int, int], None]


def try_judge(
    judge: Judge, gold: Sequence[Gold], store: Store, *, days: int = VALID_DAYS, on_progress: Progress | None = None
) -> JudgeTrial:
    """Measure a judge on gold, and write down what was found.

    Asks 6 questions per gold reply and 4 per pair. An earlier trial on the same gold is what drift is measured against.
    Raises: ConfigError when there is too little gold.
    """
    items = probes.items_for(judge, gold)
    if len(items) < probes.MIN_ITEMS:
        raise ConfigError(
            f"Gold has {len(items)} items for '{judge.rubric}'; a judge is measured on {probes.MIN_ITEMS} or more.",
            "add rows; for preference, good and bad replies to the same prompts",
        )
    tell = on_progress or (lambda name, done, total: None)
    tell(judge.name, 0, 7)
    plain, reasons = probes.values(judge, items)
    earlier = [trial for trial in trials_of(store, judge) if trial.gold_digest == _digest(gold)]
    findings = [probes.agreement(items, plain), probes.group_gap(items, plain)]
    steps: dict[str, Callable[[], list[Finding]]] = {
        "length": lambda: [probes.length(judge, items, plain)],
        "style": lambda: [probes.style(judge, items, plain)],
        "injection": lambda: [probes.injection(judge, items, plain)],
        "names": lambda: [probes.names(judge, items)],
        "order": lambda: probes.order(judge, gold),
        "self-preference": lambda: [probes.self_preference(judge, gold)],
    }
    for place, step in enumerate(steps.values(), start=1):
        tell(judge.name, place, len(steps) + 1)
        findings += step()
    correct = [value is not None and (value >= 0.5) == item.good for value, item in zip(plain, items, strict=True)]
    accuracy = sum(correct) / len(correct)
    if earlier:
        findings.append(_drift(earlier[0], correct, accuracy))
    at = now()
    trial = JudgeTrial(
        id=f"jdg_{content_hash([judge.digest, _digest(gold), at])}",
        at=at,
        judge_digest=judge.digest,
        model=judge.name,
        rubric=judge.rubric,
        gold_digest=_digest(gold),
        items=len(items),
        unanswered=len(reasons),
        accuracy=accuracy,
        findings=tuple(findings),
        faults=_faults(judge, findings, len(reasons) / len(items), reasons),
        expires_at=at + timedelta(days=days),
    )
    store.append(trial)
    tell(judge.name, 7, 7)
    return trial


def trials_of(store: Store, judge: Judge) -> list[JudgeTrial]:
    """Return every trial of exactly this judge, the earliest first."""
    return store.find(JudgeTrial, subjects=[judge.digest])


def require_trusted(store: Store, judge: Judge, *, at: datetime | None = None) -> JudgeTrial:
    """Return the latest trial of a judge that may label and gate. Raises: UntrustedJudge, which says why it may not."""
    trials = trials_of(store, judge)
    who, remedy = f"The judge '{judge.name}' ({judge.rubric})", f"sharpen judge GOLD.jsonl --rubric {judge.rubric}"
    if not trials:
        raise UntrustedJudge(f"{who} was never measured with this rubric and prompt; it may only advise.", remedy)
    latest = trials[-1]
    if (at or now()) >= latest.expires_at:
        raise UntrustedJudge(f"{who} was last measured on {latest.at:%Y-%m-%d}; that has expired.", remedy)
    if latest.faults:
        raise UntrustedJudge(f"{who} failed: {'; '.join(latest.faults)}. It may only advise.", "choose another judge")
    return latest


def appoint(store: Store, judge: Judge) -> Scorer:
    """Make a trusted judge the scorer that its rubric names. Raises: UntrustedJudge; ConfigError: the name is taken."""
    require_trusted(store, judge)
    return scorer(judge.scorer())


def _faults(judge: Judge, findings: Sequence[Finding], silent: float, reasons: Sequence[str]) -> tuple[str, ...]:
    """Say what keeps the judge from being trusted. Order counts only for a judge that compares."""
    faults = [f"{silent:.0%} of the questions got no value ({reasons[0]})"] if silent > MAX_ERROR_SHARE else []
    for one in findings:
        compares = one.name not in ("order consistency", "position") or judge.rubric == "preference"
        if not compares or one.outcome in ("shown", "quiet"):
            continue
        if one.outcome == "not measured" and one.name in ("group agreement", "self-preference"):
            continue  # gold names no groups or authors: printed as not measured, and nothing to hold against it
        faults.append(f"{one.name}: {one.outcome}" + (f" ({one.value:.2f})" if one.value is not None else ""))
    return tuple(faults)


def _drift(first: JudgeTrial, correct: Sequence[bool], accuracy: float) -> Finding:
    place = drift(first.accuracy, correct)
    return Finding(
        name="drift", value=accuracy - first.accuracy, low=None, high=None, n=len(correct), limit=0.0,
        outcome="quiet" if place is None else "alarm",
    )  # fmt: skip


def _digest(gold: Sequence[Gold]) -> str:
    return content_hash(sorted(content_hash(row.model_dump()) for row in gold))
