"""Whether the champion can tell its right answers from its wrong ones: measured, not assumed.

In: a configuration. Out: a finding with the verdict. It loads the model and asks it some hundred questions, so it runs
only when it is asked for. Must not write records.
"""

from __future__ import annotations

from collections.abc import Iterator

from sharpen.config import Config
from sharpen.doctor.finding import Finding


def check_gap(config: Config) -> Iterator[Finding]:
    """Measure the gap between generation and verification on the target's training cases."""
    from sharpen.critique.flow import open_method
    from sharpen.critique.gap import kept_gap
    from sharpen.workbench import Workbench

    bench = Workbench(config)
    suite = bench.target
    engine, version_id = bench.champion()
    method = open_method(config, engine, version_id, suite=suite)
    gap = kept_gap(method, suite, folder=config.home / "gap", name=version_id, seed=config.seed)
    step = '[critique] self_labels = "never", or a stronger critic'
    yield Finding("gap", "ok" if gap.allows_labels else "note", gap.verdict, step)
