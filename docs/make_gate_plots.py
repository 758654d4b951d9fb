"""Draw what `sharpen bench gate` measured, and write its table into 06-the-gate.md.

In: benchmarks/results/gate.json, as the benchmark wrote it (`sharpen bench gate --json benchmarks/results/gate.json`).
Out: two SVG files beside the page, and the table between its marks. Must not measure anything.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sharpen.promotion.rehearsal.report import table

HERE = Path(__file__).parent
FIGURES, PAGE = HERE.parent / "benchmarks" / "results" / "gate.json", HERE / "06-the-gate.md"
BEGIN, END = "<!-- table: docs/make_gate_plots.py -->", "<!-- end of table -->"
INK, MUTED, ACCENT, RULE = "#1f2328", "#7a828e", "#0a6ebd", "#c62828"
WIDTH, ROW, LEFT, RIGHT = 720, 30, 270, 90


def errors(figures: dict[str, Any]) -> str:
    """Draw the share of lives with a false promotion, with its upper bound, against alpha."""
    kinds, most = figures["detail"]["false_promotion"], 1.4 * figures["alpha"]

    def x(share: float) -> float:
        return LEFT + share / most * (WIDTH - LEFT - RIGHT)

    parts = []
    for row, (name, one) in enumerate(kinds.items()):
        y = 50 + ROW * row
        parts += [
            _text(0, y + 4, name),
            _line(x(0), y, x(one["high"]), y, colour=MUTED, width=2),
            f'<circle cx="{x(one["rate"]):.1f}" cy="{y}" r="5" fill="{ACCENT}"/>',
            _text(WIDTH - RIGHT + 6, y + 4, f"≤ {one['high']:.1%}", MUTED),
        ]
    bottom = 50 + ROW * len(kinds)
    parts += [_line(x(figures["alpha"]), 32, x(figures["alpha"]), bottom, colour=RULE)]
    parts += [_text(x(figures["alpha"]) - 30, bottom + 14, f"alpha {figures['alpha']:.0%}", RULE)]
    title = "Lives of 20 cycles with any false promotion: share and upper 95 % bound"
    return _svg(title, parts, bottom + 24)


def cases(figures: dict[str, Any]) -> str:
    """Draw the cases that were asked over those of a fixed gate of equal power, per true effect and cycle."""

    def x(ratio: float) -> float:
        return LEFT + ratio / 1.2 * (WIDTH - LEFT - RIGHT)

    parts, y = [], 50
    for cycle, one in figures["detail"]["cases_ratio"].items():
        for effect in ("0", "0.5", "1", "2"):
            parts += [
                _text(0, y + 4, f"cycle {cycle}: {effect} times the declared effect"),
                f'<rect x="{x(0):.1f}" y="{y - 7}" width="{x(one[effect]) - x(0):.1f}" height="14" fill="{ACCENT}"/>',
                _text(x(one[effect]) + 6, y + 4, f"{one[effect]:.2f}", MUTED),
            ]
            y += 24
        y += 8
    parts += [_line(x(1), 32, x(1), y - 14, colour=RULE), _text(x(1) - 40, y, "a fixed gate: 1", RULE)]
    return _svg("Cases asked, over those of a fixed gate of equal power", parts, y + 10)


def _svg(title: str, parts: list[str], height: float) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="13"><title>{title}</title>'
    )
    paper = f'<rect width="{WIDTH}" height="{height:.0f}" fill="#ffffff"/>'
    return "\n".join([head, paper, _text(0, 18, title, INK, "bold"), *parts, "</svg>"]) + "\n"


def _text(x: float, y: float, text: str, colour: str = INK, weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-weight="{weight}">{text}</text>'


def _line(*ends: float, colour: str, width: int = 1) -> str:
    x1, y1, x2, y2 = ends
    return f'<line x1="{x1:.1f}" y1="{y1}" x2="{x2:.1f}" y2="{y2}" stroke="{colour}" stroke-width="{width}"/>'


def main() -> None:
    """Write the plots and the table."""
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    (HERE / "06-false-promotions.svg").write_text(errors(figures), encoding="utf-8")
    (HERE / "06-cases.svg").write_text(cases(figures), encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.partition(BEGIN)[0], page.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{table(figures)}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
