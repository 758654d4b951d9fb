"""One conformance suite for every vector store: the same checks, whatever lies behind."""

from __future__ import annotations

import numpy as np
import pytest

from sharpen.errors import ConfigError, Refused, StoreError
from sharpen.memory.vectors import Entry, VectorIndex
from tests.memory.conftest import Home
from tests.memory.embedders import RowEmbedder, WordEmbedder

ENTRIES = [
    Entry("mem_1", "where is my parcel", "example", "trc_1"),
    Entry("mem_2", "the parcel never arrived", "score", "trc_2", good=False),
    Entry("mem_3", "my password does not work", "example", "trc_3"),
    Entry("mem_4", "the lamp came broken", "lesson", "trc_2", good=False),
]


def cosine(left: str, right: str) -> float:
    embedder = WordEmbedder()
    return float(np.dot(embedder.embed_query(left), embedder.embed_query(right)))


def found(index: VectorIndex, text: str, k: int = 10, **where: object) -> list[str]:
    return [hit.id for hit in index.search(text, k, **where)]  # type: ignore[arg-type]


def test_similarity_gives_the_cosine_and_the_closest_first(home: Home) -> None:
    index = home.index()
    index.upsert(ENTRIES)
    hits = index.search("the parcel never came", 4)
    texts = {entry.id: entry.text for entry in ENTRIES}
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert {hit.id: hit.score for hit in hits} == {
        name: pytest.approx(cosine("the parcel never came", text), abs=1e-4) for name, text in texts.items()
    }
    assert hits[0].id == "mem_2"
    assert hits[0].type == "score"
    assert index.search(ENTRIES[0].text, 1)[0].score == pytest.approx(1.0, abs=1e-4)


def test_writing_twice_is_writing_once(home: Home) -> None:
    index = home.index()
    index.upsert(ENTRIES)
    index.upsert([*ENTRIES, *ENTRIES])
    assert len(index) == 4
    assert len(found(index, "parcel")) == 4


def test_a_row_with_a_known_id_is_replaced(home: Home) -> None:
    index = home.index()
    index.upsert(ENTRIES)
    index.upsert([Entry("mem_1", "a zebra is on the invoice", "document", "trc_9")])
    assert len(index) == 4
    assert found(index, "zebra invoice", 1) == ["mem_1"]
    assert found(index, "zebra", type="document") == ["mem_1"]
    assert "mem_1" not in found(index, "parcel", type="example")


def test_deleted_rows_are_not_found(home: Home) -> None:
    index = home.index()
    index.upsert(ENTRIES)
    index.delete(["mem_2", "mem_unknown"])
    index.delete([])
    assert len(index) == 3
    assert "mem_2" not in found(index, "the parcel never arrived")


def test_filters_hold_by_type_by_record_and_by_worth(home: Home) -> None:
    index = home.index()
    index.upsert(ENTRIES)
    assert set(found(index, "parcel", type="example")) == {"mem_1", "mem_3"}
    assert set(found(index, "parcel", about="trc_2")) == {"mem_2", "mem_4"}
    assert set(found(index, "parcel", good=False)) == {"mem_2", "mem_4"}
    assert set(found(index, "parcel", good=True)) == {"mem_1", "mem_3"}
    assert found(index, "parcel", type="lesson", about="trc_2", good=False) == ["mem_4"]
    assert found(index, "parcel", type="lesson", good=True) == []


def test_rows_survive_a_restart(home: Home) -> None:
    home.index().upsert(ENTRIES)
    home.restart()
    index = home.index()
    assert len(index) == 4
    assert found(index, "my password", 1) == ["mem_3"]


def test_tenants_never_see_each_other(home: Home) -> None:
    ours = home.index()
    ours.upsert(ENTRIES)
    theirs = home.index(tenant="them") if home.server else None
    if theirs is None:  # an embedded store is open once at a time
        home.close()
        theirs = home.index(tenant="them")
    theirs.upsert([Entry("mem_1", "where is my parcel", "example", "trc_1"), Entry("mem_7", "ours", "lesson", "trc_7")])
    assert len(theirs) == 2
    assert set(found(theirs, "where is my parcel", 100)) == {"mem_1", "mem_7"}
    assert found(theirs, "parcel", about="trc_2") == []
    theirs.delete([entry.id for entry in ENTRIES])  # our ids, our own row among them
    theirs.clear()
    home.close()
    again = home.index()
    assert len(again) == 4
    assert set(found(again, "parcel", 100)) == {entry.id for entry in ENTRIES}


def test_ten_thousand_vectors_are_found(home: Home) -> None:
    """Vectors in 100 clusters: what is found must agree with comparing all of them."""
    chance = np.random.default_rng(3)
    centres = chance.standard_normal((100, 384))
    matrix = centres[np.arange(10_000) % 100] + 0.5 * chance.standard_normal((10_000, 384))
    matrix = (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)
    index = home.index(RowEmbedder(matrix))
    index.upsert([Entry(f"mem_{i}", f"row {i}", "example", f"trc_{i % 7}", i % 2 == 0) for i in range(10_000)])
    assert len(index) == 10_000
    hits = 0
    for asked in range(0, 200, 10):
        exact = set(np.argsort(-(matrix @ matrix[asked]), kind="stable")[:10])
        hits += len(exact & {int(name.removeprefix("mem_")) for name in found(index, f"row {asked}", 10)})
    assert hits / 200 >= 0.95
    assert all(int(name.removeprefix("mem_")) % 7 == 3 for name in found(index, "row 3", 10, about="trc_3"))


def test_an_empty_store_finds_nothing_and_can_be_cleared(home: Home) -> None:
    index = home.index()
    assert len(index) == 0
    assert index.search("anything", 5) == []
    index.clear()
    index.upsert(ENTRIES)
    index.clear()
    assert len(index) == 0
    assert index.search("parcel", 0) == []


def test_a_change_of_model_is_another_collection(home: Home) -> None:
    class Other(WordEmbedder):
        key = "other words"
        dimension = 32

    home.index().upsert(ENTRIES)
    home.close()
    index = home.index(Other())
    assert len(index) == 0
    index.upsert(ENTRIES[:1])
    assert found(index, "parcel") == ["mem_1"]


def test_filters_are_typed(home: Home) -> None:
    index = home.index()
    index.upsert(ENTRIES)
    for where in (
        {"type": {"$ne": ""}},
        {"type": "example' or '1'='1"},
        {"about": {"$exists": True}},
        {"good": "true"},
    ):
        with pytest.raises(Refused):
            found(index, "parcel", **where)
    assert found(index, "parcel", about="trc_1' or '1'='1") == []


def test_the_langchain_store_can_be_built_on(home: Home) -> None:
    index = home.index()
    index.upsert(ENTRIES)
    retriever = index.langchain.as_retriever(search_kwargs={"k": 1})
    assert retriever.invoke("where is my parcel")[0].page_content == "where is my parcel"


@pytest.mark.parametrize("store", ["pgvector", "weaviate", "pinecone"])
def test_a_store_without_its_address_says_what_to_write(store: str, tmp_path: object) -> None:
    from sharpen.config import parse

    config = parse({"home": str(tmp_path), "memory": {"vectors": store}})
    with pytest.raises(ConfigError, match="needs the address"):
        len(VectorIndex.of(config, WordEmbedder()))


def test_a_server_that_is_away_is_an_error_that_says_so(tmp_path: object) -> None:
    from sharpen.config import parse

    config = parse({"home": str(tmp_path), "memory": {"vectors": "chroma", "url": "http://127.0.0.1:9"}})
    with pytest.raises(StoreError, match=r"vector store failed"):
        len(VectorIndex.of(config, WordEmbedder()))
