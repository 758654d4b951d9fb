"""The example that explains the loop runs, and says what it promises."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from sharpen.config import load
from sharpen.records import ModelVersion, Verdict
from sharpen.store import Store

EXAMPLE = Path(__file__).parent.parent / "examples" / "00_the_loop.py"


def test_the_example_fits_a_few_screens() -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) <= 120


def test_the_example_runs_the_whole_loop_on_the_configuration_it_is_given(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("the_loop", EXAMPLE)
    assert spec and spec.loader
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    config = example.tiny_deployment(tmp_path)
    environment = {**os.environ, "SHARPEN_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), str(config)],
        env=environment, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    store = Store.open(load(config).store_url)
    [verdict] = store.find(Verdict)
    base, trained = store.find(ModelVersion)
    store.close()
    assert f"version 0: {base.id}" in done.stdout
    assert verdict.reason in done.stdout
    assert f"version {trained.id}" in done.stdout
    assert [line.split()[0] for line in done.stdout.splitlines() if line.endswith("s in the model")] == [
        "critique", "curate", "train", "evaluate", "promote", "track",
    ]  # fmt: skip


def test_a_scorer_of_the_example_s_kind_is_lenient_about_case_and_not_about_words() -> None:
    spec = importlib.util.spec_from_file_location("the_loop", EXAMPLE)
    assert spec and spec.loader
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    assert [example.first_word(reply, "odd") for reply in ("Odd, I think", "odd it is", "", "even")] == [0, 1, 0, 0]
