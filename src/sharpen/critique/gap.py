"""The gap between generation and verification: is the model better at telling right answers than at giving them?

In: a suite's training cases and who answers and judges. Out: `Gap`, with a verdict in a sentence. Must not know what
follows from it.

The model answers each case, the suite's verifier says what is right, and the judge says so without it. Balanced
accuracy is the mean of the shares of right answers it accepts and of wrong ones it refuses: 0.5 is a coin. Its interval
adds the two Wilson intervals up. The gap is how much more often an accepted answer is right than any answer.

Labels of the model's own making are worth learning from only where both hold: the judge beats a coin, and most of what
it accepts is right; each by the lower end of a 95 % interval.

Source: the gap: Song et al. 2024, Mind the Gap, arXiv:2412.02674, section 3; the interval of a sum of two independent
shares from theirs: Newcombe 1998, Stat. Med. 17:873-890, method 10.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sharpen.critique.item import ACCEPTED, Item
from sharpen.critique.method import JUDGE, Call, Method
from sharpen.critique.quoting import about
from sharpen.durable import write_text
from sharpen.records import Case, content_hash
from sharpen.stats import Interval, wilson
from sharpen.verify.suites import Suite

CASES = 200  # chosen: shares are known to about 7 points either way
LEVEL = 0.95
SURE = 0.5  # the judge finds yes likelier than no
UNKNOWN = Interval(0.5, 0.0, 1.0, 0, LEVEL)


@dataclass(frozen=True, slots=True)
class Gap:
    """What was measured. `unjudged` answers got no readable judgement and count as refused; `unscored` are left out."""

    suite: str
    accuracy: Interval  # of answering
    judging: Interval  # balanced accuracy of judging own answers
    precision: Interval  # share of right ones among the accepted answers
    accepted: int
    unjudged: int
    unscored: int

    @property
    def allows_labels(self) -> bool:
        """Whether what the model accepts may be learned."""
        return self.judging.low > 0.5 and self.precision.low > 0.5

    @property
    def verdict(self) -> str:
        """What follows, in a sentence."""
        told = (
            f"On {self.accuracy.n} cases of {self.suite} the model answers {_share(self.accuracy)} right, and judges "
            f"its own answers with a balanced accuracy of {_share(self.judging)}"
        )
        no = "so self-critique may not label training data."
        if self.judging.n == 0:
            return f"{told}: right and wrong answers are both needed to tell, {no}"
        if self.judging.low <= 0.5:
            return f"{told}: not shown to beat a coin, {no}"
        kept = f"of what it accepts {_share(self.precision)} is right"
        if not self.allows_labels:
            return f"{told}; {kept}: too little, {no}"
        return f"{told}; {kept}: self-critique may label training data."


def measure_gap(method: Method, suite: Suite, *, cases: int = CASES, seed: int = 0) -> Gap:
    """Answer and judge up to `cases` training cases, chosen by `seed`; the method's actor answers, its judge judges."""
    known = sorted(suite.tier("train"), key=lambda case: content_hash((seed, case.id)))[:cases]
    items = [Item(f"gap_{case.id}", case.messages, seed=seed) for case in known]
    for reply in method.ask(method.scene.actor, [Call(item, "draft", item.messages) for item in items]):
        reply.call.item.draft = reply.text or None
    sure = judged(method, [item for item in items if item.draft is not None])
    return weigh(suite, known, items, sure)


def judged(method: Method, items: Sequence[Item]) -> dict[str, float | None]:
    """Return how sure the judge is of each item's draft, per trace id. It never sees a reference."""
    calls = [Call(one, "judge", about(one.messages, one.draft or "", JUDGE)) for one in items]
    return {item.trace_id: sure for item, sure in zip(items, method.judge(calls), strict=True)}


def weigh(suite: Suite, cases: Sequence[Case], items: Sequence[Item], sure: dict[str, float | None]) -> Gap:
    """Compare the judgements with the verifier's."""
    right_accepted = right = wrong_accepted = wrong = unjudged = unscored = 0
    for case, item in zip(cases, items, strict=True):
        value, _ = suite.score(case, item.draft)
        if value is None:
            unscored += 1
            continue
        said = sure.get(item.trace_id)
        unjudged += said is None
        is_accepted = said is not None and said > SURE
        if value >= ACCEPTED:
            right, right_accepted = right + 1, right_accepted + is_accepted
        else:
            wrong, wrong_accepted = wrong + 1, wrong_accepted + is_accepted
    accepted = right_accepted + wrong_accepted
    return Gap(
        suite=suite.name,
        accuracy=wilson(right, right + wrong, LEVEL) if right + wrong else UNKNOWN,
        judging=_balanced(right_accepted, right, wrong - wrong_accepted, wrong),
        precision=wilson(right_accepted, accepted, LEVEL) if accepted else UNKNOWN,
        accepted=accepted,
        unjudged=unjudged,
        unscored=unscored,
    )


def _balanced(right_accepted: int, right: int, wrong_refused: int, wrong: int) -> Interval:
    if not right or not wrong:
        return UNKNOWN
    yes, no = wilson(right_accepted, right, LEVEL), wilson(wrong_refused, wrong, LEVEL)
    value = (yes.value + no.value) / 2
    below = math.hypot(yes.value - yes.low, no.value - no.low) / 2
    above = math.hypot(yes.high - yes.value, no.high - no.value) / 2
    return Interval(value, value - below, value + above, right + wrong, LEVEL)


def kept_gap(method: Method, suite: Suite, *, folder: Path, name: str, cases: int = CASES, seed: int = 0) -> Gap:
    """Return the gap that is kept in `folder` under `name` and this suite's content; measure it where there is none."""
    who = method.settings.actor, method.settings.judge or method.settings.critic
    content = (name, suite.name, [case.id for case in suite.tier("train")], cases, seed, who)
    path = folder / f"{content_hash(content)}.json"
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        parts: dict[str, Any] = {
            key: Interval(**value) if isinstance(value, dict) else value for key, value in kept.items()
        }
        return Gap(**parts)
    gap = measure_gap(method, suite, cases=cases, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(asdict(gap), indent=1))
    return gap


def _share(interval: Interval) -> str:
    return f"{interval.value:.2f} ({interval.low:.2f} to {interval.high:.2f})"
