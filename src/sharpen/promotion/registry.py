"""Say which version answers from now on: the first one, the next one, the one before.

In: a base, a Verdict, or the wish to go back. Out: a Deployment, which the server reads. Must not know how the verdict
came about.

Every change is a compare-and-set on the newest Deployment, named by what caused it: two processes that do the same
thing at once do it once, and two that want different things never overwrite one another.
"""

from __future__ import annotations

from sharpen.errors import Refused
from sharpen.failpoints import failpoint
from sharpen.records import Deployment, ModelVersion, Verdict, content_hash
from sharpen.store import Store


def register_base(store: Store, base: str, base_digest: str, template_digest: str) -> ModelVersion:
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
        if not store.deploy(deployment, expected_version_id=None):
            raise _other_base(store, base)
    return store.get(ModelVersion, version_id)


def deploy(store: Store, verdict: Verdict, challenger_id: str) -> Deployment:
    """Make the challenger the champion; where this verdict was carried out before, return what was written then.

    Raises: Refused when the verdict is not to promote this challenger, or the champion changed since it was reached.
    NotFound when the challenger is not registered.
    """
    if verdict.decision != "promote" or verdict.challenger_id != challenger_id:
        raise Refused(
            f"Verdict '{verdict.id}' says {verdict.decision} on '{verdict.challenger_id}'; it does not ship "
            f"'{challenger_id}'.",
            f"sharpen why {verdict.challenger_id}",
        )
    store.get(ModelVersion, challenger_id)
    failpoint("promote.before_deploy")
    deployment = _set(
        store,
        Deployment(
            id=f"dep_{content_hash(verdict.id)}",
            version_id=challenger_id,
            shares={challenger_id: 1.0},
            previous_id=verdict.champion_id,
            verdict_id=verdict.id,
            reason=verdict.reason,
        ),
        next_step="sharpen cycle  measures against the new champion",
    )
    failpoint("promote.after_deploy")
    return deployment


def undo(store: Store, reason: str = "Undone by hand.") -> Deployment:
    """Deploy the version that served before, at once. Undoing that goes forward again.

    Raises: Refused when there is nothing to go back to, or somebody else deployed at the same moment.
    """
    now = store.champion()
    if now.previous_id is None:
        raise Refused(
            f"There is nothing to go back to: '{now.version_id}' is the first version that was deployed.",
            "sharpen why champion",
        )
    return _set(
        store,
        Deployment(
            id=f"dep_{content_hash(('undo', now.id))}",
            version_id=now.previous_id,
            shares={now.previous_id: 1.0},
            previous_id=now.version_id,
            reason=reason,
        ),
        next_step="sharpen why champion, then sharpen undo if you still want to",
    )


def _set(store: Store, deployment: Deployment, next_step: str) -> Deployment:
    """Write the Deployment if the champion is still the one it replaces."""
    if not store.deploy(deployment, expected_version_id=deployment.previous_id):
        champion = store.champion().version_id
        raise Refused(
            f"The champion changed in between: '{champion}' serves, not '{deployment.previous_id}'.",
            next_step,
        )
    return store.get(Deployment, deployment.id)


def _other_base(store: Store, base: str) -> Refused:
    return Refused(
        f"This store began with another base than '{base}'; '{store.champion().version_id}' serves.",
        "set `home` in sharpen.toml to a new folder, then sharpen init",
    )
