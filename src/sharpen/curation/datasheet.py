"""What a training set is made of, on one page: sources, licence, consent, people, filters, and signs of bias.

In: what was chosen, a sample of all exchanges, settings. Out: plain values that hold no person and no small group, and
the same as text. Must not know who reads it.

Source: Gebru et al. 2021, Datasheets for Datasets, CACM 64(12), of whose sections those are answered that can be
answered from records.
"""

from __future__ import annotations

import importlib
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sharpen.config import CurationSection
from sharpen.curation.bias.findings import LEAST, Finding
from sharpen.curation.bias.people import make_up, marked, toned, unbalanced
from sharpen.curation.bias.rows import GROUP, Groups, Row, declared, facets
from sharpen.curation.bias.segments import under_annotated, weak, with_topics
from sharpen.curation.candidate import Candidate, asked
from sharpen.curation.mining.evidence import Exchange
from sharpen.curation.mining.find import is_verified, worth
from sharpen.curation.selection import Selection
from sharpen.errors import BiasFound, ConfigError

OPEN = "not declared"


def datasheet(
    settings: CurationSection,
    selection: Selection,
    exchanges: Sequence[Exchange],
    seed: int = 0,
    consented: Groups | None = None,
) -> dict[str, Any]:
    """Return the page of what was selected, with the weights it has in training; `exchanges` is a sample of all.

    `consented` are the groups that came with the feedback; where the plug-in tells a source's groups, it is believed.
    Checks of words and tone look at `bias_sample` examples at most, drawn by `seed`. Raises: ConfigError when a plug-in
    cannot be loaded, or tells no score per text.
    """
    kept = [selection.rows[place] for place in selection.kept]
    told = _groups(settings, [one.source for one in kept] + [said.source for one in exchanges for said in one.said])
    groups = {**(consented or {}), **told}
    rows = [Row("", "", declared(one.source, groups), one.source, one.weight) for one in kept]  # words cost too much
    asked_rows, no_topics = with_topics([_of_exchange(one, groups, settings) for one in exchanges])
    drawn = random.Random(seed).sample(kept, min(len(kept), settings.bias_sample))  # noqa: S311 - nothing secret
    answered = [_of_example(one, groups, settings) for one in drawn if one.chosen]
    found = [*under_annotated(asked_rows), *weak(asked_rows), *unbalanced(rows)]
    if settings.tone:
        found += toned(answered, _tone(settings.tone))
    people = {row.person for row in rows if row.person is not None}
    return {
        "examples": len(rows),
        "origins": dict(sorted(Counter(one.origin for one in kept).items())),
        "versions": dict(sorted(Counter(one.version for one in kept).items())),
        "licence": settings.licence or OPEN,
        "consent": settings.consent or OPEN,
        "people": len(people) if len(people) >= LEAST else f"under {LEAST}",
        "of_nobody_named": sum(row.person is None for row in rows),
        "make_up": make_up(rows),
        "filters": dict(sorted(selection.counts.items())),
        "bias": {
            "looked_at": {"exchanges": len(exchanges), "examples": len(rows), "answers": len(answered)},
            "not_looked_at": _gaps(settings, rows, no_topics),
            "findings": [one.to_json() for one in _anonymous(found, rows)],
            "sentences": [one.sentence() for one in _anonymous(found, rows)],
            "marker_terms": marked(answered),
        },
    }


def judge(page: Mapping[str, Any], settings: CurationSection) -> None:
    """Stop where `[curation] bias` is 'hold' and a check found something. Raises: BiasFound, with what was found."""
    said = page["bias"]["sentences"]
    if settings.bias == "hold" and said:
        more = f", and {len(said) - 1} more" if len(said) > 1 else ""
        raise BiasFound(f"The training set was not frozen: {said[0]}{more}.", "[curation] bias = 'report'  freezes it")


def as_text(page: Mapping[str, Any]) -> str:
    """Return the page as Markdown."""
    bias, features = page["bias"], page.get("features", {})
    lines = ["# Datasheet", "", f"{page['examples']} examples. Licence: {page['licence']}. Consent: {page['consent']}."]
    lines += [f"People behind them: {page['people']}; examples that nobody named is behind: {page['of_nobody_named']}."]
    tables = (
        ("Evidence", page["origins"]), ("Versions that answered", page["versions"]),
        ("Dropped, by filter", page["filters"]), *((f"People by {axis}", own) for axis, own in page["make_up"].items()),
    )  # fmt: skip
    for title, counts in tables:
        lines += ["", f"## {title}", "", *(f"- {name}: {count}" for name, count in counts.items())]
    if features:
        lines += ["", f"## Features, of {features['sample']} examples", ""]
        lines += [f"- {name}: {told}" for name, told in features.items() if name != "sample"]
    looked_at = ", ".join(f"{count} {name}" for name, count in bias["looked_at"].items())
    lines += ["", "## Signs of bias", "", f"Looked at: {looked_at}."]
    lines += [f"- {said}" for said in bias["sentences"]] or [
        "",
        "None found; a check sees only what it is told of.",
    ]
    lines += [f"- words that mark answers to {who}: {', '.join(own)}" for who, own in bias["marker_terms"].items()]
    lines += [f"- not looked at: {gap}" for gap in bias["not_looked_at"]]
    return "\n".join([*lines, ""])


def _of_example(one: Candidate, groups: Groups, settings: CurationSection) -> Row:
    question = asked(one.prompt)
    told = facets(question, one.version, one.source, groups, settings.mentions)
    return Row(question, one.chosen or "", told, one.source, one.weight)


def _of_exchange(one: Exchange, groups: Groups, settings: CurationSection) -> Row:
    question, source = asked(one.prompt), next((said.source for said in one.said if said.source), None)
    told = facets(question, one.version, source, groups, settings.mentions)
    # Who annotated is only known of what is annotated: by group, everything would be.
    told = {facet: segment for facet, segment in told.items() if not facet.startswith(GROUP)}
    return Row(question, one.reply or "", told, source, 1.0, bool(one.said or one.thought), _went_well(one))


def _went_well(one: Exchange) -> bool | None:
    verified = is_verified(one)
    if verified is not None:
        return verified
    if any(said.correction is not None and said.correction.strip() != (one.reply or "").strip() for said in one.said):
        return False
    liked = worth(one)
    return None if not liked else liked > 0


def _gaps(settings: CurationSection, rows: Sequence[Row], no_topics: str | None) -> list[str]:
    """Say what no check could look at: silence must not read as a clean bill."""
    gaps = [f"topics: {no_topics}"] if no_topics else []
    if not any(facet.startswith(GROUP) for row in rows for facet in row.facets):
        gaps.append(
            "groups of people: no source declared one, with its feedback or to the function in [curation] groups"
        )
    if not settings.tone:
        gaps.append("tone: [curation] tone names no classifier")
    return gaps


def _anonymous(found: Sequence[Finding], rows: Sequence[Row]) -> list[Finding]:
    """Leave out findings about groups that the make-up does not tell either."""
    told = make_up(rows)
    return [
        one
        for one in found
        if not one.facet.startswith(GROUP) or isinstance(told[one.facet.removeprefix(GROUP)].get(one.segment), int)
    ]


def _groups(settings: CurationSection, sources: Sequence[str | None]) -> Groups:
    """Ask the plug-in for what sources declared of themselves, by axis; without one, nothing is known of anybody."""
    if not settings.groups:
        return {}
    told: Groups = _plugin("groups", settings.groups)(sorted({one for one in sources if one is not None}))
    return told


def _tone(name: str) -> Callable[[Sequence[str]], Sequence[float]]:
    score = _plugin("tone", name)

    def checked(texts: Sequence[str]) -> Sequence[float]:
        scores = list(score(texts))
        if len(scores) != len(texts) or not all(-1 <= one <= 1 for one in scores):
            raise ConfigError(f"[curation] tone: '{name}' gave no score of -1 to 1 for each text.", "fix the function")
        return scores

    return checked


def _plugin(key: str, name: str) -> Callable[..., Any]:
    module, _, attribute = name.partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"[curation] {key}: '{name}' cannot be loaded: {error}", "module:attr") from error
    return found
