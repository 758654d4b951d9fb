"""A challenger meets the users: 5, 25, 50, then 100 % of the traffic, or back to none.

In: a verdict to promote; then, at each look, what users met. Out: Deployments, one per step, each in one transaction.
Must not know who looks, or how often.

Nothing is kept between looks but the Deployments: whoever looks next, in whatever process, goes on from the newest one.
Two that look at once make one move. A canary goes on when it has had its share of exchanges and ratings and no bet on
harm is winning; it goes back when harm is shown, when its time is over, or when the verdict behind it was edited.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sharpen.config import RolloutSection
from sharpen.errors import ChampionChanged, Refused
from sharpen.failpoints import failpoint
from sharpen.monitoring.live import Live, before
from sharpen.promotion.harm import Harm, Observed, observe, slow_limit, weigh
from sharpen.promotion.journal import Journal
from sharpen.promotion.registry import deploy, end_canary, put
from sharpen.records import Deployment, Verdict, content_hash, now
from sharpen.store import Store

SHARES = (0.05, 0.25, 0.5, 1.0)  # chosen: a few users first; from a half on, the other half is the comparison
_LATENCIES = 2000  # chosen: exchanges before the canary that say how long the champion took

Decision = Literal["stay", "go on", "go back"]


@dataclass(frozen=True, slots=True)
class Canary:
    """A rollout on its way."""

    deployment: Deployment  # the newest
    began: datetime

    @property
    def champion_id(self) -> str:
        """The version that answers the rest."""
        return self.deployment.version_id

    @property
    def challenger_id(self) -> str:
        """The version on trial."""
        return next(name for name in self.deployment.shares if name != self.deployment.version_id)

    @property
    def share(self) -> float:
        """Its share of the traffic, 0-1."""
        return self.deployment.shares[self.challenger_id]


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a canary found, and what followed."""

    canary: Canary
    harms: tuple[Harm, ...]
    decision: Decision
    reason: str
    deployment: Deployment  # in force afterwards


def ship(store: Store, journal: Journal, verdict: Verdict, challenger_id: str, *, canary: bool) -> Deployment:
    """Carry out a verdict: at once, or by a canary. Raises: Refused, ChampionChanged, NotFound as `deploy`."""
    return deploy(store, journal, verdict, challenger_id, share=SHARES[0] if canary else 1.0)


def on_its_way(store: Store) -> Canary | None:
    """Return the rollout that is on its way, if there is one. Raises: NotFound before `sharpen init`."""
    newest = store.champion()
    if len(newest.shares) == 1:
        return None
    steps = [one for one in store.find(Deployment) if one.verdict_id == newest.verdict_id and len(one.shares) > 1]
    return Canary(newest, steps[0].at)


class Pilot:
    """Looks at the canary of a store, and moves it. Keeps what it has read between looks, and nothing else."""

    def __init__(self, store: Store, journal: Journal, settings: RolloutSection) -> None:
        self._store = store
        self._journal = journal
        self._settings = settings
        self._live: tuple[str | None, Live, float | None] | None = None

    def look(self, at: datetime | None = None, *, move: bool = True) -> Look | None:
        """Weigh the evidence and, with `move`, do what follows from it. None: no canary is on its way.

        Raises: StoreError; NotFound before `sharpen init`.
        """
        canary = on_its_way(self._store)
        if canary is None:
            self._live = None
            return None
        live, slow_s = self._read(canary)
        seen = observe(live.exchanges.values(), live.ratings.values(), set(canary.deployment.shares))
        harms = weigh(seen, canary.challenger_id, self._settings, slow_s)
        decision, reason = judge(canary, harms, seen, self._settings, at or now())
        deployment = self._move(canary, decision, reason) if move else canary.deployment
        return Look(canary, tuple(harms), decision, reason, deployment)

    def _read(self, canary: Canary) -> tuple[Live, float | None]:
        if self._live is None or self._live[0] != canary.deployment.verdict_id:
            earlier = before(self._store, canary.began, canary.champion_id, _LATENCIES)
            slow_s = slow_limit(
                [one.latency_s for one in earlier if one.is_over and not one.has_failed], self._settings
            )
            self._live = (canary.deployment.verdict_id, Live(self._store, canary.began), slow_s)
        _, live, slow_s = self._live
        live.refresh()
        return live, slow_s

    def _move(self, canary: Canary, decision: Decision, reason: str) -> Deployment:
        failpoint("rollout.before_move")
        try:
            if decision == "go on":
                deployment = step(self._store, self._journal, canary, reason)
            elif decision == "go back":
                deployment = end_canary(self._store, self._journal, canary.deployment, "rollback", reason)
            else:
                return canary.deployment
        except ChampionChanged:
            return self._store.champion()  # somebody else moved it; the next look sees where to
        except Refused as error:
            reason = f"Rolled back: {error.what}"
            deployment = end_canary(self._store, self._journal, canary.deployment, "rollback", reason)
        failpoint("rollout.after_move")
        return deployment


def step(store: Store, journal: Journal, canary: Canary, reason: str) -> Deployment:
    """Give the canary its next share. Raises: ChampionChanged; Refused when the verdict behind it was edited."""
    share = next(share for share in SHARES if share > canary.share)
    champion, challenger, old = canary.champion_id, canary.challenger_id, canary.deployment
    is_last = share == 1
    deployment = Deployment(
        id=f"dep_{content_hash(('canary', old.id, share))}",
        version_id=challenger if is_last else champion,
        shares={challenger: 1.0} if is_last else {champion: 1 - share, challenger: share},
        previous_id=champion if is_last else old.previous_id,
        verdict_id=old.verdict_id,
        reason=reason,
    )
    return put(store, journal, "promote" if is_last else "canary", deployment, replaces=champion, after=old.id)


def judge(
    canary: Canary, harms: Sequence[Harm], seen: Observed, settings: RolloutSection, at: datetime
) -> tuple[Decision, str]:
    """Say what follows from the evidence, and why in one sentence."""
    shown = [one for one in harms if one.is_shown]
    if shown:
        return "go back", f"Rolled back at {canary.share:.0%}: {'; '.join(one.told for one in shown)}."
    exchanges, rated = seen.of(canary.challenger_id, canary.deployment.at.timestamp())
    winning = [one for one in harms if one.log_now > 0]
    enough = exchanges >= settings.min_requests and rated >= settings.min_ratings
    if enough and not winning:
        told = "; ".join(one.told for one in harms)
        return "go on", f"No harm at {canary.share:.0%} after {exchanges} exchanges, {rated} of them rated: {told}."
    hours = (at - canary.deployment.at).total_seconds() / 3600
    why = (
        f"harm is possible: {'; '.join(one.told for one in winning)}"
        if enough
        else f"{exchanges} of {settings.min_requests} exchanges, {rated} of {settings.min_ratings} rated sessions"
    )
    if hours > settings.max_hours:
        return "go back", f"Rolled back at {canary.share:.0%}: after {hours:.0f} hours {why}."
    return "stay", f"{why}."
