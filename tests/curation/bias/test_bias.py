"""Planted bias is found, even evidence raises nothing, and no small group is told."""

from __future__ import annotations

import random
from collections.abc import Sequence

from sharpen.curation.bias.people import make_up, marked, toned, unbalanced
from sharpen.curation.bias.rows import Row, facets
from sharpen.curation.bias.segments import under_annotated, weak, with_topics

MENTIONS = {"women": ["she", "her"], "men": ["he", "him"]}


def rows(count: int, **fields: object) -> list[Row]:
    return [Row(f"question {i}", "an answer", {"language": "en"})._replace(**fields) for i in range(count)]  # type: ignore[arg-type]


def group(name: str, people: int, each: int = 2, axis: str = "region", **fields: object) -> list[Row]:
    told = {f"group:{axis}": name}
    return [
        row._replace(facets=told, person=f"{name} {i % people}") for i, row in enumerate(rows(people * each, **fields))
    ]


def test_a_language_that_nobody_annotates_is_found_and_one_like_the_others_is_not() -> None:
    planted = [*rows(200, is_annotated=True), *rows(200, is_annotated=False)]
    planted += rows(60, facets={"language": "de"}, is_annotated=False)
    planted += rows(60, facets={"language": "fr"})[:30] + rows(30, facets={"language": "fr"}, is_annotated=False)
    [found] = under_annotated(planted)
    assert (found.facet, found.segment, found.value, found.rows) == ("language", "de", 0.0, 60)
    assert found.high < found.expected / 2


def test_a_topic_that_is_answered_worse_is_found_by_its_words() -> None:
    chance = random.Random(0)
    about = {"invoice payment card": 0.9, "parcel delivery late": 0.9, "password login account": 0.3}
    planted = [
        Row(f"{topic} {chance.choice(['please', 'help', 'why'])}", "x", {}, went_well=chance.random() < share)
        for topic, share in about.items()
        for _ in range(100)
    ]
    told, gap = with_topics(planted)
    assert gap is None
    found = weak(told)
    assert found
    assert all(set(one.segment.split()) & {"password", "login", "account"} for one in found)
    assert with_topics(told)[0] == told, "the same rows give the same topics"
    assert with_topics(planted[:20])[1] == "topics need 200 exchanges; there are 20"


def test_chance_alone_is_rarely_a_finding() -> None:
    """Twelve segments, no bias: of 200 draws at most one in ten may raise a false alarm; the level is one in twenty."""
    chance, alarms = random.Random(1), 0
    for _ in range(200):
        drawn = [
            Row("q", "a", {"language": chance.choice("abcdefghijkl")})._replace(
                is_annotated=chance.random() < 0.3, went_well=chance.random() < 0.7
            )
            for _ in range(600)
        ]
        alarms += bool(under_annotated(drawn) or weak(drawn))
    assert alarms <= 20


def test_a_group_that_counts_for_less_than_its_people_is_found() -> None:
    even = [*group("north", 40), *group("south", 40)]
    assert unbalanced(even) == []
    [found] = unbalanced([*group("north", 40, each=8), *group("south", 40, each=2)])
    assert (found.facet, found.segment, found.expected) == ("group:region", "south", 0.5)
    light = [row._replace(weight=0.2) if row.facets["group:region"] == "south" else row for row in even]
    assert [one.segment for one in unbalanced(light)] == ["south"], "weights count"
    assert unbalanced([*group("north", 40, each=8), *group("south", 19, each=2)]) == [], "19 people are not spoken of"


def test_the_make_up_tells_no_group_of_under_twenty_and_none_that_the_total_would_tell() -> None:
    told = make_up([*group("north", 40), *group("south", 30), *group("east", 25), *group("isle", 3)])["region"]
    assert told["north"] == 40 and told["south"] == 30
    assert told["isle"] == told["east"] == "under 20, or suppressed"
    assert make_up(rows(5)) == {}


def test_another_tone_and_marker_words_are_found_where_they_were_planted() -> None:
    def planted(said: str, answer: str, count: int) -> list[Row]:
        return [Row(q, answer, facets(q, "v", None, {}, MENTIONS)) for i in range(count) if (q := f"{said} number {i}")]

    def tone(texts: Sequence[str]) -> list[float]:
        return [1.0 if "brilliant" in text else 0.0 for text in texts]

    biased = planted("what should he do", "a brilliant plan works", 60)
    biased += planted("what should she do", "a plan may work", 60) + planted("what is it", "a plan may work", 60)
    found = toned(biased, tone)
    assert [(one.facet, one.value > 0) for one in found] == [("mention:men", True), ("mention:women", False)]
    words = marked(biased)
    assert set(words["mention:men named"]) == {"brilliant", "works"}
    assert set(words["mention:women named"]) == {"may", "work"}
    even = planted("what should he do", "a plan", 60) + planted("what should she do", "a plan", 60)
    assert toned(even, tone) == [] and marked(even) == {}


def test_groups_are_what_sources_declared_and_mentions_are_words() -> None:
    groups = {"src_1": {"region": "north"}}
    told = facets("Was she paid?", "ver_1", "src_1", groups, MENTIONS)
    assert told == {
        "length": "up to 5 words",
        "language": "en",
        "version": "ver_1",
        "group:region": "north",
        "mention:women": "named",
    }
    assert "group:region" not in facets("Was she paid?", "ver_1", "src_2", groups, MENTIONS)
