"""What fails often counts more, and what others build on comes first, where the configuration says so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sharpen.config import Config, parse
from sharpen.curation.bundle import read_bundle
from sharpen.curation.emphasis import by_factor, emphasised
from sharpen.curation.snapshot import build_snapshot, to_rows
from sharpen.errors import ConfigError, Refused
from sharpen.memory.facts import valid
from sharpen.memory.keep import keep_feedback
from sharpen.memory.knowledge import Knowledge
from sharpen.records import Example, Feedback
from sharpen.training.job import resolve

PARCEL = [f"My parcel {more}, where is it?" for more in ("is late", "never came", "went missing", "was lost")]
OTHER = ["I forgot my password.", "Is the keyboard in stock?"]
KNOWN = "A lemur is a primate. A primate is an animal."


def config(home: Path, knowledge: bool = False, **settings: Any) -> Config:
    return parse(
        {"home": str(home), "curation": {"min_examples": 2, "near_duplicate": 1.0, **settings}}
        | ({"memory": {"knowledge": True}} if knowledge else {})
    )


def built(store: Any, settings: Config, cycle_id: str = "c1") -> list[Example]:
    emphasise = partial(emphasised, settings, store)
    snapshot = build_snapshot(store, settings.curation, cycle_id, (), 0, emphasise=emphasise)
    assert snapshot is not None
    examples = {one.id: one for one in store.find(Example, ids=snapshot.example_ids)}
    rows = to_rows(store, snapshot)
    assert [row["weight"] for row in rows] == [examples[name].weight for name in snapshot.example_ids]
    return [examples[name] for name in snapshot.example_ids]


@pytest.fixture
def corrected(talk: Any) -> Any:
    """Six corrected answers; four are about one thing."""
    talk.corrected([*PARCEL, *OTHER], ["shipping"] * 4 + ["account", "stock"])
    keep_feedback(talk.store, talk.store.find(Feedback))
    return talk


def weights(examples: list[Example]) -> dict[str, float]:
    return {one.messages[-1].content: one.weight for one in examples}


def test_nothing_changes_unless_the_configuration_says_so(corrected: Any, tmp_path: Path) -> None:
    plain = build_snapshot(corrected.store, config(tmp_path).curation, "c1", (), 0)
    assert plain is not None
    assert [one.id for one in built(corrected.store, config(tmp_path))] == list(plain.example_ids)
    assert not (tmp_path / "embeddings.db").exists(), "no embedding model is asked"


def test_what_fails_often_counts_more(corrected: Any, tmp_path: Path) -> None:
    plain = built(corrected.store, config(tmp_path))
    weighted = built(corrected.store, config(tmp_path, failure_weight=3.0), "c2")
    found = weights(weighted)
    assert [found[question] for question in PARCEL] == [3.0] * 4
    assert [found[question] for question in OTHER] == [1.0] * 2
    assert [one.messages for one in weighted] == [one.messages for one in plain], "the order is the same"
    assert not {one.id for one in weighted} & {one.id for one in plain}, "a weight is part of the name"


def test_the_same_failures_give_the_same_training_set(corrected: Any, tmp_path: Path) -> None:
    settings = config(tmp_path, failure_weight=2.0)
    first = built(corrected.store, settings)
    assert [one.id for one in built(corrected.store, settings)] == [one.id for one in first]
    assert corrected.store.count(Example) == len(first)


def test_another_tenant_s_failures_weigh_nothing(corrected: Any, tmp_path: Path) -> None:
    settings = config(tmp_path, failure_weight=3.0)
    stranger = settings.model_copy(update={"memory": settings.memory.model_copy(update={"tenant": "them"})})
    assert set(weights(built(corrected.store, stranger)).values()) == {1.0}


def test_what_others_build_on_comes_first(talk: Any, tmp_path: Path) -> None:
    questions = ["What is a lemur?", "What is a primate?", "What is an animal?", "Hello?"]
    talk.corrected(questions, ["a", "b", "c", "d"])
    settings = config(tmp_path, knowledge=True, order="curriculum")
    knowledge = Knowledge.of(settings, talk.store)
    said = [
        {"subject": "lemur", "relation": "is_a", "object": "primate", "quote": "A lemur is a primate."},
        {"subject": "primate", "relation": "is_a", "object": "animal", "quote": "A primate is an animal."},
    ]
    proposals = json.dumps([one | {"evidence": "doc_1"} for one in said])
    knowledge.learn(valid(proposals, KNOWN, "doc_1").facts)
    knowledge.close()
    order = [one.messages[-1].content for one in built(talk.store, settings)]
    assert order.index("What is an animal?") < order.index("What is a primate?") < order.index("What is a lemur?")
    assert order.index("Hello?") < order.index("What is a primate?"), "what needs nothing comes early"
    assert order != [one.messages[-1].content for one in built(talk.store, config(tmp_path), "c2")]


def test_a_curriculum_without_knowledge_is_refused(corrected: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="curriculum") as error:
        built(corrected.store, config(tmp_path, order="curriculum"))
    assert error.value.next_step == "[memory] knowledge = true"


@pytest.mark.parametrize(("order", "kept"), [("drawn", False), ("curriculum", True)])
def test_the_trainer_is_told_to_keep_the_order(order: str, kept: bool, tmp_path: Path) -> None:
    from sharpen.training.job import Job
    from sharpen.training.methods.shared import arguments

    recipe = resolve(config(tmp_path, order=order), "sft", 1_000_000, seed=0)
    assert recipe.in_order is kept
    job = Job(base=tmp_path, base_digest="x", rows=tmp_path, adapters=tmp_path, recipe=recipe)
    assert arguments(job, str(tmp_path), 4)["train_sampling_strategy"] == ("sequential" if kept else "random")


def test_weights_from_elsewhere_multiply_what_the_examples_have(corrected: Any, tmp_path: Path) -> None:
    def weigh(examples: Sequence[Example]) -> list[float]:
        return [0.5 if one.chosen == "shipping" else 2.0 for one in examples]

    settings = config(tmp_path, snapshots=str(tmp_path / "sets"))
    snapshot = build_snapshot(
        corrected.store, settings.curation, "c1", (), 0, emphasise=lambda made: by_factor(made, weigh(made))
    )
    assert snapshot is not None
    rows = to_rows(corrected.store, snapshot)
    assert {(row["chosen"], row["weight"]) for row in rows} == {("shipping", 0.5), ("account", 2.0), ("stock", 2.0)}
    _, table = read_bundle(str(tmp_path / "sets"), snapshot.id)
    assert table["weight"].to_pylist() == [row["weight"] for row in rows], "files and store say the same"
    plain = build_snapshot(corrected.store, config(tmp_path).curation, "c2", (), 0)
    assert plain is not None
    assert plain.id != snapshot.id, "weights are part of what is learned"


@pytest.mark.parametrize("told", [[1.0], [1.0] * 5 + [0.0], [1.0] * 5 + [float("nan")]])
def test_weights_that_are_none_are_refused(corrected: Any, tmp_path: Path, told: list[float]) -> None:
    with pytest.raises(Refused, match="6 examples were given"):
        build_snapshot(
            corrected.store, config(tmp_path).curation, "c1", (), 0, emphasise=lambda made: by_factor(made, told)
        )
