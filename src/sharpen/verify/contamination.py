"""Whether training has seen what a suite asks: shared word runs, near-duplicates, and canaries.

In: examples, cases, texts. Out: counts with the ids behind them. Must not know how examples are filtered, or the gate.

`curation` drops examples that are like a held-out question; this looks at all that was kept, answers included, and is
what the report shows. Both look from their own side, so that a fault in one does not hide itself.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from pydantic import Field

from sharpen.memory.words import words
from sharpen.records import Case, Example, Message, Value

RUN_WORDS = 13  # Source: Brown et al. 2020, Language Models are Few-Shot Learners, arXiv:2005.14165, appendix C
SHORTEST_RUN = 6  # chosen: "what is the capital of France" is a question; five words are a phrase
TEMPLATE_CASES = 10  # Source: ibid.: runs that occur more than 10 times are the template's words, not a question's
SHINGLE_WORDS = 3  # chosen: word triples; near-duplicates share them, questions on one topic do not
NEAR = 0.6  # chosen: one word changed in a sentence of 15 leaves 12 of 14 triples' union: a Jaccard index of 0.63
CANARY = "sharpen-canary"


class Contamination(Value):
    """How much of one suite's held-out cases the training data has seen."""

    suite: str = Field(description="the suite's name")
    cases: int = Field(description="held-out cases looked at")
    runs: int = Field(description="of these, cases that share a run of 13 words with an example")
    near_duplicates: int = Field(description="of these, cases that are nearly an example's text")
    case_ids: tuple[str, ...] = Field(description="the cases, by either measure")
    example_ids: tuple[str, ...] = Field(description="the examples that they were found in")

    @property
    def share(self) -> float:
        """Contaminated cases per case, 0-1; every one is too many."""
        return len(self.case_ids) / self.cases if self.cases else 0.0


def contamination(examples: Sequence[Example], suite: str, cases: Sequence[Case]) -> Contamination:
    """Look for a suite's dev, gate and vault cases in training examples: prompts and answers, no system prompts.

    A case of 6 to 12 words is one run; a shorter one is found only as a near-duplicate of the whole prompt.
    """
    held_out = [case for case in cases if case.tier != "train"]
    asked = [words(_said(case.messages)) for case in held_out]
    learned = [words(f"{_said(example.messages)}\n{example.chosen or example.rejected}") for example in examples]
    by_run = _shared_runs(asked, learned)
    by_likeness = _alike(asked, [words(_said(example.messages)) for example in examples])
    found = {case: by_run.get(case, set()) | by_likeness.get(case, set()) for case in by_run | by_likeness}
    return Contamination(
        suite=suite,
        cases=len(held_out),
        runs=len(by_run),
        near_duplicates=len(by_likeness),
        case_ids=tuple(held_out[case].id for case in sorted(found)),
        example_ids=tuple(sorted({examples[example].id for places in found.values() for example in places})),
    )


def canary(suite: str, key: bytes) -> str:
    """Return the string that marks a suite: whoever has it read the suite. It cannot be made without the key.

    >>> canary("math", b"k") == canary("math", b"k") != canary("math", b"other")
    True
    """
    return f"{CANARY} {hmac.new(key, suite.encode(), hashlib.sha256).hexdigest()[:32]}"


def marked(cases: Iterable[Case], mark: str) -> list[Case]:
    """Return copies for publishing, with the canary behind each prompt; ids stay, so that scores still fit."""
    copies = []
    for case in cases:
        *before, last = case.messages
        tail = Message(role=last.role, content=f"{last.content}\n\n{mark}")
        copies.append(case.model_copy(update={"messages": (*before, tail)}))
    return copies


def canary_hits(texts: Iterable[str], mark: str) -> list[int]:
    """Return the places of the texts that hold a canary, whatever their letter case and spacing."""
    wanted = "".join(mark.split()).casefold()
    return [place for place, text in enumerate(texts) if wanted in "".join(text.split()).casefold()]


def exposure(logprob: float, others: Sequence[float]) -> float:
    """Return how much likelier a model finds a canary than random strings of the same form, in bits.

    0 is the middle of nowhere; log2(n + 1) is most: likelier than all n others, by chance once in n + 1.
    Source: Carlini et al. 2019, The Secret Sharer, arXiv:1802.08232, definition 4.
    """
    rank = 1 + sum(other >= logprob for other in others)
    return math.log2(len(others) + 1) - math.log2(rank)


def _said(messages: Sequence[Message]) -> str:
    return "\n".join(message.content for message in messages if message.role != "system")


def _runs(text: Sequence[str], length: int) -> set[tuple[str, ...]]:
    return {tuple(text[at : at + length]) for at in range(len(text) - length + 1)}


def _shared_runs(asked: Sequence[Sequence[str]], learned: Sequence[Sequence[str]]) -> dict[int, set[int]]:
    """Return, per case, the examples that share a run with it."""
    runs = [_runs(text, min(RUN_WORDS, max(SHORTEST_RUN, len(text)))) for text in asked]
    frequent = Counter(run for one in runs for run in one)
    cases_of: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for case, one in enumerate(runs):
        for run in one:
            if frequent[run] <= TEMPLATE_CASES:
                cases_of[run].append(case)
    lengths = sorted({len(run) for run in cases_of})
    found: defaultdict[int, set[int]] = defaultdict(set)
    for example, text in enumerate(learned):
        for length in lengths:
            for run in _runs(text, length) & cases_of.keys() if len(text) >= length else ():
                for case in cases_of[run]:
                    found[case].add(example)
    return dict(found)


def _alike(asked: Sequence[Sequence[str]], learned: Sequence[Sequence[str]]) -> dict[int, set[int]]:
    """Return, per case, the examples whose word triples are its own by NEAR or more; exact, by an inverted index."""
    shingles = [_runs(text, min(SHINGLE_WORDS, len(text))) for text in asked]
    cases_of: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for case, one in enumerate(shingles):
        for shingle in one:
            cases_of[shingle].append(case)
    found: defaultdict[int, set[int]] = defaultdict(set)
    for example, text in enumerate(learned):
        own = _runs(text, min(SHINGLE_WORDS, len(text)))
        shared = Counter(case for shingle in own for case in cases_of.get(shingle, ()))
        for case, count in shared.items():
            if count >= NEAR * (len(own) + len(shingles[case]) - count):
                found[case].add(example)
    return dict(found)
