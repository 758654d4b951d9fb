"""One line of the configuration chooses the engine; the loop and the gateway ask it alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from sharpen.config import parse
from sharpen.errors import ConfigError
from sharpen.models.llamacpp_engine import LlamacppEngine
from sharpen.models.opening import gguf_of, open_engine
from sharpen.models.transformers_engine import TransformersEngine
from sharpen.workbench import Workbench


def test_the_same_question_gets_the_same_answer_on_either_engine(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARPEN_CACHE", str(tmp_path / "cache"))
    replies, kinds = [], []
    for name in ("transformers", "llamacpp"):
        tree = {"base": str(base), "home": str(tmp_path / name), "models": {"engine": name, "threads": 1}}
        bench = Workbench(parse(tree | {"gateway": {"max_reply_tokens": 8}, "tracking": {"mlflow": False}}))
        bench.initialise()
        trace = bench.chat("what is it as far as we know")
        assert trace.error is None
        replies.append((trace.reply, trace.prompt_tokens, trace.completion_tokens))
        kinds.append(type(bench.engine))
        bench.model.free()
    assert replies[0] == replies[1]
    assert kinds == [TransformersEngine, LlamacppEngine]


def test_a_folder_becomes_a_gguf_file_once_and_a_gguf_file_is_taken_as_it_is(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARPEN_CACHE", str(tmp_path / "cache"))
    file = gguf_of(str(base))
    stamp = file.stat().st_mtime_ns
    assert gguf_of(str(base)) == file and file.stat().st_mtime_ns == stamp
    assert gguf_of(str(file)) == file
    with pytest.raises(ConfigError):
        gguf_of(str(tmp_path / "none.gguf"))


def test_an_engine_that_does_not_exist_is_a_fault_of_the_configuration(base: Path) -> None:
    with pytest.raises(ConfigError, match="engine"):
        open_engine(parse({"base": str(base), "models": {"engine": "vllm"}}))
