"""Build the trainer of a constrained method: in the loss where the installed TRL allows it, else by resampling.

In: a job and its rows. Out: a trainer, ready to run, whose `constraint_metrics()` says what was held and how. Must not
know where the rows came from.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from datasets import Dataset
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer

from sharpen.errors import TrainerError
from sharpen.training.adapters import lora
from sharpen.training.constraints import fair_kto
from sharpen.training.constraints.batches import rotated_order
from sharpen.training.constraints.duals import UNTRAINED, UNTRAINED_KTO, Duals
from sharpen.training.constraints.fair_dpo import FairDPOTrainer
from sharpen.training.constraints.plan import RATED, Plan, make_plan
from sharpen.training.constraints.resampling import consensus, resampled
from sharpen.training.constraints.trainer import signature_problem
from sharpen.training.job import Job
from sharpen.training.methods.rpo import best_and_worst
from sharpen.training.methods.shared import arguments


def build(job: Job, model: Any, tokenizer: Any, rows: list[dict[str, Any]], scratch: str) -> Any:
    """Return a trainer over `rows` under `job.recipe.fairness`.

    Raises: Refused when a constraint has nothing to hold on to; TrainerError when it cannot act where it was told to.
    """
    if job.recipe.method == "rpo":
        rows = [*rows, *best_and_worst(job, model, tokenizer, [row for row in rows if "scorer" in row])]
    plan = make_plan(rows, job.recipe)
    rated = job.recipe.method in RATED
    stock = KTOTrainer if rated else DPOTrainer
    problem = "" if plan.settings.by == "resampling" else signature_problem(stock, fair_kto.RELIED_ON if rated else {})
    untrained = UNTRAINED_KTO if rated else UNTRAINED
    if plan.settings.by != "resampling" and not problem:
        kind = fair_kto.FairKTOTrainer if rated else FairDPOTrainer
        told = _arguments(job, kind, plan, plan.items, scratch)
        told |= {"plan": plan, "untrained": untrained, "anchor": _anchor(job)}
        trainer = kind(model, processing_class=tokenizer, **told)
        problem = trainer.problem()
        if not problem:
            return trainer
        model = trainer.model.unload() if hasattr(trainer.model, "unload") else trainer.model
    if plan.settings.by == "loss":
        raise TrainerError(
            f"The constraints cannot act in the loss: {problem}.", "set [fairness] by = 'auto', or install trl 1.16"
        )
    if problem:
        print(f"constraints act by resampling: {problem}", file=sys.stderr)  # noqa: T201 - the child's log
    items, counts = consensus(plan)
    told = _arguments(job, stock, plan, items, scratch) | {"callbacks": [Duals.of(plan, untrained)]}
    return resampled(stock(model, processing_class=tokenizer, **told), plan, counts)


def _arguments(job: Job, kind: Any, plan: Plan, items: list[dict[str, Any]], scratch: str) -> dict[str, Any]:
    """Return the trainer's configuration, data and adapter."""
    told = arguments(job, scratch, len(items)) | {"precompute_ref_log_probs": True, "beta": job.recipe.beta}
    if job.recipe.method in RATED:
        size = max(2, told["per_device_train_batch_size"])  # the KL estimate needs a neighbour
        alone_N = np.full(len(plan.items), -1)
        set_N = (plan.contrasts.set_N if plan.contrasts else alone_N)[[item["row"] for item in items]]
        order, same = rotated_order(set_N, [item["answer"] for item in items], size, job.recipe.seed)
        items = [items[at] for at in order]
        plan.told["kl_answers_not_mismatched_share"] = same
        told |= {
            "per_device_train_batch_size": size,
            "precompute_ref_batch_size": size,
            # TRL pairs each answer with the one before it in the data set's order: that is the batches' order too.
            "train_sampling_strategy": "sequential",
        }
        config: Any = KTOConfig(
            **told, loss_type="kto", desirable_weight=plan.balance[0], undesirable_weight=plan.balance[1]
        )
    else:
        settings = plan.settings
        losses = ["robust" if settings.flip_share else "sigmoid", *(["sft"] if _anchor(job) else [])]
        config = DPOConfig(
            **told,
            loss_type=losses,
            loss_weights=[1.0, _anchor(job)][: len(losses)],
            label_smoothing=settings.flip_share,
        )
    data = Dataset.from_list([_example(item) for item in items])
    return {"args": config, "train_dataset": data, "peft_config": lora(job)}


def _anchor(job: Job) -> float:
    """Return the weight of the chosen answer's likelihood: of RPO it is a part."""
    assert job.recipe.fairness is not None
    return job.recipe.nll if job.recipe.method == "rpo" else job.recipe.fairness.anchor


def _example(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item in TRL's words."""
    if "answer" in item:
        answers: dict[str, Any] = {"completion": _said(item["answer"]), "label": item["label"]}
    else:
        answers = {"chosen": _said(item["chosen"]), "rejected": _said(item["rejected"])}
    return {"prompt": item["messages"], "row": item["row"]} | answers


def _said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]
