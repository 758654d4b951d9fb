# ruff: noqa: RUF001 - texts in many scripts
"""Each of the 25 kinds has answers made by hand that follow it, and answers that do not."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sharpen.verify.ifeval import KINDS, follows, ifeval_loose, ifeval_strict, read_instructions, variants
from sharpen.verify.ifeval.language import LANGUAGES, is_written_in
from sharpen.verify.ifeval.sentences import count_sentences
from sharpen.verify.scorers import Unscored, grade

Given = dict[str, Any]

# kind, arguments, replies that follow it, replies that do not
ANSWERS: list[tuple[str, Given, list[str], list[str]]] = [
    ("change_case:capital_word_frequency", {"capital_relation": "at least", "capital_frequency": 2},
     ["STOP and LOOK", "I said NO"], ["STOP and look", "Stop And Look"]),
    ("change_case:capital_word_frequency", {"capital_relation": "less than", "capital_frequency": 2},
     ["only ONE here", "none"], ["ONE TWO", "WELL-KNOWN FACTS"]),
    ("change_case:english_capital", {},
     ["THIS IS THE WAY, AND IT IS 100 % LOUD!"], ["This is the way.", "DAS IST DER WEG UND NICHT DIE STRASSE."]),
    ("change_case:english_lowercase", {},
     ["this is the way. it is 100 % quiet."], ["This is the way.", "das ist der weg und nicht die straße."]),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Write a poem. "},
     ["Write a poem.\n\nRoses are red", "write a poem. Roses"], ["Sure! Write a poem. Roses", "Roses are red"]),
    ("combination:two_responses", {},
     ["One way.\n******\nAnother way.", "******\nA\n******\nB\n******"],
     ["One way.", "Same.******Same.", "A******B******C", "A************B"]),
    ("detectable_content:number_placeholders", {"num_placeholders": 2},
     ["Dear [name], meet me at [place].", "[a][b][c]"], ["Dear [name].", "Dear (name), (place)"]),
    ("detectable_content:postscript", {"postscript_marker": "P.S."},
     ["Bye.\nP.S. Bring milk.", "Bye. p. s. bring milk"], ["Bye.", "Bye.\nP.S.", "The U.P.S. parcel"]),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"},
     ["P.S. one\nP.P.S two", "P.P.S. three"], ["P.S. one", "PPS"]),
    ("detectable_format:constrained_response", {},
     ["My answer is yes.", "I think so. My answer is maybe."], ["Yes.", "my answer is no", "My answer is perhaps."]),
    ("detectable_format:json_format", {},
     ['{"a": [1, 2]}', '```json\n{"a": 1}\n```', '```\n[]\n```'],
     ['Here: {"a": 1}', "{'a': 1}", '```json\n{"a": 1\n```']),
    ("detectable_format:multiple_sections", {"section_spliter": "Section", "num_sections": 2},
     ["Section 1\na\nSection 2\nb", "Section 1 Section 2 Section 3"],
     ["Section 1\na", "SECTION 1 SECTION 2", "Section A"]),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2},
     ["* one\n* two", "Points:\n- one\n- two", "  * one\n- two"],
     ["* one", "* one\n* two\n* three", "**bold**\n1. one"]),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2},
     ["*one* and *two*", "**one** and *two*", "*a* *b* *c*"], ["*one*", "** ** and **", "2 * 3 = 6"]),
    ("detectable_format:title", {}, ["<<Ode to joy>>\nJoy!"], ["<Ode to joy>", "<<>>", "<< >>", "Ode to joy"]),
    ("keywords:existence", {"keywords": ["forest", "Riddle"]},
     ["A riddle in the FOREST", "forests and riddles"], ["A riddle", "trees"]),
    ("keywords:forbidden_words", {"forbidden_words": ["cat", "dog"]},
     ["Birds only", "Concatenate dogmas"], ["A Cat.", "my dog's bowl"]),
    ("keywords:frequency", {"keyword": "war", "frequency": 2, "relation": "at least"},
     ["War and war", "warwar"], ["war", "peace"]),
    ("keywords:frequency", {"keyword": "war", "frequency": 2, "relation": "less than"}, ["war", "no"], ["war war"]),
    ("keywords:letter_frequency", {"letter": "L", "let_frequency": 3, "let_relation": "at least"},
     ["LiLly l", "hello lad"], ["hello", "no"]),
    ("keywords:letter_frequency", {"letter": "#", "let_frequency": 1, "let_relation": "less than"},
     ["plain"], ["# head"]),
    ("language:response_language", {"language": "de"},
     ["Das ist nicht die Antwort, die ich von dir will."], ["This is not the answer.", "Это не ответ."]),
    ("length_constraints:nth_paragraph_first_word",
     {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "president"},
     ["One.\n\nPresident Ann came.", 'One.\n\n\n"president", he said'],
     ["President\n\nOne.", "One.\n\nThe president", "One.\n\nPresident\n\nThree.", "One.\n\nPresidents"]),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2},
     ["One\n***\nTwo", "***\nOne\n***\nTwo\n***"],
     ["One", "One\n\nTwo", "One\n***\nTwo\n***\nThree", "One\n***\n***\nTwo"]),
    ("length_constraints:number_sentences", {"num_sentences": 3, "relation": "at least"},
     ["One. Two! Three?", "One. Two. Three. Four."], ["One, two, three.", "Mr. Smith paid 3.50. Yes."]),
    ("length_constraints:number_sentences", {"num_sentences": 3, "relation": "less than"},
     ["Dr. Who came at 5 p.m. today. Why?"], ["One. Two. Three."]),
    ("length_constraints:number_words", {"num_words": 4, "relation": "at least"},
     ["one two three four"], ["one two three"]),
    ("length_constraints:number_words", {"num_words": 4, "relation": "less than"},
     ["one two three"], ["1 2 3 4"]),
    ("punctuation:no_comma", {}, ["no pause; none at all"], ["one, two"]),
    ("startend:end_checker", {"end_phrase": "Any questions?"},
     ["Done. Any questions?", 'Done. any questions?"\n'], ["Any questions? Done.", "Any questions"]),
    ("startend:quotation", {}, ['"All of it."', ' "All."\n'], ['All of "it"', '"', '"Half'],),
]  # fmt: skip


def test_there_are_the_25_kinds_and_each_has_answers_that_follow_it_and_answers_that_do_not() -> None:
    assert len(KINDS) == 25
    assert {kind for kind, _, good, bad in ANSWERS if good and bad} == set(KINDS)


@pytest.mark.parametrize(("kind", "given", "good", "bad"), ANSWERS)
def test_a_verifier_tells_answers_that_follow_from_answers_that_do_not(
    kind: str, given: Given, good: list[str], bad: list[str]
) -> None:
    assert [reply for reply in good if not follows(reply, kind, given)] == []
    assert [reply for reply in bad if follows(reply, kind, given)] == []


@pytest.mark.parametrize(("kind", "given", "good", "bad"), ANSWERS)
def test_what_follows_strictly_follows_loosely_and_no_reply_follows_nothing(
    kind: str, given: Given, good: list[str], bad: list[str]
) -> None:
    assert all(follows(reply, kind, given, loose=True) for reply in good)
    assert not follows("", kind, given)
    assert not follows(" \n", kind, given, loose=True)


@pytest.mark.parametrize(
    ("kind", "given", "reply"),
    [
        ("punctuation:no_comma", {}, "Sure, here you are:\nno pause at all"),
        ("punctuation:no_comma", {}, "no pause at all\nBye, friend"),
        ("startend:quotation", {}, 'Here:\n"All of it."\nBye'),
        ("detectable_format:json_format", {}, "The answer:\n{}"),
        ("startend:end_checker", {"end_phrase": "The end."}, "Once. **The end.**"),
    ],
)
def test_the_loose_mode_forgives_an_introduction_a_farewell_and_markdown(kind: str, given: Given, reply: str) -> None:
    reference = json.dumps([[kind, given]])
    assert (ifeval_strict(reply, reference), ifeval_loose(reply, reference)) == (0.0, 1.0)


def test_the_loose_mode_looks_at_eight_versions_and_at_no_empty_one() -> None:
    assert len(variants("*a*\n*b*\n*c*")) == 8
    assert variants("one line") == ["one line"]
    assert variants("***") == ["***"]


def test_every_instruction_of_a_prompt_must_be_followed() -> None:
    reference = json.dumps([["punctuation:no_comma", {}], ["detectable_format:title", {}]])
    assert ifeval_strict("<<Title>> and text", reference) == 1.0
    assert ifeval_strict("<<Title>>, and text", reference) == 0.0


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("", "holds no instructions"),
        ("[]", "holds no instructions"),
        ("[[1]]", "holds no instructions"),
        ('[["keywords:rhyme", {}]]', "no instruction of the kind 'keywords:rhyme'"),
        ('[["length_constraints:number_words", {"num_words": 4}]]', "relation: missing"),
        ('[["length_constraints:number_words", {"num_words": 4, "relation": "about"}]]', "relation: input should be"),
        (
            '[["length_constraints:number_words", {"num_words": "x", "relation": "at least"}]]',
            "num_words: input should",
        ),
        ('[["punctuation:no_comma", {"sign": ";"}]]', "sign: unexpected"),
    ],
)
def test_an_instruction_that_cannot_be_checked_is_unscored_with_the_reason(reference: str, said: str) -> None:
    value, reason = grade(ifeval_strict, "reply", reference)
    assert value is None
    assert said in str(reason)


@pytest.mark.parametrize(
    "reply", ["\x00", "\ud800", "*" * 5000, "[" * 5000, "<<" * 2000, "a. " * 5000, "\u2028", "-\n" * 2000]
)
def test_replies_of_any_kind_never_crash_a_verifier(reply: str) -> None:
    for kind, given, _, _ in ANSWERS:
        assert follows(reply, kind, given, loose=True) in (True, False)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0), ("no mark", 1), ("One. Two", 2),
        ("Mr. and Mrs. Hilt went. They saw Dr. Who!", 2),
        ("It costs 3.50 at example.com today.", 1), ('He said "Go!" and left. "Really?" Yes.', 3),
        ("Wait... what? No!", 2), ("1. Apples are red.\n2. Pears are green.", 2),
        ("J. Smith met A. Newton. Fine.", 2),
        ("so was i. then i left. the end", 3), ("我来了。你呢？", 2), ("यह घर है। वह पेड़ है।", 2), ("?!", 0),
        ("We met at 5 p.m. Then we left.", 2), ("(It rained.) We stayed.", 2),
    ],
)  # fmt: skip
def test_sentences_are_counted_as_a_reader_counts_them(text: str, count: int) -> None:
    assert count_sentences(text) == count


SAMPLES = {
    "en": "This is the story of a dog that was with us for many years.",
    "de": "Das ist die Geschichte von einem Hund, der viele Jahre mit uns gelebt hat.",
    "fr": "Voici l'histoire d'un chien qui est resté avec nous pendant des années.",
    "es": "Esta es la historia de un perro que vivió con nosotros por muchos años.",
    "pt": "Esta é a história de um cão que não saiu do nosso lado em muitos anos.",
    "it": "Questa è la storia di un cane che non si allontanava mai dalla casa per il freddo.",
    "fi": "Tämä on tarina koirasta, joka oli meidän kanssa ja se ei koskaan lähtenyt.",
    "sw": "Hii ni hadithi ya mbwa wa familia yetu ambaye aliishi na sisi kwa miaka mingi katika nyumba.",
    "vi": "Đây là câu chuyện của một con chó đã sống với chúng tôi trong nhiều năm.",
    "pl": "To jest historia o psie, który nie chciał się rozstać z nami przez wiele lat.",
    "ru": "Это история о собаке, которая жила с нами много лет и не хотела уходить.",
    "uk": "Це історія про собаку, який жив у нас багато років і не хотів йти.",
    "bg": "Това е историята на едно куче, което живя с нас и не искаше да си отиде.",
    "hi": "यह एक कुत्ते की कहानी है जो हमारे साथ कई साल रहा।",
    "mr": "ही एका कुत्र्याची गोष्ट आहे आणि तो आमच्या घरी राहत होता ते खरे आहे.",
    "ne": "यो एउटा कुकुरको कथा हो र त्यो हाम्रो घर मा बस्ने गरेको छ।",
    "ar": "هذه قصة عن كلب كان يعيش معنا في البيت من سنوات.",
    "fa": "این داستان سگی است که با ما در خانه زندگی می کرد.",
    "ur": "یہ ایک کتے کی کہانی ہے جو ہمارے ساتھ گھر میں رہتا تھا۔",
    "ja": "これは私たちと長年暮らした犬の物語です。",
    "ko": "이것은 우리와 함께 살았던 개의 이야기입니다.",
    "th": "นี่คือเรื่องราวของสุนัขที่อยู่กับเราหลายปี",
    "he": "זה הסיפור על כלב שגר איתנו שנים רבות.",
    "bn": "এটি একটি কুকুরের গল্প যা আমাদের সাথে ছিল।",
    "gu": "આ એક કૂતરાની વાર્તા છે.",
    "pa": "ਇਹ ਇੱਕ ਕੁੱਤੇ ਦੀ ਕਹਾਣੀ ਹੈ।",
    "ta": "இது ஒரு நாயின் கதை.",
    "te": "ఇది ఒక కుక్క కథ.",
    "kn": "ಇದು ಒಂದು ನಾಯಿಯ ಕಥೆ.",
    "ml": "ഇത് ഒരു നായയുടെ കഥയാണ്.",
    "zh": "这是一只狗的故事。",
}


def test_every_language_is_told_from_every_other() -> None:
    assert set(SAMPLES) == set(LANGUAGES)
    taken = {(sample, code) for sample, text in SAMPLES.items() for code in LANGUAGES if is_written_in(text, code)}
    assert taken == {(code, code) for code in LANGUAGES}


def test_a_reply_without_letters_or_in_an_unknown_language_is_in_no_language() -> None:
    assert not is_written_in("12 + 30", "en")
    assert not is_written_in("hello", "xx")


@pytest.mark.data
def test_every_published_prompt_can_be_checked() -> None:
    lines = (Path(os.environ["SHARPEN_DATA"]) / "ifeval" / "dev.jsonl").read_text(encoding="utf-8").split("\n")
    prompts = [json.loads(line) for line in lines if line]
    seen: Counter[str] = Counter()
    for prompt in prompts:
        given = list(zip(prompt["instruction_id_list"], prompt["kwargs"], strict=True))
        assert read_instructions(json.dumps(given)) == given
        seen.update(prompt["instruction_id_list"])
        assert grade(ifeval_strict, "some reply", json.dumps(given))[0] is not None
    assert len(prompts) == 324
    assert set(seen) == set(KINDS)


def test_a_broken_reference_raises_what_the_grader_understands() -> None:
    with pytest.raises(Unscored):
        read_instructions("{}")
