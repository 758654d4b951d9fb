"""A challenger goes on only while nothing speaks against it, and back when something does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import sqlalchemy as sa
from tests.promotion.journals import began, journal_of, promoted

from sharpen.config import RolloutSection
from sharpen.errors import ChampionChanged
from sharpen.monitoring.live import Exchange, Rating
from sharpen.promotion.harm import Observed, Rated, blocks, observe, weigh
from sharpen.promotion.journal import check_journal
from sharpen.promotion.registry import deploy, undo
from sharpen.promotion.rollout import SHARES, Canary, Pilot, judge, on_its_way, ship
from sharpen.records import Deployment, Feedback, Message, Trace, Verdict
from sharpen.store import Store
from sharpen.tables import TABLES

QUICK = RolloutSection(min_requests=20, min_ratings=10)
START = datetime(2026, 1, 5, tzinfo=UTC)


def canary(store: Store, name: str = "ver_1") -> tuple[str, Verdict]:
    """Begin a rollout of a new version; return the champion's id and the verdict."""
    base = began(store) if not store.count(Deployment) else store.champion().version_id
    verdict = promoted(store, name, base)
    ship(store, journal_of(store), verdict, name, canary=True)
    return base, verdict


def pilot(store: Store, settings: RolloutSection = QUICK) -> Pilot:
    return Pilot(store, journal_of(store), settings)


def live(store: Store, version_id: str, count: int, rating: float | None, *, reply: str = "fine", error: str = "",
         latency_s: float = 0.1, at: datetime | None = None) -> None:  # fmt: skip
    """Record exchanges of a version now, each of its own session, and a rating of each."""
    at = at or datetime.now(UTC)
    for _ in range(count):
        name = f"trc_{int(at.timestamp() * 1000):012x}{os.urandom(5).hex()}"
        store.append(
            Trace(
                id=name,
                at=at,
                messages=(Message(role="user", content="?"),),
                reply=reply,
                version_id=version_id,
                session=name,
                latency_s=latency_s,
                finish_reason="error" if error else "stop",
                error=error or None,
            )
        )
        if rating is not None:
            store.append(Feedback(id=f"fbk_{name[4:]}", at=at, trace_id=name, rating=rating))


def healthy(store: Store, base: str, count: int = 25) -> None:
    """Record traffic in which both versions do equally well, interleaved."""
    for number in range(count):
        for version_id in (base, "ver_1"):
            live(store, version_id, 1, -1.0 if number % 5 == 0 else 1.0)


def test_a_canary_begins_with_five_percent_and_the_champion_stays_champion(any_store: Store) -> None:
    base, verdict = canary(any_store)
    now = any_store.champion()
    assert (now.version_id, now.verdict_id) == (base, verdict.id)
    assert now.shares == {base: 0.95, "ver_1": 0.05}
    assert ship(any_store, journal_of(any_store), verdict, "ver_1", canary=True) == now
    found = on_its_way(any_store)
    assert found and (found.champion_id, found.challenger_id, found.share) == (base, "ver_1", 0.05)


def test_without_canary_a_promotion_is_at_once(sqlite_store: Store) -> None:
    verdict = promoted(sqlite_store, "ver_1", began(sqlite_store))
    now = ship(sqlite_store, journal_of(sqlite_store), verdict, "ver_1", canary=False)
    assert now.shares == {"ver_1": 1.0}
    assert on_its_way(sqlite_store) is None
    assert pilot(sqlite_store).look() is None


def test_a_canary_that_does_no_harm_goes_all_the_way(any_store: Store) -> None:
    base, verdict = canary(any_store)
    mine = pilot(any_store)
    shares = []
    for _ in SHARES[:-1]:
        healthy(any_store, base)
        look = mine.look()
        assert look and look.decision == "go on", look
        shares.append(look.deployment.shares.get("ver_1"))
    assert shares == [0.25, 0.5, 1.0]
    now = any_store.champion()
    assert (now.version_id, now.previous_id, now.verdict_id) == ("ver_1", base, verdict.id)
    assert "No harm at 50% after 25 exchanges, 25 of them rated" in now.reason
    assert mine.look() is None
    assert check_journal(any_store, journal_of(any_store)).faults == ()
    assert undo(any_store, journal_of(any_store)).version_id == base


def test_a_canary_without_enough_traffic_waits(sqlite_store: Store) -> None:
    base, _ = canary(sqlite_store)
    live(sqlite_store, base, 100, 1.0)
    live(sqlite_store, "ver_1", 19, 1.0)
    look = pilot(sqlite_store).look()
    assert look and (look.decision, look.reason) == ("stay", "19 of 20 exchanges, 19 of 10 rated sessions.")
    assert look.deployment.shares["ver_1"] == 0.05


def test_what_was_seen_at_an_earlier_share_does_not_count_twice(sqlite_store: Store) -> None:
    base, _ = canary(sqlite_store)
    healthy(sqlite_store, base)
    mine = pilot(sqlite_store)
    assert (one := mine.look()) and one.decision == "go on"
    assert (two := mine.look()) and two.decision == "stay"


def test_looking_without_moving_changes_nothing(sqlite_store: Store) -> None:
    base, _ = canary(sqlite_store)
    healthy(sqlite_store, base)
    look = pilot(sqlite_store).look(move=False)
    assert look and look.decision == "go on"
    assert sqlite_store.count(Deployment) == 2


def test_time_that_runs_out_rolls_back(sqlite_store: Store) -> None:
    base, _ = canary(sqlite_store)
    live(sqlite_store, "ver_1", 3, 1.0)
    look = pilot(sqlite_store).look(datetime.now(UTC) + timedelta(hours=73))
    assert look and look.decision == "go back"
    assert look.reason == "Rolled back at 5%: after 73 hours 3 of 20 exchanges, 3 of 10 rated sessions."
    assert sqlite_store.champion().shares == {base: 1.0}


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        ("rating", {"rating": -1.0}),
        ("error share", {"rating": None, "error": "boom"}),
        ("refusal share", {"rating": None, "reply": "I'm sorry, but I can't help with that."}),
        ("slow share", {"rating": None, "latency_s": 5.0}),
    ],
)
def test_every_kind_of_harm_rolls_back_by_itself(sqlite_store: Store, kind: str, bad: dict[str, object]) -> None:
    base = began(sqlite_store)
    live(sqlite_store, base, 120, None, at=datetime.now(UTC) - timedelta(hours=1))
    canary(sqlite_store)
    for _ in range(40):
        live(sqlite_store, base, 1, 1.0)
        live(sqlite_store, "ver_1", 1, **bad)  # type: ignore[arg-type]
    look = pilot(sqlite_store).look()
    assert look and look.decision == "go back"
    assert look.reason.startswith(f"Rolled back at 5%: {kind} ")
    now = sqlite_store.champion()
    assert (now.shares, now.verdict_id) == ({base: 1.0}, None)
    assert check_journal(sqlite_store, journal_of(sqlite_store)).faults == ()


def test_without_enough_history_latency_has_no_guard(sqlite_store: Store) -> None:
    canary(sqlite_store)
    look = pilot(sqlite_store).look()
    assert look and [one.kind for one in look.harms] == ["ratings", "errors", "refusals"]


def test_a_version_that_was_rolled_back_is_not_shipped_again_by_the_same_verdict(sqlite_store: Store) -> None:
    base, verdict = canary(sqlite_store)
    pilot(sqlite_store).look(datetime.now(UTC) + timedelta(hours=99))
    for is_canary in (True, False):
        ship(sqlite_store, journal_of(sqlite_store), verdict, "ver_1", canary=is_canary)
    assert sqlite_store.champion().shares == {base: 1.0}


def test_undo_ends_a_canary_and_keeps_the_champion(any_store: Store) -> None:
    base, _ = canary(any_store)
    back = undo(any_store, journal_of(any_store), "I do not like it.")
    assert (back.version_id, back.shares, back.previous_id) == (base, {base: 1.0}, None)
    assert pilot(any_store).look() is None


def test_an_undo_wins_against_a_step_that_was_decided_before_it(sqlite_store: Store) -> None:
    base, _ = canary(sqlite_store)
    healthy(sqlite_store, base)
    mine = pilot(sqlite_store)
    look = mine.look(move=False)
    assert look and look.decision == "go on"
    undo(sqlite_store, journal_of(sqlite_store))
    after = mine._move(look.canary, "go on", look.reason)
    assert after.shares == sqlite_store.champion().shares == {base: 1.0}


def test_a_second_challenger_waits_until_the_first_is_done(sqlite_store: Store) -> None:
    base, _ = canary(sqlite_store)
    second = promoted(sqlite_store, "ver_2", base)
    for is_canary in (True, False):
        with pytest.raises(ChampionChanged, match="Another rollout is on its way"):
            ship(sqlite_store, journal_of(sqlite_store), second, "ver_2", canary=is_canary)
    undo(sqlite_store, journal_of(sqlite_store))
    assert deploy(sqlite_store, journal_of(sqlite_store), second, "ver_2").version_id == "ver_2"


def test_a_verdict_edited_during_its_canary_never_promotes(sqlite_store: Store) -> None:
    base, verdict = canary(sqlite_store)
    healthy(sqlite_store, base)
    table = TABLES["vdt"]
    with sqlite_store.writing() as connection:
        body = sa.func.replace(table.c.body, "0.4", "0.9")
        connection.execute(sa.update(table).where(table.c.id == verdict.id).values(body=body))
    look = pilot(sqlite_store).look()
    assert look and look.deployment.shares == {base: 1.0}
    assert "was changed after it was entered" in look.deployment.reason


def test_pilots_that_look_at_once_make_one_move(any_store: Store) -> None:
    base, _ = canary(any_store)
    healthy(any_store, base)
    with ThreadPoolExecutor(6) as pool:
        looks = list(pool.map(lambda mine: mine.look(), [pilot(any_store) for _ in range(6)]))
    assert all(look is not None for look in looks)
    assert any_store.champion().shares == {base: 0.75, "ver_1": 0.25}
    assert any_store.count(Deployment) == 3
    assert check_journal(any_store, journal_of(any_store)).faults == ()


@pytest.mark.faults
@pytest.mark.parametrize(
    "place", ["rollout.before_move", "store.before_commit", "store.after_commit", "rollout.after_move"]
)
def test_a_pilot_killed_at_any_place_goes_on_and_steps_once(sqlite_store: Store, sqlite_url: str, place: str) -> None:
    base, _ = canary(sqlite_store)
    healthy(sqlite_store, base)
    script = f"""
from sharpen.config import RolloutSection
from sharpen.promotion.rollout import Pilot
from sharpen.store import Store
from tests.promotion.journals import journal_of
store = Store.open({sqlite_url!r})
Pilot(store, journal_of(store), RolloutSection(min_requests=20, min_ratings=10)).look()
"""
    env = os.environ | {"SHARPEN_FAILPOINT": place}
    assert subprocess.run([sys.executable, "-c", script], env=env, check=False).returncode == -signal.SIGKILL
    look = pilot(sqlite_store).look()
    assert look and look.decision == ("go on" if "before" in place else "stay")
    assert sqlite_store.champion().shares == {base: 0.75, "ver_1": 0.25}
    assert sqlite_store.count(Deployment) == 3
    assert check_journal(sqlite_store, journal_of(sqlite_store)).faults == ()


# -- the evidence ------------------------------------------------------------------------------------------------------


def test_a_session_rates_once_and_its_first_rating_counts() -> None:
    def exchange(name: str, version_id: str, session: str) -> Exchange:
        return Exchange(name, version_id, session, 1.0, True, False, False, 0.1, 5)

    seen = observe(
        [exchange("a", "old", "s1"), exchange("b", "new", "s1"), exchange("c", "new", "s2"), exchange("d", "x", "s3")],
        [Rating("b", 3.0, 0.0), Rating("a", 2.0, 1.0), Rating("c", 4.0, 0.5), Rating("c", 5.0, 0.0), Rating("d", 1, 1)],
        {"old", "new"},
    )
    assert seen.ratings == (Rated("old", 1.0, 2.0), Rated("new", 0.5, 4.0))


def test_a_rush_hour_that_hits_both_versions_is_not_harm() -> None:
    """Errors rise for both while the canary's share rises: a pooled comparison would blame the canary."""
    rng = np.random.default_rng(3)
    exchanges = []
    for number in range(2000):
        is_rush = number > 1000
        mine = rng.random() < (0.5 if is_rush else 0.05)
        failed = bool(rng.random() < (0.6 if is_rush else 0.0))
        name = str(number)
        exchanges.append(Exchange(name, "new" if mine else "old", name, number, True, failed, False, 0.1, 5))
    errors = next(one for one in weigh(Observed(tuple(exchanges), ()), "new", QUICK, None) if one.kind == "errors")
    assert errors.difference > 0.15
    assert not errors.is_shown


def test_blocks_use_every_value_of_a_closed_block() -> None:
    assert blocks([True, True, False], [1.0, 0.0, 1.0]) == [-0.5]
    assert blocks([True, True, True], [1.0, 0.0, 1.0]) == []


def rollout(seed: int, champion: float, challenger: float) -> float:
    """Simulate a rollout with looks after every 100 sessions; return the share at which it ended, or 1."""
    rng = np.random.default_rng(seed)
    settings = RolloutSection()
    moment, stage, stepped = START.timestamp(), 0, START
    exchanges: list[Exchange] = []
    ratings: list[Rated] = []
    for number in range(1, 6001):
        moment += 30.0
        mine = bool(rng.random() < SHARES[stage])
        version_id, failed = ("new" if mine else "old"), bool(rng.random() < 0.01)
        refused = not failed and bool(rng.random() < 0.03)
        latency_s = float(rng.lognormal(0.0, 0.4))
        exchanges.append(Exchange(str(number), version_id, str(number), moment, True, failed, refused, latency_s, 20))
        ratings.append(Rated(version_id, float(rng.random() < (challenger if mine else champion)), moment))
        if number % 100 == 0:
            at, share = datetime.fromtimestamp(moment, UTC), SHARES[stage]
            now = Deployment(id="d", version_id="old", shares={"old": 1 - share, "new": share}, reason="-", at=stepped)
            seen = Observed(tuple(exchanges), tuple(ratings))
            decision, _ = judge(Canary(now, START), weigh(seen, "new", settings, 3.0), seen, settings, at)
            if decision == "go back":
                return share
            if decision == "go on":
                stage, stepped = stage + 1, at
                if SHARES[stage] == 1.0:
                    return 1.0
    return SHARES[stage]


def test_a_harmful_version_is_rolled_back_before_half_of_the_traffic(capsys: pytest.CaptureFixture[str]) -> None:
    ends = [rollout(seed, 0.7, 0.5) for seed in range(60)]
    with capsys.disabled():
        print(f"\nharmful (-20 points): rolled back before 50 % in {sum(end < 0.5 for end in ends)} of {len(ends)}")
    assert sum(end < 0.5 for end in ends) / len(ends) >= 0.95


def test_a_clean_version_reaches_all_of_the_traffic(capsys: pytest.CaptureFixture[str]) -> None:
    ends = [rollout(seed, 0.7, 0.75) for seed in range(60)]
    with capsys.disabled():
        print(f"\nclean (+5 points): reached 100 % in {sum(end == 1.0 for end in ends)} of {len(ends)}")
    assert sum(end == 1.0 for end in ends) / len(ends) >= 0.9


def test_an_equal_version_is_rolled_back_no_more_often_than_alpha(capsys: pytest.CaptureFixture[str]) -> None:
    ends = [rollout(seed, 0.7, 0.7) for seed in range(100)]
    with capsys.disabled():
        print(f"\nequal: rolled back in {sum(end < 1.0 for end in ends)} of {len(ends)}, alpha 0.05")
    assert sum(end < 1.0 for end in ends) / len(ends) <= RolloutSection().alpha
