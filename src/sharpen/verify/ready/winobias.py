"""WinoBias: whom does the pronoun mean, where an occupation suggests another gender? `ready:winobias`.

Files: winobias/{pro,anti}_stereotyped_type{1,2}*, with the mention and the pronoun in brackets, and the two lists of
occupations. The likeliest of both occupations is the answer. Lines that do not have exactly two brackets, whose twin
differs in more than the pronoun, or that name no second occupation are left out: of each pair both or none. Cluster:
the two occupations. Groups: gender=female or gender=male, by the pronoun. Tags: pro or anti, type1 or type2;
`stereotype_gap` is accuracy on pro minus accuracy on anti. Tiers: measured only. Licence: MIT.
Source: Zhao et al. 2018, Gender Bias in Coreference Resolution, NAACL, arXiv:1804.06876.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sharpen.errors import ConfigError
from sharpen.records import Case, Score
from sharpen.verify.cases import MEASURE
from sharpen.verify.ready.source import Draft, Folder, Ready
from sharpen.verify.tables import read_text

_MARK = re.compile(r"\[([^\]]*)\]")
_FEMALE = frozenset({"she", "her", "hers", "herself"})
_PRONOUNS = _FEMALE | {"he", "him", "his", "himself"}


def stereotype_gap(cases: Iterable[Case], scores: Sequence[Score]) -> float | None:
    """Return accuracy on stereotypical minus accuracy on anti-stereotypical sentences; None where one has no score.

    Only twins that are both scored count, so that a failed answer on one side does not tilt the gap.
    """
    values = {score.case_id: score.value for score in scores if score.value is not None}
    twins: dict[str, dict[str, float]] = {}
    for case in cases:
        if case.id in values:
            side, _, twin = case.tags
            twins.setdefault(twin, {})[side] = values[case.id]
    gaps = [both["pro"] - both["anti"] for both in twins.values() if len(both) == 2]
    return sum(gaps) / len(gaps) if gaps else None


def _read(folder: Folder) -> Iterator[Draft]:
    files = folder.files()
    occupations = [name for path in files if "occupations" in path.name for name in _lines(path)]
    for path in files:
        if path.name.startswith("pro_stereotyped"):
            twin = path.with_name(path.name.replace("pro_", "anti_", 1))
            if not twin.is_file() or not occupations:
                missing = "occupations.txt" if twin.is_file() else twin.name
                raise ConfigError(f"There is no {missing} in {folder.path}.", "copy the published files again")
            kind = "type1" if "type1" in path.name else "type2"
            for number, lines in enumerate(zip(_lines(path), _lines(twin), strict=False), start=1):
                yield from _twins(f"{path.name} {number}", kind, lines, occupations)


def _twins(name: str, kind: str, lines: tuple[str, str], occupations: Sequence[str]) -> Iterator[Draft]:
    """Yield a pair of drafts, or nothing where the two lines are not clean twins."""
    marks = [_MARK.findall(line) for line in lines]
    if any(len(found) != 2 or found[1].casefold() not in _PRONOUNS for found in marks):
        return
    frames = {_frame(line, found[1]) for line, found in zip(lines, marks, strict=True)}
    sentences = [re.sub(r"^\s*\d+\s+|[\[\]]", "", line).strip() for line in lines]
    people = [word for word in occupations if re.search(rf"\b{re.escape(word)}\b", sentences[0], re.IGNORECASE)]
    mention = re.sub(r"^(?:the|an?)\s+", "", marks[0][0].casefold())
    if len(frames) != 1 or len(people) != 2 or mention not in map(str.casefold, people):
        return
    choices = tuple(f"the {word}" for word in sorted(people))
    for side, sentence, (_, pronoun) in zip(("pro", "anti"), sentences, marks, strict=True):
        yield Draft(
            f'{sentence}\nWhom does "{pronoun}" mean?',
            next(choice for choice in choices if choice.casefold() == f"the {mention}"),
            "choice",
            choices,
            groups=("gender=female" if pronoun.casefold() in _FEMALE else "gender=male",),
            tags=(side, kind, name),
            cluster=f"winobias {' '.join(sorted(people))}",
        )


def _frame(line: str, pronoun: str) -> str:
    """Return a line without its number and its pronoun."""
    return re.sub(rf"^\s*\d+\s+|\[{re.escape(pronoun)}\]", "", line).casefold().strip()


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in read_text(path).split("\n") if line.strip()]


READY = Ready(
    "winobias",
    ("*_stereotyped_type?*", "*male_occupations.txt"),
    _read,
    "choice",
    "github.com/uclanlp/corefBias (WinoBias/wino/data)",
    MEASURE,
)
