"""Say which version answers from now on: the first one, the next one, the one before.

In: a base, a Verdict, or the wish to go back. Out: a Deployment, which the server reads. Must not know how the verdict
came about.

Every change is a compare-and-set on the newest Deployment, named by what caused it: two processes that do the same
thing at once do it once, and two that want different things never overwrite one another. Its entry in the journal is
written in the same transaction.
"""

from __future__ import annotations

from sharpen.errors import ChampionChanged, Refused
from sharpen.failpoints import failpoint
from sharpen.promotion.journal import Journal, Move
from sharpen.records import Deployment, ModelVersion, Verdict, content_hash
from sharpen.store import Store


def register_base(store: Store, journal: Journal, base: str, base_digest: str, template_digest: str) -> ModelVersion:
    """Write version 0, the bare base, and deploy it; where that was done before, return it and change nothing.

    Raises: Refused when the store already serves another base.
    """
    version_id = f"ver_{content_hash((base_digest, template_digest))}"
    deployment = Deployment(
        id=f"dep_{content_hash(('init', version_id))}",
        version_id=version_id,
        shares={version_id: 1.0},
        reason="The bare base, before any training.",
    )
    if not store.find(Deployment, ids=[deployment.id]):
        if store.find(Deployment, limit=1):
            raise _other_base(store, base)
        # The version first: a server must never read a Deployment of a version that is not there.
        version = ModelVersion(id=version_id, base=base, base_digest=base_digest, template_digest=template_digest)
        if not store.find(ModelVersion, ids=[version_id]):
            store.append(version)
        try:
            put(store, journal, "init", deployment, replaces=None)
        except ChampionChanged:
            raise _other_base(store, base) from None
    return store.get(ModelVersion, version_id)


def enter(store: Store, journal: Journal, verdict: Verdict) -> None:
    """Write a Verdict, and its entry in the journal; without the entry it ships nothing.

    Raises: Refused when it is already written with other content.
    """
    store.append(verdict, beside=lambda connection: journal.enter(connection, "verdict", verdict))
    journal.remember(store)


def deploy(store: Store, journal: Journal, verdict: Verdict, challenger_id: str, *, share: float = 1.0) -> Deployment:
    """Make the challenger the champion, or with a `share` below 1 its canary; done twice, it is done once.

    Raises: Refused when the verdict is not to promote this challenger, or is not the one that was entered in the
    journal. ChampionChanged when somebody else deployed since it was reached. NotFound when the challenger is not
    registered.
    """
    if verdict.decision != "promote" or verdict.challenger_id != challenger_id:
        raise Refused(
            f"Verdict '{verdict.id}' says {verdict.decision} on '{verdict.challenger_id}'; it does not ship "
            f"'{challenger_id}'.",
            f"sharpen why {verdict.challenger_id}",
        )
    store.get(ModelVersion, challenger_id)
    now, champion = store.champion(), verdict.champion_id
    deployment = Deployment(
        id=f"dep_{content_hash(verdict.id)}",
        version_id=challenger_id if share == 1 else champion,
        shares={challenger_id: 1.0} if share == 1 else {champion: 1 - share, challenger_id: share},
        previous_id=champion if share == 1 else now.previous_id,
        verdict_id=verdict.id,
        reason=verdict.reason,
    )
    if len(now.shares) > 1 and not store.find(Deployment, ids=[deployment.id]):
        raise ChampionChanged(f"Another rollout is on its way: {shown(now)}.", "sharpen rollout stop, or wait for it")
    failpoint("promote.before_deploy")
    done = put(store, journal, "promote" if share == 1 else "canary", deployment, replaces=champion, after=now.id)
    failpoint("promote.after_deploy")
    return done


def undo(store: Store, journal: Journal, reason: str = "Undone by hand.") -> Deployment:
    """Deploy the version that served before, at once; a canary on its way is ended. Undoing that goes forward again.

    Raises: Refused when there is nothing to go back to. ChampionChanged when somebody else deployed at the same moment.
    """
    now = store.champion()
    if len(now.shares) > 1:
        return end_canary(store, journal, now, "undo", reason)
    if now.previous_id is None:
        raise Refused(
            f"There is nothing to go back to: '{now.version_id}' is the first version that was deployed.",
            "sharpen why champion",
        )
    deployment = Deployment(
        id=f"dep_{content_hash(('undo', now.id))}",
        version_id=now.previous_id,
        shares={now.previous_id: 1.0},
        previous_id=now.version_id,
        reason=reason,
    )
    return put(store, journal, "undo", deployment, replaces=now.version_id, after=now.id)


def end_canary(store: Store, journal: Journal, canary: Deployment, move: Move, reason: str) -> Deployment:
    """Give all traffic back to the champion. Raises: ChampionChanged."""
    deployment = Deployment(
        id=f"dep_{content_hash(('end', canary.id))}",
        version_id=canary.version_id,
        shares={canary.version_id: 1.0},
        previous_id=canary.previous_id,
        reason=reason,
    )
    return put(store, journal, move, deployment, replaces=canary.version_id, after=canary.id)


def put(
    store: Store,
    journal: Journal,
    move: Move,
    deployment: Deployment,
    *,
    replaces: str | None,
    after: str | None = None,
) -> Deployment:
    """Write a Deployment and its entry if `replaces` still is the champion, and `after` the newest Deployment.

    Whoever wrote the same move first has written it. Raises: ChampionChanged; Refused when a verdict was edited.
    """
    vouched = [*([deployment.verdict_id] if deployment.verdict_id else []), *deployment.shares]
    if not store.find(Deployment, ids=[deployment.id]):
        try:
            done = store.deploy(
                deployment,
                replaces,
                after=after,
                beside=lambda connection: journal.enter(connection, move, deployment, vouched),
            )
        except Refused:
            # Somebody else made this move at the same moment, with a reason of his own; or the journal refused it.
            if not store.find(Deployment, ids=[deployment.id]):
                raise
            done = True
        if not done:
            raise ChampionChanged(
                f"The champion changed in between: {shown(store.champion())}, not '{replaces}'.",
                "sharpen cycle  measures against the new champion" if move == "promote" else "sharpen show",
            )
    journal.remember(store)
    return store.get(Deployment, deployment.id)


def shown(deployment: Deployment) -> str:
    """Return who answers, in words."""
    if len(deployment.shares) == 1:
        return f"'{deployment.version_id}' serves"
    return " and ".join(f"'{name}' answers {share:.0%}" for name, share in deployment.shares.items())


def _other_base(store: Store, base: str) -> Refused:
    return Refused(
        f"This store began with another base than '{base}'; '{store.champion().version_id}' serves.",
        "set `home` in sharpen.toml to a new folder, then sharpen init",
    )
