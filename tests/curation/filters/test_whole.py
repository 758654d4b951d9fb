"""Filters that have to see everything: caps, replay, the human floor, wrong labels, equal meaning."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from tests.curation.candidates import candidate

from sharpen.config import CurationSection
from sharpen.curation.choose import by_strength, choose
from sharpen.curation.filters import WHOLE
from sharpen.curation.filters.duplicates import Keys
from sharpen.curation.filters.labels import label_errors
from sharpen.curation.filters.meaning import meaning
from sharpen.curation.plan import Plan


def judge(name: str, *batch: Any, versions: tuple[str, ...] = (), **settings: Any) -> Any:
    return WHOLE[name](batch, Plan.of(CurationSection(**settings), (), 0, versions))


def test_one_source_has_no_more_than_its_cap_and_nobody_else_pays() -> None:
    batch = [candidate(str(i), source=source) for i, source in enumerate(["ann", "ann", "ben", None, "ann", None])]
    found = judge("source_cap", *batch, source_cap=2)
    assert found == [None, None, None, None, "more than 2 from ann", None]
    assert judge("source_cap", *batch) == [None] * 6


def test_replay_draws_from_the_past_by_content_and_keeps_people_s_words() -> None:
    batch = [candidate(str(i), str(i), origin="verified", version="v1") for i in range(200)]
    found = judge("replay", *batch, versions=("v1", "v2"), replay=0.3)
    assert 40 < sum(why is None for why in found) < 80
    assert found == judge("replay", *batch, versions=("v1", "v2"), replay=0.3)
    assert judge("replay", candidate("a", version="v1"), versions=("v1", "v2"), replay=0.0) == [None]
    assert judge("replay", candidate("a", origin="verified", version="v2"), versions=("v1", "v2"), replay=0.0) == [None]


def test_the_human_floor_takes_the_machine_s_weakest_until_it_holds() -> None:
    batch = [candidate("a"), *(candidate(str(i), origin="verified") for i in range(3))]
    found = judge("human_floor", *batch, human_floor=0.5)
    assert [why is not None for why in found] == [False, False, True, True]
    assert judge("human_floor", *batch[1:], human_floor=0.5) == [None] * 3


def test_label_errors_are_found_among_labels_and_not_in_free_text() -> None:
    chance = random.Random(5)
    topics = {"shipping": "parcel courier delivery late box", "billing": "invoice charge card refund amount"}
    batch = []
    for i in range(300):
        label = ("shipping", "billing")[i % 2]
        text = " ".join([*chance.choices(topics[label].split(), k=5), f"w{chance.randrange(40)}"])
        wrong = i % 15 == 0
        batch.append(candidate(text, {"shipping": "billing", "billing": "shipping"}[label] if wrong else label))
    found = {i for i, why in enumerate(label_errors(batch)) if why is not None}
    wrong_labels = set(range(0, 300, 15))
    assert found <= wrong_labels
    assert len(found) >= 0.9 * len(wrong_labels)
    assert label_errors([candidate(str(i), f"answer {i}") for i in range(40)]) == [None] * 40


class Topics:
    """An embedder that knows two topics."""

    key, dimension = "topics", 2

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        return [[1.0, 0.0] if "parcel" in text or "package" in text else [0.0, 1.0] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def test_equal_meaning_keeps_the_first_and_names_it() -> None:
    batch = [
        candidate("where is my parcel", evidence=("trc_a",)),
        candidate("when will the package come"),
        candidate("refund please"),
        candidate("a parcel that was bad", None, "sales"),
    ]
    assert meaning(batch, 0.9, Topics()) == [None, "means what trc_a asks", None, None]


def test_what_is_chosen_says_of_everything_else_why() -> None:
    rows = [
        candidate("where is my parcel", origin="verified", place=1, evidence=("trc_1",)),
        candidate("Where is my parcel?", place=2, evidence=("trc_2",), source="ann"),
        candidate("refund", place=3, evidence=("trc_3",), source="ann"),
        candidate("invoice", place=4, evidence=("trc_4",)),
    ]
    plan = Plan.of(CurationSection(source_cap=1), (), 0)
    order = by_strength([one.origin for one in rows], [one.place for one in rows])
    chosen = choose(rows, Keys.of(rows), order, plan)
    assert chosen.kept == [1, 3]
    assert [tuple(one) for one in chosen.dropped] == [
        ("trc_1", "duplicate", "as trc_2"), ("trc_3", "source_cap", "more than 1 from ann"),
    ]  # fmt: skip


@pytest.mark.parametrize(("hard", "weight"), [(0.5, 3.0), (0.0, 1.0), (1.0, 1.0), (None, 1.0)])
def test_only_prompts_with_mixed_outcomes_get_the_weight_of_hard_ones(hard: float | None, weight: float) -> None:
    from sharpen.curation.mining.find import Find
    from sharpen.curation.mining.mine import Mined
    from sharpen.curation.sift import candidates

    mined = [Mined(1, '[["user","Hi"]]', "v", Find("a", None, "verified", ("trc_1",)), None, hard)]
    assert [one.weight for one in candidates(mined, Plan(CurationSection(hard_weight=3.0)))] == [weight]
