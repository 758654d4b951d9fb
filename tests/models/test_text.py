from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from sharpen.models.text import TextStream, whole

Decode = Callable[[Sequence[int]], str]
Tokens = tuple[Callable[[str], list[int]], Decode]


@pytest.fixture(scope="module")
def tokens(tiny_base: Path) -> Tokens:
    """Return encode and decode of a byte-level tokenizer that splits every rarer character into bytes."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    return lambda text: tokenizer.encode(text, add_special_tokens=False), lambda ids: str(tokenizer.decode(ids))


def stream(ids: list[int], decode: Decode, stop: Sequence[str] = ()) -> tuple[str, list[str], int]:
    """Write the tokens one by one; return the text, the pieces, and how many tokens were taken."""
    pieces: list[str] = []
    text = TextStream(decode, stop, pieces.append)
    for count in range(1, len(ids) + 1):
        if text.push(ids[:count]):
            return text.end(), pieces, count
    return text.end(), pieces, len(ids)


TEXTS = ["plain words", "naïve café", "日本語のテキスト", "🙂🏳️‍🌈 mixed 語 and é", "a" * 100 + "語" * 30 + " end"]


@pytest.mark.parametrize("said", TEXTS)
def test_characters_that_are_split_over_tokens_arrive_whole(said: str, tokens: Tokens) -> None:
    encode, decode = tokens
    ids = encode(said)
    assert len(ids) > len(said) / 2
    text, pieces, _ = stream(ids, decode)
    assert text == "".join(pieces) == said
    assert not any("\ufffd" in piece for piece in pieces)


def test_a_character_that_was_cut_off_is_left_out(tokens: Tokens) -> None:
    encode, decode = tokens
    ids = encode("ok 語")[:-1]
    assert decode(ids).endswith("\ufffd")
    text, pieces, _ = stream(ids, decode)
    assert text == "".join(pieces) == "ok "
    silent = TextStream(decode, (), None)
    silent.push(ids)
    assert silent.end() == "ok " == whole(decode(ids))


@pytest.mark.parametrize(
    ("said", "stop", "left"),
    [
        ("one two three", ["two"], "one "),
        ("one two three", ["three", "two"], "one "),
        ("one two three", ["zzz"], "one two three"),
        ("stops at once", ["stop"], ""),
        ("語語END語", ["END"], "語語"),
        ("語終わり語", ["終わ"], "語"),
        ("almost a sto", ["stop"], "almost a sto"),
        ("long " * 30 + "here it ends. and more", ["it ends."], "long " * 30 + "here "),
    ],
)
def test_a_stop_string_ends_the_text_before_it_is_seen(said: str, stop: list[str], left: str, tokens: Tokens) -> None:
    encode, decode = tokens
    ids = encode(said)
    text, pieces, taken = stream(ids, decode, stop)
    assert text == "".join(pieces) == left
    assert (taken < len(ids)) or left == said or said.endswith(tuple(stop))
    silent = TextStream(decode, stop, None)
    any(silent.push(ids[:count]) for count in range(1, len(ids) + 1))
    assert silent.end() == left


def test_a_stop_string_in_the_last_token_is_found_though_a_broken_character_follows(
    tokens: Tokens,
) -> None:
    encode, decode = tokens
    ids = encode("word END語")[:-1]
    whole_at_once = TextStream(decode, ["END"], None)
    assert whole_at_once.push(ids) is False  # the text ends in half a character, so it is not looked at yet
    assert whole_at_once.end() == "word "


def test_decoding_a_long_answer_does_not_cost_its_square(tokens: Tokens) -> None:
    encode, decode = tokens
    decoded = 0

    def counting(ids: Sequence[int]) -> str:
        nonlocal decoded
        decoded += len(ids)
        return decode(ids)

    ids = encode("word after word " * 60)
    assert len(ids) > 300
    text, pieces, _ = stream(ids, counting)
    assert text == "".join(pieces) == "word after word " * 60
    assert decoded < 25 * len(ids)
