"""The nouns are frozen, named, explained, and whole."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sharpen.records import RECORDS, Deployment, Example, Message, Record, Source, Trace, content_hash, new_id, record

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_every_field_says_what_it_is(kind: type[Record]) -> None:
    assert kind.__doc__
    for name, field in kind.model_fields.items():
        assert field.description, f"{kind.__name__}.{name}"


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_what_a_kind_says_of_its_fields_is_about_fields_it_has(kind: type[Record]) -> None:
    named = kind.payload | kind.volatile | ({kind.subject_field} if kind.subject_field else set())
    assert named <= set(kind.model_fields)
    assert "at" in kind.volatile
    assert not kind.payload & {"id", "at", kind.subject_field}


def test_every_kind_has_a_prefix_of_its_own_and_every_record_type_is_listed() -> None:
    assert len({kind.prefix for kind in RECORDS}) == len(RECORDS)
    assert all(len(kind.prefix) == 3 and kind.prefix.isalpha() for kind in RECORDS)
    assert set(RECORDS) == set(Record.__subclasses__())


def test_a_record_cannot_be_changed_or_given_a_field_it_does_not_have() -> None:
    source = Source(id="src_1", name="a")
    with pytest.raises(ValidationError, match="frozen"):
        source.name = "b"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        Source(id="src_1", name="a", colour="red")  # type: ignore[call-arg]


def test_an_example_without_evidence_cannot_exist() -> None:
    with pytest.raises(ValidationError, match="evidence"):
        Example(
            id="exa_1", cycle_id="c", messages=(Message(role="user", content="q"),), chosen="a", origin="verified",
            evidence=(),
        )  # fmt: skip


def test_the_subject_is_the_field_the_kind_names() -> None:
    assert Trace(id="trc_1", messages=(), version_id="v", session="s").subject == "s"
    assert Deployment(id="dep_1", version_id="v", shares={"v": 1.0}, reason="r").subject == "v"
    assert Source(id="src_1", name="a").subject is None


def test_a_time_is_always_in_utc() -> None:
    assert Source(id="src_1", name="a").at.utcoffset().total_seconds() == 0  # type: ignore[union-attr]


def test_ids_made_at_once_are_different_and_carry_their_kind() -> None:
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.extend(new_id("trc") for _ in range(500))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 2000
    assert all(name.startswith("trc_") and len(name) == 26 for name in made)


def test_ids_made_later_sort_later(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([1_000_000_000.0, 1_000_000_000.001, 1_795_000_000.0, 4_000_000_000.0])
    monkeypatch.setattr(record.time, "time", lambda: next(seconds))
    made = [new_id("trc") for _ in range(4)]
    assert made == sorted(made)


@given(json_values, st.integers(1, 64))
def test_equal_content_has_equal_names_and_other_content_other_names(value: object, length: int) -> None:
    name = content_hash(value, length)
    assert name == content_hash(value, length)
    assert len(name) == length
    assert content_hash({"of": value}) != content_hash([value])


def test_a_dictionary_s_order_does_not_change_its_name() -> None:
    assert content_hash({"b": 1, "a": {"d": 2, "c": 3}}) == content_hash({"a": {"c": 3, "d": 2}, "b": 1})
