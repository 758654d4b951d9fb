from __future__ import annotations

import json
from pathlib import Path

import pytest

from sharpen import benchmarks
from sharpen.errors import ConfigError


def test_a_benchmark_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ConfigError, match="no benchmark 'speed'") as caught:
        benchmarks.run("speed")
    assert "generation" in caught.value.next_step


def test_figures_are_printed_and_written_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    benchmarks.publish({"ratio": 2.5}, tmp_path / "new" / "out.json")
    assert json.loads(capsys.readouterr().out) == {"ratio": 2.5}
    assert json.loads((tmp_path / "new" / "out.json").read_text()) == {"ratio": 2.5}


def test_the_machine_is_named_with_the_versions_that_matter() -> None:
    told = benchmarks.machine("numpy")
    assert told["cores"]
    assert str(told["numpy"]).count(".") >= 1
