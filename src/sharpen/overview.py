"""What a store holds, on one screen: who serves, what was tried, what the gate said.

In: a store. Out: tables for the terminal. Must not know how the records came about.
"""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sharpen.lineage.withdrawal import learned_erased
from sharpen.records import RECORDS, Deployment, ModelVersion, TrainingRun, Verdict
from sharpen.store import Store

_VERSIONS = 10  # chosen: newest versions shown; one a night makes ten days
_VERDICTS = 5  # chosen: together with the versions they fit a screen
_COLOURS = {"promote": "green", "hold": "yellow", "reject": "red"}


def overview(store: Store) -> RenderableType:
    """Return champion, versions, the last verdicts and the counts of records. Raises: StoreError."""
    deployed = store.find(Deployment, newest=True, limit=1)
    champion = deployed[0] if deployed else None
    verdicts = store.find(Verdict, newest=True)
    parts: list[RenderableType] = [_serving(champion)]
    if store.count(ModelVersion):
        parts.append(_versions(store, champion, verdicts))
    if verdicts:
        parts.append(_verdicts(verdicts[:_VERDICTS]))
    counts = [f"{store.count(kind)} {kind.__name__}" for kind in RECORDS]
    return Group(*parts, Text("records: " + ", ".join(counts), style="dim"))


def _serving(champion: Deployment | None) -> Text:
    if champion is None:
        return Text("Nothing is deployed yet. Next: sharpen init")
    since = f" serves since {champion.at:%Y-%m-%d %H:%M} UTC: "
    return Text.assemble((champion.version_id, "bold"), since, champion.reason)


def _versions(store: Store, champion: Deployment | None, verdicts: list[Verdict]) -> Table:
    table = _table("versions, newest first", "version", "", "run", "trained", "score", "verdict")
    judged = {verdict.challenger_id: verdict for verdict in reversed(verdicts)}
    versions = store.find(ModelVersion, newest=True, limit=_VERSIONS)
    erased = learned_erased(store)
    runs = {run.id: run for run in store.find(TrainingRun, ids=[one.run_id for one in versions if one.run_id])}
    for version in versions:
        run, verdict = runs.get(version.run_id or ""), judged.get(version.id)
        trained = f"{run.method}, {run.seconds:.0f} s" if run else "the bare base"
        decision = Text(verdict.decision, _COLOURS[verdict.decision]) if verdict else Text("")
        score = _score(version, verdicts)
        table.add_row(
            version.id, _role(version, champion, version.id in erased), run.id if run else "", trained,
            "" if score is None else f"{score:.1%}", decision,
        )  # fmt: skip
    return table


def _role(version: ModelVersion, champion: Deployment | None, learned_erased_words: bool) -> Text:
    if champion and version.id == champion.version_id:
        role = Text("champion", "bold green")
    else:
        role = Text("previous" if champion and version.id == champion.previous_id else "")
    if learned_erased_words:
        role.append(" learned erased words" if role else "learned erased words", "yellow")
    return role


def _score(version: ModelVersion, verdicts: list[Verdict]) -> float | None:
    """Return its mean score on the target, as the newest verdict that compared it has it."""
    for verdict in verdicts:
        for one in verdict.comparisons[:1]:  # the target against the champion stands first
            if version.id == verdict.challenger_id:
                return one.challenger
            if version.id == verdict.champion_id:
                return one.other
    return None


def _verdicts(verdicts: list[Verdict]) -> Table:
    table = _table("the last verdicts", "cycle", "decision", "reason")
    for verdict in verdicts:
        reason = verdict.reason.removeprefix(f"{verdict.decision.capitalize()}: ")
        table.add_row(verdict.cycle_id, Text(verdict.decision, _COLOURS[verdict.decision]), Text(reason))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, justify="right" if column == "score" else "left", no_wrap=column != "reason")
    return table
