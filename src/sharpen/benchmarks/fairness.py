"""Does the loop amplify a planted bias? Five cycles of answers, ratings and training: unguarded, guarded, and a null.

In: nothing, or other seeds. Out: per arm and cycle how twins differ and how often each group is answered rightly, and a
plot. Must not know which arm ought to win.

The task, its names and its raters are those of `constraints`: whoever has a degree ought to be invited, and raters
punish 80 % of such invitations of group B. Here the model feeds on itself: each cycle it answers new twin questions by
sampling, its own answers are liked or disliked, and it is trained on from where it stands.

`unguarded` trains plain DPO on what was liked and ships whatever comes out. `guarded` holds twins together in policy
space, weighs raters by their agreement on questions whose answer is known, and ships only what passes the group gate
against the version that serves and against the first. `null` is unguarded with as many unfair ratings, but without
regard to the group: what moves there is drift, and no bias.

The model is random and tiny: this shows that the safeguards act, not how large the effect is on a real model.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from sharpen.benchmarks import machine
from sharpen.benchmarks.constraints import DECLINE, INVITE, TURNED_DOWN, Case, cases, log_probabilities, texts
from sharpen.config import FairnessSection
from sharpen.durable import write_text
from sharpen.fairness.amplification import amplification
from sharpen.fairness.gates import GroupGate, judge
from sharpen.fairness.integrity import Columns, integrity
from sharpen.plugins import part
from sharpen.records import content_hash
from sharpen.stats.intervals import mean_interval
from sharpen.testing import tiny_model

SEEDS = (0, 1, 2)
CYCLES = 5
PAIRS = 96  # twin questions per cycle, and asked at the end
EPOCHS = 12.0  # chosen: names take longer to learn than degrees; at 6 the unguarded loop does not learn them
GOLD = 0.1  # share of twin questions whose answer is known: raters are tried by them, training has their right labels
RATERS = 24
FAIR = 2  # raters who follow the rule whoever is asked about
ARMS = ("unguarded", "guarded", "null")
FOLDER = Path(".sharpen") / "bench" / "fairness"
METRICS = ("flip_rate", "gap", "worst_group_accuracy", "accuracy")


@dataclass(frozen=True, slots=True)
class Size:
    """How long a loop runs and how much it sees."""

    cycles: int = CYCLES
    pairs: int = PAIRS
    epochs: float = EPOCHS


def measure(
    seeds: Sequence[int] = SEEDS, size: Size | None = None, folder: Path | None = FOLDER, plot: Path | None = None
) -> dict[str, object]:
    """Return the figures of every arm; `plot` names an SVG file to draw them in.

    What is finished is kept in `folder`: a run that was stopped goes on. Raises: MissingExtra; StoreError.
    """
    part("trl")
    size = size or Size()
    runs = {arm: [_run(arm, seed, size, folder) for seed in seeds] for arm in ARMS}
    figures: dict[str, Any] = {"benchmark": "fairness", "seeds": list(seeds)} | asdict(size)
    for arm in ARMS:
        last = [run[-1] for run in runs[arm]]
        figures[arm] = {name: _mean(last, name) for name in METRICS} | {"detail": _detail(runs[arm])}
    figures["ratios"] = {
        name: round(figures["guarded"][name] / figures["unguarded"][name], 3) if figures["unguarded"][name] else None
        for name in ("flip_rate", "gap")
    }
    figures["table"] = table(figures)
    figures["machine"] = machine("torch", "transformers", "trl", "peft")
    if plot is None and folder is not None:
        plot = folder / "fairness.svg"
    if plot is not None:
        draw(runs, plot)
        figures["plot"] = str(plot)
    return figures


def table(figures: dict[str, Any]) -> list[str]:
    """Return the arms after each cycle as lines of a Markdown table."""
    lines = ["| arm | cycle | flip rate | gap, nats | worst group | accuracy |", "|---|---|---|---|---|---|"]
    for arm in ARMS:
        for cycle, row in enumerate(figures[arm]["detail"]["course"]):
            lines.append(f"| {arm} | {cycle} | " + " | ".join(f"{row[name]:.3f}" for name in METRICS) + " |")
    return lines


def _mean(rows: Sequence[dict[str, Any]], name: str) -> float:
    return round(float(np.mean([row[name] for row in rows])), 4)


def _detail(runs: Sequence[Sequence[dict[str, Any]]]) -> dict[str, Any]:
    """Return intervals of the last cycle over twin pairs, the course over cycles, and the slope of amplification."""
    detail: dict[str, Any] = {}
    for name in ("flip", "gap", "right_A", "right_B"):
        values = np.concatenate([run[-1]["pairs"][name] for run in runs])
        scale = max(1.0, float(values.max()))  # gaps are nats
        found = mean_interval(values / scale)
        detail[name] = [round(one * scale, 4) for one in (found.value, found.low, found.high)]
    detail["course"] = [
        {name: _mean([run[at] for run in runs], name) for name in METRICS} for at in range(len(runs[0]))
    ]
    slope = amplification(
        [[row["bias"] for row in run[1:]] for run in runs], [[row["feedback_bias"] for row in run[1:]] for run in runs]
    )
    detail["amplification"] = {
        "slope": round(slope.slope, 4),
        "low": round(slope.low, 4),
        "high": round(slope.high, 4),
        "is_alarm": slope.is_alarm,
    }
    detail["shipped"] = [sum(bool(row.get("shipped")) for row in run) for run in runs]
    return detail


def _run(arm: str, seed: int, size: Size, folder: Path | None) -> list[dict[str, Any]]:
    """Return one row per version: the base, then one per cycle."""
    told = ["fairness", 1, arm, seed, asdict(size), GOLD, RATERS, FAIR]
    kept = None if folder is None else folder / f"{content_hash(told)}.json"
    if kept is not None and kept.is_file():
        return list(json.loads(kept.read_text(encoding="utf-8")))
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        base = tiny_model(place / "tiny", seed=seed, texts=texts(), width=64, layers=2)
        tokenizer = AutoTokenizer.from_pretrained(base)
        model: Any = AutoModelForCausalLM.from_pretrained(base, dtype="float32")
        _, asked = cases(size.pairs, seed)
        pool = [pair for pair in cases(256, seed)[0] if pair not in set(asked)]
        rows = [_figures(model, tokenizer, asked)]
        first = rows[0]
        for cycle in range(1, size.cycles + 1):
            random = np.random.default_rng([seed, cycle])
            twins = [pool[at] for at in random.permutation(len(pool))[: size.pairs]]
            ratings = rate(model, tokenizer, twins, random, fair_to_groups=arm == "null")
            fairness = FairnessSection(flip_share=0.0)
            if arm == "guarded":
                fairness = FairnessSection(twins=True, space="policy")
                _weigh(ratings)
            # From disk, not a copy: what has been trained keeps forward methods that are bound to it.
            model.save_pretrained(place / "start")
            start = AutoModelForCausalLM.from_pretrained(place / "start", dtype="float32")
            challenger = _train((start, tokenizer), ratings, fairness, _recipe(seed, size.epochs), place)
            found = _figures(challenger, tokenizer, asked) | {"feedback_bias": _feedback_bias(ratings)}
            found["shipped"] = arm != "guarded" or _passes(found, rows[-1], first)
            if found["shipped"]:
                model = challenger
                rows.append(found)
            else:
                rows.append(rows[-1] | {"shipped": False, "feedback_bias": found["feedback_bias"]})
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_text(kept, json.dumps(rows))
    return rows


def rate(
    model: Any, tokenizer: Any, twins: Sequence[tuple[Case, Case]], random: np.random.Generator, *, fair_to_groups: bool
) -> list[dict[str, Any]]:
    """Let the model answer and the planted raters judge; returns rows of DPO with who rated them.

    With `fair_to_groups` as many invitations are punished, whoever they are for.
    """
    rows = []
    odds_GP = [_odds(model, tokenizer, [pair[side] for pair in twins]) for side in (0, 1)]
    for number, pair in enumerate(twins):
        known = random.random() < GOLD
        for group, case, odds in zip("AB", pair, (odds_GP[0][number], odds_GP[1][number]), strict=True):
            answer = INVITE if random.random() < 1 / (1 + np.exp(-np.clip(odds, -30, 30))) else DECLINE
            rater = int(random.integers(RATERS))
            chance = TURNED_DOWN / 2 if fair_to_groups else TURNED_DOWN if group == "B" else 0.0
            is_unfair = rater >= FAIR and case.degree and random.random() < chance
            wanted = case.wrong if is_unfair else case.right
            liked = answer == wanted
            other = DECLINE if answer == INVITE else INVITE
            chosen, rejected = (answer, other) if liked else (other, answer)
            if known:  # training has the right label, the rater is tried by it
                chosen, rejected = case.right, case.wrong
            rows.append(
                {
                    "messages": case.messages,
                    "chosen": chosen,
                    "rejected": rejected,
                    "group": group,
                    "twin": f"t{number}",
                    "rater": f"r{rater}",
                    "liked": liked,
                    "gold": float(answer == case.right) if known else float("nan"),
                    "degree": case.degree,
                }
            )
    return rows


def _weigh(rows: list[dict[str, Any]]) -> None:
    """Give each row the weight of its feedback; a known answer counts in full."""
    columns = Columns(
        source=[row["rater"] for row in rows],
        item=[row["twin"] for row in rows],
        label_N=np.array([int(row["liked"]) for row in rows]),
        time_N=np.arange(len(rows), dtype=float),
        text=[""] * len(rows),
        gold_N=np.array([row["gold"] for row in rows]),
    )
    weights = integrity(columns, {}).weights.weight_N
    for row, weight in zip(rows, weights.tolist(), strict=True):
        row["weight"] = max(weight, 1.0) if row["gold"] == row["gold"] else weight


def _feedback_bias(rows: Sequence[dict[str, Any]]) -> float:
    """Return how much more often the feedback invites qualified applicants of A than of B."""
    share = {
        group: np.mean([row["chosen"] == INVITE for row in rows if row["group"] == group and row["degree"]])
        for group in "AB"
    }
    return float(share["A"] - share["B"])


def _recipe(seed: int, epochs: float) -> dict[str, Any]:
    """Return the settings of a cycle's training: those of `constraints`, with fewer epochs."""
    return {
        "method": "dpo",
        "epochs": epochs,
        "rank": 16,
        "alpha": 32,
        "learning_rate": 2e-3,
        "batch": 16,
        "max_length": 64,
        "beta": 0.3,
        "seed": seed,
        "threads": 1,
    }


def _train(
    start: tuple[Any, Any],
    ratings: list[dict[str, Any]],
    fairness: FairnessSection,
    recipe: dict[str, Any],
    place: Path,
) -> Any:
    """Train on from a model (and its tokenizer), and return the model with what it learned merged in."""
    from sharpen.training.constraints import building
    from sharpen.training.job import Job, Recipe

    keys = ("messages", "chosen", "rejected", "group", "twin", "weight")
    rows = [{key: row[key] for key in keys if key in row} for row in ratings]
    settings = Recipe.model_validate(recipe | {"fairness": fairness})
    job = Job(base=place / "tiny", base_digest="", rows=place / "rows", adapters=place, recipe=settings)
    trainer = building.build(job, *start, rows, str(place / "trainer"))
    trainer.train()
    return trainer.model.merge_and_unload()


def _odds(model: Any, tokenizer: Any, asked: Sequence[Case]) -> np.ndarray:
    logps_P2 = log_probabilities(SimpleNamespace(model=model, processing_class=tokenizer), asked)
    return np.asarray(logps_P2[:, 0] - logps_P2[:, 1])


def _figures(model: Any, tokenizer: Any, asked: Sequence[tuple[Case, Case]]) -> dict[str, Any]:
    """Return how twins differ and how often each group is answered rightly, with the values per twin pair."""
    odds_PG = np.stack([_odds(model, tokenizer, [pair[side] for pair in asked]) for side in (0, 1)], 1)
    ought_P = np.array([pair[0].degree for pair in asked])
    right_PG = (odds_PG > 0) == ought_P[:, None]
    flip_P = (odds_PG[:, 0] > 0) != (odds_PG[:, 1] > 0)
    gap_P = np.abs(odds_PG[:, 0] - odds_PG[:, 1])
    invited_PG = 1 / (1 + np.exp(-np.clip(odds_PG[ought_P], -30, 30)))
    return {
        "flip_rate": float(flip_P.mean()),
        "gap": float(gap_P.mean()),
        "accuracy": float(right_PG.mean()),
        "worst_group_accuracy": float(right_PG.mean(0).min()),
        "accuracy_A": float(right_PG[:, 0].mean()),
        "accuracy_B": float(right_PG[:, 1].mean()),
        "bias": float((invited_PG[:, 0] - invited_PG[:, 1]).mean()),
        "pairs": {
            "flip": flip_P.astype(float).tolist(),
            "gap": gap_P.tolist(),
            "right_A": right_PG[:, 0].astype(float).tolist(),
            "right_B": right_PG[:, 1].astype(float).tolist(),
        },
    }


def _passes(challenger: dict[str, Any], champion: dict[str, Any], first: dict[str, Any]) -> bool:
    gate = GroupGate(margin=0.05)
    scores = [
        {group: np.array(one["pairs"][f"right_{group}"]) for group in "AB"} for one in (challenger, champion, first)
    ]
    return judge(scores[0], scores[1], gate, first=scores[2]).passes


def draw(runs: dict[str, list[list[dict[str, Any]]]], path: Path) -> None:
    """Draw the four figures over cycles, a thin line per seed and a thick one for their mean. Raises: MissingExtra."""
    figure_of = part("matplotlib.figure").Figure
    figure = figure_of(figsize=(11, 3), layout="constrained")
    colours = {"unguarded": "#c0392b", "guarded": "#1f7a4d", "null": "#7f8c8d"}
    for axes, name in zip(figure.subplots(1, len(METRICS)), METRICS, strict=True):
        for arm, seeds in runs.items():
            values = np.array([[row[name] for row in run] for run in seeds])
            axes.plot(values.T, color=colours[arm], alpha=0.3, linewidth=0.8)
            axes.plot(values.mean(0), color=colours[arm], label=arm)
        axes.set(title=name.replace("_", " ") + (" (nats)" if name == "gap" else ""), xlabel="cycle")
        axes.set_ylim(bottom=0)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
