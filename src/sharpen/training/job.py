"""What a trainer child is asked to do, and what it answers: two small JSON files.

In: the resolved recipe. Out: files that a child process reads and writes. Must not know the store or any trainer.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from sharpen.config import Config, FairnessSection
from sharpen.durable import write_text
from sharpen.records import Method
from sharpen.training.prompts import Drawn

REPORTED = 2  # the child's exit status when it has told what is wrong: trying again would not help
OUT_OF_MEMORY = 3  # the child's exit status when there was no room for a portion of the batch


class Recipe(BaseModel):
    """Every hyper-parameter, resolved: nothing is left for a library to decide."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Method = Field(description="the algorithm")
    adapter: str = Field(default="lora", description="the kind of adapter; full is every weight")
    launch: str = Field(default="single", description="how the work is spread over processes")
    processes: int = Field(default=1, description="trainer processes; they share a batch")
    epochs: float = Field(description="passes over the snapshot")
    rank: int = Field(description="LoRA rank")
    alpha: int = Field(description="LoRA scale, times 1/rank")
    learning_rate: float = Field(description="peak, AdamW, linear decay after warm-up")
    warmup_share: float = Field(default=0.1, description="share of steps that warm up")
    batch: int = Field(description="examples per optimizer step")
    max_length: int = Field(description="tokens per example")
    beta: float = Field(description="temperature of DPO, RPO and KTO")
    nll: float = Field(default=1.0, description="RPO: weight of the chosen answer's likelihood")
    samples: int = Field(default=8, description="answers per prompt, where the method samples its own")
    temperature: float = Field(default=0.7, description="of those answers")
    max_new_tokens: int = Field(default=12, description="longest of those answers")
    kl: float = Field(default=0.05, description="price of a nat of distance from the base")
    kl_target: float | None = Field(default=None, description="PPO: nats per answer that the price is steered to")
    packing: bool = Field(default=False, description="SFT: short rows of a batch stand behind one another in one")
    dev_share: float = Field(default=0.0, description="share of the rows that is only looked at, to stop in time")
    patience: int = Field(default=3, description="looks at it without a gain before training ends")
    max_grad_norm: float = Field(default=1.0, description="gradient clipping")
    in_order: bool = Field(default=False, description="keep the rows' order in each pass, as [curation] order says")
    seed: int = Field(description="seed of everything random in the child")
    threads: int = Field(description="CPU threads; 0 takes every core")
    fairness: FairnessSection | None = Field(default=None, description="constraints to hold; none by default")


class Job(BaseModel):
    """One request to the trainer child."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: Path = Field(description="folder of the base's weights")
    base_digest: str = Field(description="its digest; goes into the adapter's config")
    rows: Path = Field(description="JSONL: messages, chosen, rejected; prompts with reference, choices, scorer")
    drawn: Drawn | None = Field(default=None, description="the generator that grades answers to its own prompts")
    adapters: Path = Field(description="where the finished adapter goes, in a folder named by its digest")
    recipe: Recipe
    portion: int = Field(default=0, description="most rows in memory at once; 0: a whole batch")
    memory_bytes: int = Field(default=0, description="most memory of its own that the child may take; 0: no bound")
    checkpoint_s: float = Field(default=300.0, description="seconds between checkpoints")
    references: Path | None = Field(default=None, description="file that keeps what the base says of pairs")


class Result(BaseModel):
    """What the child made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    adapter_digest: str = Field(description="SHA-256 of the adapter's files, first 32 digits")
    metrics: dict[str, float] = Field(description="final training metrics")
    dropped: dict[str, int] = Field(default_factory=dict, description="rows that do not fit the model, per reason")
    seconds: float = Field(description="wall-clock seconds of the child")
    model_seconds: float = Field(description="of these, seconds inside optimizer steps (forward, backward, update)")
    peak_rss_bytes: int = Field(description="most memory the child held")


def resolve(config: Config, method: Method, parameters: int, seed: int) -> Recipe:
    """Fill in what the configuration leaves to the size of the base (`parameters`, a count).

    chosen: rank 16 and 1e-3 brought a 135M model from 0 to 80 % exact labels in one epoch of 192 corrections; larger
    models take the smaller rates that LoRA papers and TRL's examples use (2e-4 for 1-8B, 1e-4 above).
    Every other method moves a policy that can already answer, at a tenth of the SFT rate. Full fine-tuning wants a
    tenth of LoRA's rate (Biderman et al. 2024, "LoRA Learns Less and Forgets Less", section 4.5).
    """
    settings = config.training
    size_rank, size_rate = (16, 1e-3) if parameters < 1e9 else (16, 2e-4) if parameters < 9e9 else (32, 1e-4)
    rank = settings.rank or size_rank
    usual_rate = size_rate / (1 if method == "sft" else 10) / (10 if settings.adapter == "full" else 1)
    rate = settings.learning_rate or usual_rate
    return Recipe(
        method=method,
        adapter=settings.adapter,
        launch=settings.launch,
        processes=settings.processes,
        epochs=settings.epochs,
        rank=rank,
        alpha=2 * rank,
        learning_rate=rate,
        batch=settings.batch,
        max_length=settings.max_length,
        beta=settings.beta,
        nll=settings.nll,
        samples=settings.samples,
        temperature=settings.temperature,
        max_new_tokens=config.evaluation.max_new_tokens,
        kl=settings.kl,
        kl_target=settings.kl_target,
        in_order=config.curation.order != "drawn",
        packing=settings.packing,
        dev_share=settings.dev_share,
        patience=settings.patience,
        seed=seed,
        threads=config.models.threads,
        fairness=config.fairness if config.fairness.is_on else None,
    )


def write_json(path: Path, model: BaseModel) -> None:
    """Write a model that is there whole or not at all. Raises: StoreError when the disk refuses."""
    write_text(path, json.dumps(model.model_dump(mode="json"), sort_keys=True, indent=1))
