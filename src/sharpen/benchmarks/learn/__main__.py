"""Measure how well every method learns, from the command line; a part of it, for less time."""

from __future__ import annotations

import argparse
from pathlib import Path

from sharpen.benchmarks import publish
from sharpen.benchmarks.learn import BUDGET_S, CASES, FOLDER, OFF_POLICY, ON_POLICY, SEEDS, measure
from sharpen.benchmarks.learn.tasks import NAMES
from sharpen.config import SMOLLM2


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default=SMOLLM2, help="the weights: model id, folder, GGUF file or package:NAME")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--budget", type=float, default=BUDGET_S, help="CPU seconds of training per run")
    parser.add_argument("--cases", type=int, default=CASES, help="most held-out cases per task")
    parser.add_argument("--tier", choices=("dev", "gate", "vault"), default="vault")
    parser.add_argument("--tasks", nargs="+", default=NAMES)
    parser.add_argument("--methods", nargs="+", default=(*OFF_POLICY, *ON_POLICY))
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where finished parts are kept")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    figures = measure(
        given.base, seeds=given.seeds, budget_s=given.budget, cases=given.cases, tier=given.tier, tasks=given.tasks,
        methods=given.methods, folder=given.folder,
    )  # fmt: skip
    publish(figures, given.json)


if __name__ == "__main__":
    main()
