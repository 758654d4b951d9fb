"""The report's plots, as SVG that stands inside a page and takes the page's colours and type.

In: numbers with names. Out: SVG text. Must not know figures, files or the rest of the page.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from sharpen.plugins import part

# matplotlib knows no CSS variables: these stand for them, and are replaced when the SVG is written.
_COLOURS = {
    "#0a0a01": "var(--ink)",
    "#0a0a02": "var(--muted)",
    "#0a0a03": "var(--accent)",
    "#0a0a04": "var(--second)",
    "#0a0a05": "var(--rule)",
    "#0a0a06": "var(--page)",
}
INK, MUTED, ACCENT, SECOND, RULE, PAGE = _COLOURS
_WIDTH_IN = 7.6
_SIZE = 9.5  # points


@dataclass(frozen=True, slots=True)
class Dot:
    """A score with its interval, shares 0-1."""

    label: str
    score: float
    low: float
    high: float
    is_main: bool = False


@dataclass(frozen=True, slots=True)
class Gap:
    """The same arm measured in two ways, shares 0-1."""

    label: str
    written: float
    chosen: float


@dataclass(frozen=True, slots=True)
class Bar:
    """Seconds of one stage, and how many of them the model took."""

    label: str
    seconds: float
    model_seconds: float


def dots(rows: Sequence[Dot], title: str) -> str:
    """Draw one line per score, with its interval. The first row is at the top."""

    def draw(axes: Any) -> None:
        for y, row in enumerate(rows):
            colour = ACCENT if row.is_main else MUTED
            axes.plot([row.low, row.high], [y, y], color=colour, linewidth=2.2, solid_capstyle="round", zorder=2)
            axes.plot(
                row.score, y, "o", markersize=8, color=colour, markeredgecolor=PAGE, markeredgewidth=1.5, zorder=3
            )
            axes.text(1.03, y, _percent(row.score), va="center", color=INK, fontsize=_SIZE, **_bold(row.is_main))
        _share_axis(axes, [row.label for row in rows], main=[row.is_main for row in rows])

    return _svg(draw, len(rows), title)


def gaps(rows: Sequence[Gap], title: str) -> str:
    """Draw, per arm, the written score and the chosen one, joined by a line."""

    def draw(axes: Any) -> None:
        for y, row in enumerate(rows):
            axes.plot([row.written, row.chosen], [y, y], color=RULE, linewidth=3, solid_capstyle="round", zorder=2)
            # The hollow mark is larger and below: where the two agree, both are seen.
            for score, size, colour, face in ((row.chosen, 10, SECOND, PAGE), (row.written, 6, ACCENT, ACCENT)):
                axes.plot(
                    score, y, "o", markersize=size, color=face, markeredgecolor=colour, markeredgewidth=2, zorder=3
                )
            told = f"{_percent(row.written)} · {_percent(row.chosen)}"
            axes.text(1.03, y, told, va="center", color=INK, fontsize=_SIZE)
        axes.plot([], [], "o", markersize=6, color=ACCENT, label="written, must be exact")
        axes.plot(
            [], [], "o", markersize=9, color=PAGE, markeredgecolor=SECOND, markeredgewidth=2, label="likeliest choice"
        )
        _share_axis(axes, [row.label for row in rows], main=())
        _legend(axes)

    return _svg(draw, len(rows), title, legend=True)


def bars(rows: Sequence[Bar], title: str) -> str:
    """Draw, per stage, the seconds inside the model and those outside, one after the other."""

    def draw(axes: Any) -> None:
        longest = max((row.seconds for row in rows), default=0.0) or 1.0
        for y, row in enumerate(rows):
            inside = min(row.model_seconds, row.seconds)
            axes.barh(y, inside, height=0.55, color=ACCENT, zorder=2, label="in the model" if y == 0 else None)
            axes.barh(
                y, row.seconds - inside, left=inside, height=0.55, color=SECOND, zorder=2,
                label="outside" if y == 0 else None,
            )  # fmt: skip
            axes.text(row.seconds + longest * 0.015, y, f"{row.seconds:.1f} s", va="center", color=INK, fontsize=_SIZE)
        axes.set_xlim(0, longest * 1.12)
        _dress(axes, [row.label for row in rows])
        axes.set_xlabel("seconds", color=MUTED, fontsize=_SIZE)
        _legend(axes)

    return _svg(draw, len(rows), title, legend=True)


def _share_axis(axes: Any, labels: Sequence[str], *, main: Sequence[bool]) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0%", "25%", "50%", "75%", "100%"])
    _dress(axes, labels, main=main)


def _dress(axes: Any, labels: Sequence[str], *, main: Sequence[bool] = ()) -> None:
    """Leave light vertical lines and no frame; the labels begin at the page's left edge."""
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_yticks([])
    transforms = part("matplotlib.transforms")
    place = transforms.blended_transform_factory(axes.figure.transFigure, axes.transData)
    for y, label in enumerate(labels):
        axes.text(0, y, label, transform=place, va="center", color=INK, fontsize=_SIZE, **_bold(bool(main) and main[y]))
    axes.tick_params(length=0, labelsize=_SIZE)
    axes.tick_params(axis="x", labelcolor=MUTED, pad=6)
    axes.grid(axis="x", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _legend(axes: Any) -> None:
    legend = axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, frameon=False, fontsize=_SIZE, handlelength=1.2,
        borderpad=0.2, columnspacing=1.6,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_color(INK)


def _bold(is_main: bool) -> Mapping[str, Any]:
    return {"fontweight": "bold" if is_main else "normal"}


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _svg(draw: Callable[[Any], None], rows: int, title: str, *, legend: bool = False) -> str:
    """Draw on a figure of its own and return it as SVG: no global state, no date, the same input the same text."""
    matplotlib = part("matplotlib")
    settings = {"svg.fonttype": "none", "svg.hashsalt": title, "font.family": "DejaVu Sans"}
    with matplotlib.rc_context(settings):
        height = 0.62 + 0.42 * rows + (0.3 if legend else 0)
        figure = part("matplotlib.figure").Figure(figsize=(_WIDTH_IN, height), facecolor="none")
        part("matplotlib.backends.backend_svg").FigureCanvasSVG(figure)
        # One left edge for every plot, so that they line up on the page.
        below, above = 0.5 / height, (0.36 if legend else 0.06) / height
        axes = figure.add_axes((0.31, below, 0.54, 1 - below - above), facecolor="none")
        draw(axes)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _embed(file.getvalue(), title)


def _embed(text: str, title: str) -> str:
    """Make an SVG file a part of a page: its own ids, the page's colours, no size of its own."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    name = re.sub(r"\W+", "-", title.lower())
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    for colour, variable in _COLOURS.items():
        text = text.replace(colour, variable)
    view = re.search(r'viewBox="[^"]+"', text)
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {view[0] if view else ""}'
    )
    return re.sub(r"<svg[^>]*>", f'{opening} role="img" aria-label="{escape(title)}">', text, count=1)
