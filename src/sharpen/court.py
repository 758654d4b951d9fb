"""What the gate is given: scores by suite and arm, what the suites hold, earlier verdicts, the plan.

In: the scores of an evaluation. Out: a Verdict, or the suites that are worth evaluating further. Must not know the
order of the stages.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sharpen.errors import Refused
from sharpen.evaluation.arms import Arm
from sharpen.evaluation.checkup import check_up
from sharpen.ledger import Facts
from sharpen.promotion.claims import Design, claims, design
from sharpen.promotion.gate import compare, decide
from sharpen.promotion.plan import Plan
from sharpen.promotion.samples import Samples
from sharpen.promotion.sequential import stand
from sharpen.promotion.weigh import terms_of
from sharpen.records import Example, Score, Snapshot, Verdict, Vital, content_hash
from sharpen.workbench import Workbench

log = logging.getLogger("sharpen.court")


class Court(Workbench):
    """A workbench whose measurements can be put before the gate."""

    @property
    def designs(self) -> dict[str, Design]:
        """What each suite's gate tier holds, by name."""
        return {suite.name: design(suite.name, suite.tier("gate")) for suite in (self.target, *self.guards)}

    def tested(self, cycle_id: str) -> list[Verdict]:
        """Return the verdicts of earlier cycles that spent alpha."""
        return [one for one in self.store.find(Verdict) if one.cycle_id != cycle_id and one.alpha_spent > 0]

    def judge(
        self,
        scores: list[Score],
        *,
        cycle_id: str,
        champion_id: str,
        challenger_id: str,
        attempt: int,
        earlier: Sequence[Verdict] = (),
        plan: Plan | None = None,
        vitals: Sequence[Vital] = (),
    ) -> Verdict:
        """Put the scores of an evaluation before the gate, with the cycle's page."""
        suites = _by_suite(scores)
        return decide(
            cycle_id=cycle_id,
            champion_id=champion_id,
            challenger_id=challenger_id,
            first_id=self.first_version_id,
            targets={self.target.name: suites.pop(self.target.name, {})},
            guards={guard.name: suites.get(guard.name, {}) for guard in self.guards},
            attempt=attempt,
            settings=self.config.promotion,
            designs=self.designs,
            digests=self.suite_digests(),
            plan=plan,
            earlier=earlier,
            vitals=vitals,
            seed=self.config.seed,
        )

    def vitals(self, facts: Facts, evaluation_id: str) -> list[Vital]:
        """Return the cycle's page on the challenger: signs of collapse, of judge hacking and of leaks."""
        arms = _by_suite(self.store.find(Score, subjects=[evaluation_id])).get(self.target.name, {})
        snapshot = self.store.get(Snapshot, facts["snapshot_id"])
        for version_id in (facts["version_id"], self.first_version_id):
            self.ready(version_id)
        suites = [self.target, *self.guards]
        return check_up(
            self.target,
            arms,
            self.store.find(Example, ids=snapshot.example_ids),
            engine=self.engine,
            measured=suites,
            marks=[self.mark_of(suite.name) for suite in suites],
            held_out_scorer=self.config.evaluation.held_out_scorer,
            seed=self.config.seed,
        )

    def waiting(self, facts: Facts, evaluation_id: str) -> frozenset[str]:
        """Return the suites that are worth evaluating further."""
        settings, designs = self.config.promotion, self.designs
        has_first = self.first_version_id != facts["champion_id"]
        made = claims(list(designs.values()), [self.target.name], settings, has_first)
        source = Samples(_by_suite(self.store.find(Score, subjects=[evaluation_id])))
        terms = terms_of(settings, len(self.tested(facts["cycle_id"])) + 1, self.config.seed)
        return stand(made, source, designs, terms, allow_unarmed=settings.allow_unarmed)

    def published(self, verdict: Verdict) -> Verdict:
        """Estimate the gain once more, on vault cases that decide nothing: the gate's own number was selected."""
        if not self.target.tier("vault"):
            return verdict
        evaluation_id = f"evl_{content_hash((verdict.id, 'vault'))}"
        arms = {"champion": verdict.champion_id, "challenger": verdict.challenger_id}
        scores = {name: self.score(self.target, "vault", Arm(name, one), evaluation_id) for name, one in arms.items()}
        try:
            return verdict.model_copy(update={"published": compare(scores, "champion")})
        except Refused as error:
            log.warning("The gain could not be estimated on the vault: %s", error)
            return verdict


def _by_suite(scores: list[Score]) -> dict[str, dict[str, list[Score]]]:
    suites: dict[str, dict[str, list[Score]]] = {}
    for score in scores:
        suites.setdefault(score.suite, {}).setdefault(score.arm, []).append(score)
    return suites
