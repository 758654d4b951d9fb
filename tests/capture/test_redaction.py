from __future__ import annotations

import pytest

from sharpen.capture.redaction import Redaction
from sharpen.capture.saying import Saying
from sharpen.config import CaptureSection
from sharpen.private_words import PERSONAL, SECRETS, without
from sharpen.records import Message, Trace

KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nabc\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"my key:\n{KEY}\nbye", "my key:\n[private_key]\nbye"),
        (KEY[:40], "[private_key]"),
        ("AKIAABCDEFGHIJKLMNOP and ghp_" + "a1" * 18, "[aws_key] and [github_token]"),
        ("export api_key='hunter2hunter2'", "export [password]'"),
        ("the token is a word", "the token is a word"),
    ],
)
def test_a_secret_is_taken_out_whole(text: str, kept: str) -> None:
    assert without(text, SECRETS) == kept


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("ada@example.org or +49 30 1234567", "[email] or [phone]"),
        ("4111 1111 1111 1111 is one, 4111 1111 1111 1112 is none", "[card] is one, 4111 1111 1111 1112 is none"),
        ("DE89 3704 0044 0532 0130 00", "[iban]"),
        ("17 * 23 = 391", "17 * 23 = 391"),
    ],
)
def test_personal_data_is_named_in_its_place(text: str, kept: str) -> None:
    assert without(text, PERSONAL) == kept


def test_an_exchange_and_what_is_said_of_it_lose_what_the_settings_name() -> None:
    words = "ada@example.org, password=hunter2hunter2"
    trace = Trace(id="trc_1", messages=(Message(role="user", content=words),), reply=words, version_id="ver_0")
    said = Saying(trace_id=trace.id, correction=words, comment=words, key="k")
    for settings, kept in [
        (CaptureSection(), "ada@example.org, [password]"),
        (CaptureSection(redact_personal=True), "[email], [password]"),
        (CaptureSection(redact_secrets=False), words),
    ]:
        redaction = Redaction(settings)
        after = redaction.trace(trace)
        assert (after.id, after.messages[0].content, after.reply) == (trace.id, kept, kept)
        assert (redaction.saying(said).correction, redaction.saying(said).comment) == (kept, kept)
        assert redaction.saying(said).key == "k"
