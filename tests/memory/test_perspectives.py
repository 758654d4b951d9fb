"""Perspective collections on Chroma, the embedded one that ships."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sharpen.cli import app
from sharpen.config import parse
from sharpen.errors import NotFound, Refused
from sharpen.memory.perspectives import Collections
from tests.memory.embedders import WordEmbedder


@pytest.fixture
def collections(tmp_path: Path) -> Iterator[Collections]:
    found = Collections(parse({"home": str(tmp_path), "memory": {"vectors": "chroma"}}), WordEmbedder())
    yield found
    found.close()


def test_what_was_added_is_found_in_its_own_collection_alone(collections: Collections) -> None:
    done = collections.add("farmers", [{"text": "rent of land is due in autumn", "licence": "CC0-1.0"}, "", 7])
    assert (done.added, done.known, len(done.problems)) == (1, 0, 2)
    collections.add("tenants", ["rent of a flat is due each month"])
    assert collections.add("tenants", ["rent of a flat is due each month"]).known == 1
    assert collections.names() == ["farmers", "tenants"]
    found = collections.search("farmers", "when is rent due", 5)
    assert [one.passage.text for one in found] == ["rent of land is due in autumn"]
    assert found[0].passage.licence == "CC0-1.0"


def test_the_few_are_heard_beside_the_many(collections: Collections) -> None:
    collections.add("many", [f"the rent of a flat in town {at} is high this year" for at in range(45)])
    collections.add("few", [f"the rent of a flat in a village {at} is low this year" for at in range(5)])
    collections.add("beside", ["bake the bread for an hour"])
    found, chosen = collections.heard("the rent of a flat in town is high this year", 10)
    assert len(found) == 10 and {one.perspective for one in found} == {"many", "few"}
    assert chosen.silent == ("beside",)
    assert collections.audit(["the rent of a flat in town"])["few"] == 1.0


def test_an_index_that_was_lost_is_made_again(collections: Collections, tmp_path: Path) -> None:
    collections.add("farmers", ["rent of land is due in autumn"])
    collections._filled("farmers", {}).clear()
    assert collections.search("farmers", "rent of land", 1)


def test_names_that_lead_elsewhere_and_collections_that_are_not_there_are_refused(collections: Collections) -> None:
    with pytest.raises(Refused, match="cannot be the name"):
        collections.add("../elsewhere", ["text"])
    with pytest.raises(NotFound, match="farmers"):
        collections.passages("farmers")
    assert collections.texts("farmers", "rent", 2) == ()


def test_the_command_says_what_it_did_not_use(tmp_path: Path) -> None:
    (tmp_path / "none.txt").write_bytes(b"\xff")
    done = CliRunner().invoke(app, ["perspectives", "add", "farmers", str(tmp_path / "none.txt")])
    assert done.exit_code != 0
