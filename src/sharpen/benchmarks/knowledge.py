"""Does the knowledge graph help? Questions over two documents, with recall alone and with recall plus graph.

In: the weights, and a budget of prompt tokens. Out: per arm the share of right answers with intervals, and the paired
difference. Must not know which arm ought to win.

Both arms put notes into the same prompt under the same budget, counted by the model's own tokenizer. The documents and
questions are invented, so that no model can know them. The graph is filled with statements that a person took out of
the documents, through the same validation as any other proposal: this measures what a graph is worth, not how well a
small model fills one. "No notes" is the floor: what guessing is worth.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sharpen import console
from sharpen.benchmarks import machine, publish, sources
from sharpen.config import SMOLLM2, Config
from sharpen.memory.compose import with_memories
from sharpen.memory.facts import named
from sharpen.memory.keep import keep_document
from sharpen.memory.knowledge import Knowledge
from sharpen.memory.search import Memories
from sharpen.models.engine import Engine, Prompt, Request
from sharpen.plugins import part
from sharpen.records import Message
from sharpen.stats import mean_interval, paired_difference, sign_flip_p
from sharpen.store import Store

DATA = Path(__file__).with_name("data") / "multi_hop.json"
BUDGETS = (160,)  # chosen: room for about two of the documents, beside what frames them; `--budget` takes others
DEPTH = 12  # chosen: documents that are offered; far more than fit
MAX_NEW_TOKENS = 12
SYSTEM = "Answer with a name or a few words, nothing else."
VERSION = "base"
Count = Callable[[str], int]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Question:
    """One question, its answer first among the choices, and the documents that it joins."""

    text: str
    choices: tuple[str, ...]
    documents: tuple[str, ...]

    @property
    def answer(self) -> str:
        """The right answer."""
        return self.choices[0]


def load() -> tuple[list[dict[str, Any]], list[Question]]:
    """Return the documents and the questions."""
    data = json.loads(DATA.read_text(encoding="utf-8"))
    questions = [
        Question(one["question"], (one["answer"], *one["others"]), tuple(one["documents"])) for one in data["questions"]
    ]
    return data["documents"], questions


def measure(base: str = SMOLLM2, budgets: Sequence[int] = BUDGETS, questions: int | None = None) -> dict[str, object]:
    """Return the figures, on so many of the questions, spread over the documents, or on every one.

    Raises: ConfigError, EngineError when the base is not there; MissingExtra.
    """
    transformers = part("transformers")
    from sharpen.models.transformers_engine import TransformersEngine
    from sharpen.models.weights import resolve

    folder = resolve(base)
    engine = TransformersEngine(folder)
    engine.load(VERSION, None)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    def count(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    measured_on = sources() | {"machine": machine("torch", "transformers", "ladybug")}
    with tempfile.TemporaryDirectory() as home, console.board() as board:
        figures = compare(engine, count, Path(home), budgets, most=questions, on_progress=board)
    return {"benchmark": "knowledge", "base": base, **figures, **measured_on}


def compare(
    engine: Engine,
    count: Count,
    home: Path,
    budgets: Sequence[int] = BUDGETS,
    *,
    most: int | None = None,
    on_progress: Progress = lambda name, done, total: None,
) -> dict[str, object]:
    """Ask every question in every arm, at each budget."""
    arms = 1 + 2 * len(budgets)
    on_progress("arms of the ablation", 0, arms)
    documents, questions = load()
    questions = questions[:: max(1, len(questions) // most)][:most] if most else questions
    config = Config(home=home)
    store = Store.open(config.store_url)
    knowledge = Knowledge.of(config, store)
    try:
        fill(store, knowledge, documents)
        memories = Memories.of(config, store)
        bare = _answered(engine, [_prompt(question) for question in questions], questions)
        on_progress("arms of the ablation", 1, arms)
        rows = []
        for place, budget in enumerate(budgets):
            alone, both = [], []
            for question in questions:
                recalled = memories.search(question.text, DEPTH, types=["document"])
                alone.append(with_memories(_prompt(question), recalled, budget, count))
                mixed = knowledge.with_recalled(question.text, recalled, budget, count)
                both.append(with_memories(_prompt(question), mixed, budget, count))
            by_recall = _answered(engine, alone, questions)
            on_progress("arms of the ablation", 2 + 2 * place, arms)
            rows.append(_row(budget, questions, by_recall, _answered(engine, both, questions)))
            on_progress("arms of the ablation", 3 + 2 * place, arms)
    finally:
        knowledge.close()
        store.close()
    return {
        "questions": len(questions),
        "documents": len(documents),
        "no_notes": {name: asdict(mean_interval(bare[name])) for name in ("exact", "choice")},
        "budgets": rows,
    }


def fill(store: Store, knowledge: Knowledge, documents: Sequence[dict[str, Any]]) -> None:
    """Keep the documents, and learn what a person found in them, as a plug-in would propose it."""
    for document in documents:
        text = " ".join(document["sentences"])
        keep_document(store, text, document["id"])
        found = [
            {"subject": subject, "relation": relation, "object": other, "quote": document["sentences"][place]}
            for subject, relation, other, place in document["facts"]
        ]
        knowledge.read(_plug_in(found), text, document["id"])


def _plug_in(found: list[dict[str, str]]) -> Callable[[str, str], str]:
    return lambda text, evidence: json.dumps([one | {"evidence": evidence} for one in found])


def _prompt(question: Question) -> tuple[Message, ...]:
    return Message(role="system", content=SYSTEM), Message(role="user", content=question.text)


def _answered(engine: Engine, prompts: Sequence[Prompt], questions: Sequence[Question]) -> dict[str, list[float]]:
    """Return, per question: right by the letter, right by the likeliest choice, what was read, what was there."""
    answers = engine.generate([Request(prompt, max_new_tokens=MAX_NEW_TOKENS) for prompt in prompts], VERSION)
    likely = engine.logprobs(prompts, [question.choices for question in questions], VERSION)
    return {
        "exact": [
            float(_said(answer.text) == _said(question.answer))
            for answer, question in zip(answers, questions, strict=True)
        ],
        "choice": [float(_chosen(question, nats) == 0) for question, nats in zip(questions, likely, strict=True)],
        "prompt_tokens": [float(answer.prompt_tokens) for answer in answers],
        "answer_in_prompt": [
            float(named(question.answer) in named(prompt[-1].content))
            for prompt, question in zip(prompts, questions, strict=True)
        ],
    }


def _chosen(question: Question, nats: Sequence[float]) -> int:
    """Return the place of the choice that is likeliest per byte: longer names are not less likely for their length.

    Source: the measure `acc_norm` of EleutherAI's lm-evaluation-harness.
    """
    per_byte = [value / len(choice.encode()) for value, choice in zip(nats, question.choices, strict=True)]
    # Of equals the last counts, so that the right answer, which stands first, never wins by its place.
    return max(range(len(per_byte)), key=lambda place: (per_byte[place], place))


def _said(text: str) -> str:
    """Return an answer without case, blanks, a leading article or a final point."""
    return named(text).strip(" .!\"'").removeprefix("the ").removeprefix("a ")


def _row(
    budget: int, questions: Sequence[Question], alone: dict[str, list[float]], both: dict[str, list[float]]
) -> dict[str, object]:
    # Questions that end in the same document stand or fall together.
    clusters = [question.documents[-1] for question in questions]
    row: dict[str, object] = {"budget_tokens": budget}
    for name, arm in (("recall", alone), ("recall_and_graph", both)):
        row[name] = {
            "exact": asdict(mean_interval(arm["exact"], clusters)),
            "choice": asdict(mean_interval(arm["choice"], clusters)),
            "prompt_tokens": round(sum(arm["prompt_tokens"]) / len(questions), 1),
            "answer_in_prompt_share": round(sum(arm["answer_in_prompt"]) / len(questions), 3),
        }
    for name in ("exact", "choice"):
        differences = [ours - theirs for ours, theirs in zip(both[name], alone[name], strict=True)]
        row[f"gain_{name}"] = asdict(paired_difference(both[name], alone[name], clusters))
        row[f"p_{name}"] = sign_flip_p(differences, clusters)
    return row


def main() -> None:
    """Run from the command line; `--tiny` takes a random model, to see that it runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a random model of a million parameters")
    parser.add_argument("--base", default=SMOLLM2, help="the weights: model id, folder, GGUF file or package:NAME")
    parser.add_argument("--budget", type=int, action="append", default=[], help="tokens of notes; several times")
    parser.add_argument("--questions", type=int, help="how many; without it, all 64")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    budgets = tuple(given.budget) or BUDGETS
    if not given.tiny:
        publish(measure(given.base, budgets, given.questions), given.json)
        return
    from sharpen.testing import tiny_model

    with tempfile.TemporaryDirectory() as folder:
        publish(measure(str(tiny_model(Path(folder) / "tiny")), budgets), given.json)


if __name__ == "__main__":
    main()
