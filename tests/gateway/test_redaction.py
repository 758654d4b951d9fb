from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sharpen.records import Feedback, Trace

Start = Callable[..., Any]
SECRET = "AKIAABCDEFGHIJKLMNOP"


def test_no_byte_of_a_secret_or_address_reaches_the_database(start: Start, tmp_path: Path) -> None:
    served = start(capture={"redact_personal": True})
    words = f"{SECRET} ada@example.org"
    answer = served.chat(messages=[{"role": "user", "content": words}])
    assert SECRET in answer.text  # the client reads its answer as the model gave it
    said = {"trace_id": answer.json()["id"], "correction": words, "comment": words, "id": "once"}
    assert [served.http.post("/v1/feedback", json=said).status_code for _ in range(2)] == [200, 200]
    [trace], [feedback] = served.store.find(Trace), served.store.find(Feedback)
    assert trace.messages[0].content == feedback.correction == feedback.comment == "[aws_key] [email]"
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert any(b"[aws_key]" in file.read_bytes() for file in files)
    assert not [file for file in files if SECRET.encode() in file.read_bytes() or b"ada@" in file.read_bytes()]
