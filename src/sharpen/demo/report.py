"""The demo's figures, told: one page with plots, and the same in tables for the terminal.

In: the figures, plain values; any part may be missing, and is then left out. Out: an HTML file that needs no other, or
something rich prints. Must not know how the figures were measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sharpen.demo import charts
from sharpen.errors import BoundaryError

Figures = Mapping[str, Any]

ARMS = {
    "base": "the base, as it is",
    "in_context": "the base, examples in prompt",
    "control": "trained on shuffled answers",
    "no_corrections": "trained on own answers alone",
    "promoted": "trained, through the gate",
    "baseline_minilm": "classifier on embeddings",
}
ORIGINS = {
    "correction": "a person's correction",
    "verified": "an answer of its own that a verifier accepted",
    "samples": "the best of several tries, set against the worst",
    "revision": "an answer that it found at the second look",
}
_BAR = 12  # characters; the table fits 80 columns


def write_report(figures: Figures, path: Path) -> None:
    """Write the page: no script, no outside file. Raises: BoundaryError when it cannot be written; MissingExtra."""
    style = files("sharpen.demo").joinpath("report.css").read_text(encoding="utf-8")
    parts = (
        _scores, _knowledge, _paired, _answers, _examples, _verdict, _control, _time, _lineage, _notes,
    )  # fmt: skip
    body = "\n".join(filter(None, (section(figures) for section in parts)))
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>sharpen: one cycle</title>\n<style>\n{style}</style></head>\n<body><main>\n"
        f"<header><p>sharpen · one cycle</p><h1>{escape(headline(figures))}</h1>{_about(figures)}</header>\n"
        f"{body}\n</main></body></html>\n"
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise BoundaryError(
            f"{path} cannot be written: {error.strerror}", "free some disk space, then try again"
        ) from error


def headline(figures: Figures) -> str:
    """Return the result in one sentence: what changed, and what the gate made of it."""
    arms, decision = figures.get("arms", {}), figures.get("verdict", {}).get("decision")
    if "promoted" in arms and "base" in arms:
        before, after = (arms[name]["score"] for name in ("base", "promoted"))
        verb = {"promote": "the new version serves", "hold": "the gate held", "reject": "the gate rejected it"}
        told = f"; {verb[decision]}" if decision in verb else ""
        return f"One cycle took the model from {before:.1%} to {after:.1%} on messages it had never seen{told}."
    if decision:
        return f"The gate's decision after one cycle: {decision}."
    return "One cycle was run."


def summary_tables(figures: Figures) -> RenderableType:
    """Return the figures as tables for the terminal."""
    parts: list[RenderableType] = [Text(f"\n{headline(figures)}", style="bold")]
    choice = figures.get("by_choice", {})
    table = _table("held-out messages", "", "", "right", "95 % interval", "by choice")
    for name, title in ARMS.items():
        arm = figures.get("arms", {}).get(name)
        if arm:
            filled = round(_BAR * arm["score"])
            bar = Text("█" * filled, "green" if name == "promoted" else "cyan").append("░" * (_BAR - filled), "dim")
            chosen = f"{choice[name]['score']:.1%}" if name in choice else ""
            style = "bold" if name == "promoted" else ""
            table.add_row(Text(title, style), bar, Text(f"{arm['score']:.1%}", style), _span(arm, sign=False), chosen)
    parts += [table] if table.row_count else []
    paired = _table("in pairs, after minus before", "", "points", "95 % interval", "p")
    for key, title in (("paired", "against the base"), ("paired_in_context", "against the in-context arm")):
        if one := figures.get(key):
            paired.add_row(title, f"{100 * one['effect']:+.1f}", _span(one), _p(one["p_value"]))
    parts += [paired] if paired.row_count else []
    for key, title in (("verdict", "the gate"), ("negative_control", "the gate, on shuffled answers")):
        if one := figures.get(key):
            parts.append(Text.assemble((f"{title}: ", "bold"), one["reason"]))
    if counts := figures.get("examples"):
        parts.append(
            Text.assemble(("learned from: ", "bold"), ", ".join(f"{n} {origin}" for origin, n in counts.items()))
        )
    if cost := _cost(figures):
        parts.append(Text.assemble(("cost: ", "bold"), cost))
    return Group(*parts)


# -- the page's sections -----------------------------------------------------------------------------------------------


def _about(figures: Figures) -> str:
    facts = []
    if "model" in figures:
        facts.append(f"model {figures['model']}")
    if "seed" in figures:
        facts.append(f"seed {figures['seed']}")
    if cost := _cost(figures):
        facts.append(cost)
    return f'<p class="about">{escape(" · ".join(facts))}</p>' if facts else ""


def _scores(figures: Figures) -> str:
    arms = figures.get("arms", {})
    rows = [
        charts.Dot(title, arms[name]["score"], arms[name]["low"], arms[name]["high"], is_main=name == "promoted")
        for name, title in ARMS.items()
        if name in arms
    ]
    if not rows:
        return ""
    n = max(int(arm.get("n", 0)) for arm in arms.values())
    told = f"Share of {n} held-out messages answered with exactly the right word, and 95 % intervals."
    if "baseline_minilm" in arms:
        told += " The classifier learned from the same labels and can do nothing else: a yardstick, not a rival."
    return _section("Right on messages it had never seen", told, _plot(charts.dots(rows, "Scores per arm")))


def _knowledge(figures: Figures) -> str:
    arms, choice = figures.get("arms", {}), figures.get("by_choice", {})
    rows = [
        charts.Gap(title, arms[name]["score"], choice[name]["score"])
        for name, title in ARMS.items()
        if name in arms and name in choice
    ]
    if not rows:
        return ""
    told = (
        "A written answer must be right and in the right form. The likeliest of the allowed answers needs no form: "
        "what changes there is knowledge, and the distance between the two marks is form."
    )
    if {"base", "promoted"} <= arms.keys() & choice.keys():
        written, chosen = (100 * (one["promoted"]["score"] - one["base"]["score"]) for one in (arms, choice))
        told += f" The written score moved by {written:+.1f} points, the chosen one by {chosen:+.1f}."
    return _section("Form and knowledge, told apart", told, _plot(charts.gaps(rows, "Written and chosen answers")))


def _paired(figures: Figures) -> str:
    rows = [
        (f"<td>{title}</td>", f"{100 * one['effect']:+.1f}", _span(one), _p(one["p_value"]))
        for key, title in (("paired", "the base"), ("paired_in_context", "the base with examples in its prompt"))
        if (one := figures.get(key))
    ]
    if not rows:
        return ""
    told = "The same messages before and after: the mean difference, in points, and an exact one-sided sign-flip test."
    return _section("In pairs", told, _html_table(("new version against", "points", "95 % interval", "p"), rows))


def _answers(figures: Figures) -> str:
    cards = []
    for one in figures.get("answers", []):
        given = "".join(
            f"<dt>{name}</dt><dd{_mark(one[name], one['team'])}>{escape(one[name].strip()) or '(nothing)'}</dd>"
            for name in ("before", "after")
        )
        cards.append(
            f"<article><p>{escape(one['message'])}</p><dl><dt>team</dt><dd>{escape(one['team'])}</dd>{given}</dl></article>"
        )
    told = "The first held-out messages, whatever became of them."
    return _section("Before and after", told, f'<div class="cards">{"".join(cards)}</div>') if cards else ""


def _examples(figures: Figures) -> str:
    counts = figures.get("examples", {})
    rows = [(f"<td>{ORIGINS.get(origin, origin)}</td>", str(count)) for origin, count in counts.items()]
    if not rows:
        return ""
    told = f"{sum(counts.values())} examples, each with the records that it rests on."
    if "exchanges" in figures:
        told += (
            f" They came out of {figures['exchanges']} exchanges and {figures.get('feedback', 0)} pieces of feedback."
        )
    dropped = [(f"<td>dropped: {escape(name)}</td>", str(count)) for name, count in figures.get("dropped", {}).items()]
    return _section("What it learned from", told, _html_table(("source", "examples"), rows + dropped))


def _verdict(figures: Figures) -> str:
    verdict = figures.get("verdict")
    if not verdict:
        return ""
    rows = [
        (
            f"<td>{escape(one['against'].replace('_', '-'))}</td>", f"<td>{escape(one['suite'])}</td>", str(one["n"]),
            f"{one['challenger']:.1%}", f"{one['other']:.1%}", f"{100 * one['effect']:+.1f}", _span(one),
            _p(one["p_value"]),
        )
        for one in verdict.get("comparisons", [])
    ]  # fmt: skip
    head = ("against", "on", "cases", "new", "other", "points", "interval", "p")
    told = f"<strong>{escape(verdict['reason'])}</strong> Its cases are its own: none is trained on or plotted above."
    return _section("The gate's verdict", told, _html_table(head, rows) if rows else "", is_html=True)


def _control(figures: Figures) -> str:
    control = figures.get("negative_control")
    if not control:
        return ""
    score = control.get("score")
    told = (
        "The same examples with their answers shuffled teach nothing, so the gate must not let them through. "
        f"It said: <strong>{escape(control['reason'])}</strong>"
    )
    told += f" That version was right on {score:.1%} of the gate's cases." if score is not None else ""
    return _section("The negative control", told, is_html=True)


def _time(figures: Figures) -> str:
    stages = figures.get("stages", {})
    rows = [charts.Bar(name, one["seconds"], one["model_seconds"]) for name, one in stages.items()]
    told = "Wall-clock seconds of each stage of the cycle."
    if "overhead_share" in figures:
        told += f" {figures['overhead_share']:.1%} of the cycle passed outside the model."
    content = _plot(charts.bars(rows, "Seconds per stage")) if rows else ""
    chapters = figures.get("seconds", {})
    if chapters:
        listed = [(f"<td>{escape(name)}</td>", f"{seconds:.1f}") for name, seconds in chapters.items()]
        table = _html_table(("chapter of the demo", "seconds"), listed)
        content += f"<details><summary>The whole demo, chapter by chapter</summary>{table}</details>"
    return _section("Where the time went", told, content) if content else ""


def _lineage(figures: Figures) -> str:
    lineage = figures.get("lineage")
    if not lineage:
        return ""
    example = lineage["example"]
    lines = [("example", example["id"], f"learn to answer “{example['chosen']}”")]
    for record in lineage.get("evidence", []):
        kind = {"trc": "exchange", "fbk": "feedback", "crt": "critique"}.get(record["id"][:3], "record")
        lines.append((kind, record["id"], _said(record)))
    items = "".join(
        f"<li><b>{kind}</b> <code>{escape(name)}</code><br>{escape(said)}</li>" for kind, name, said in lines
    )
    told = f"One of them: “{example['messages'][-1]['content']}”"
    return _section("Where an example comes from", told, f'<ol class="lineage">{items}</ol>')


def _notes(figures: Figures) -> str:
    guards = [one for one in figures.get("verdict", {}).get("comparisons", []) if one["against"] == "champion"][1:]
    notes = [
        "One task, one small model, one machine. The messages were written for this demo; real ones are messier.",
        "Corrections come from a program that knows the right team. People are slower, and sometimes wrong.",
        *(
            f"The guard {one['suite'].replace('-', ' ')} has {one['n']} questions. It excludes a loss of more than "
            f"{-100 * min(one['low'], 0):.0f} points, not a smaller one."
            for one in guards
        ),
        "Intervals hold for messages like these. They say nothing of other tasks or other models.",
        "A classifier does this very task as well or better, and costs less. It can do nothing else."
        if _is_beaten(figures)
        else "This task has a fixed set of answers. Open answers need another scorer, and are harder to verify.",
    ]
    return _section("What this does not show", "", f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in notes)}</ul>")


def _is_beaten(figures: Figures) -> bool:
    arms = figures.get("arms", {})
    if not {"promoted", "baseline_minilm"} <= arms.keys():
        return False
    return bool(arms["baseline_minilm"]["score"] >= arms["promoted"]["score"])


# -- pieces ------------------------------------------------------------------------------------------------------------


def _section(title: str, told: str, content: str = "", *, is_html: bool = False) -> str:
    told = told if is_html else escape(told)
    return f"<section><h2>{title}</h2>{f'<p>{told}</p>' if told else ''}{content}</section>"


def _plot(svg: str) -> str:
    return f"<figure>{svg}</figure>"


def _html_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a table; a cell that is no `<td>` yet is a number."""
    top = "".join(f'<th scope="col">{name}</th>' for name in head)
    body = "".join(
        "<tr>" + "".join(cell if cell.startswith("<td") else f'<td class="n">{cell}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number > 1 or column == "points" else "left", no_wrap=True)
    return table


def _said(record: Mapping[str, Any]) -> str:
    """Return one line about a piece of evidence."""
    if "reply" in record:
        return f"the model, version {record['version_id']}, answered “{(record['reply'] or '').strip()}”"
    if record.get("correction"):
        return f"someone corrected it: “{record['correction']}”"
    if record.get("rating") is not None:
        return f"someone rated it {record['rating']:g}"
    return f"the second look ended with “{record.get('revision') or 'nothing better'}”"


def _cost(figures: Figures) -> str:
    facts = []
    if "cycle_seconds" in figures:
        facts.append(f"cycle {figures['cycle_seconds']:.0f} s")
    if total := figures.get("seconds", {}).get("total"):
        facts.append(f"whole demo {total / 60:.1f} min")
    if peak := figures.get("peak_rss_bytes"):
        facts.append(f"at most {peak / 1e9:.1f} GB of memory")
    return ", ".join(facts)


def _span(one: Mapping[str, float], *, sign: bool = True) -> str:
    """Return an interval in points."""
    low, high = 100 * one["low"], 100 * one["high"]
    return f"{low:+.1f} … {high:+.1f}" if sign else f"{low:.1f} … {high:.1f}"


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _mark(given: str, right: str) -> str:
    return ' class="right"' if given.strip() == right else ' class="wrong"'
