"""What someone would write with TRL alone: its trainers with their own defaults, on the same rows.

In: a method's name, a model, a task. Out: a trainer. Must not know our trainers.

Everything is left as TRL has it but what this machine forces (fp32 on the CPU, nothing reported or saved), the length
of an answer, and the end, which is the budget's.
"""

from __future__ import annotations

from typing import Any

from sharpen.benchmarks.learn.budget import EPOCHS
from sharpen.benchmarks.learn.tasks import Task
from sharpen.plugins import part

METHODS = ("sft", "dpo", "kto", "rpo", "grpo", "rloo")


def build(method: str, model: Any, tokenizer: Any, task: Task, *, scratch: str, seed: int) -> Any:
    """Return TRL's own trainer for a method. Raises: MissingExtra."""
    trl, data = part("trl"), part("datasets").Dataset.from_list
    given: dict[str, Any] = {
        "output_dir": scratch, "seed": seed, "num_train_epochs": EPOCHS, "use_cpu": True, "bf16": False,
        "report_to": [], "save_strategy": "no", "disable_tqdm": True,
    }  # fmt: skip
    said = {"model": model, "processing_class": tokenizer}
    if method in ("grpo", "rloo"):
        config = getattr(trl, f"{method.upper()}Config")(**given, max_completion_length=task.max_new_tokens)
        asked = task.prompts

        def reward(completions: list[Any], place: list[int], **_: Any) -> list[float | None]:
            found = (task.suite.find(task.suite.tier("train")[at].messages) for at in place)
            return [
                task.suite.score(case, answer[0]["content"])[0] if case else None
                for case, answer in zip(found, completions, strict=True)
            ]

        rows = data([{"prompt": row["messages"], "place": at} for at, row in enumerate(asked)])
        kind = getattr(trl, f"{method.upper()}Trainer")
        return kind(reward_funcs=reward, args=config, train_dataset=rows, **said)
    if method == "sft":
        rows = data([{"prompt": row["messages"], "completion": _turn(row["chosen"])} for row in task.rows])
        return trl.SFTTrainer(args=trl.SFTConfig(**given), train_dataset=rows, **said)
    if method == "kto":
        rated = [(row, side) for row in task.rows for side in ("chosen", "rejected") if row[side] is not None]
        rows = data(
            [
                {"prompt": row["messages"], "completion": _turn(row[side]), "label": side == "chosen"}
                for row, side in rated
            ]
        )
        return trl.KTOTrainer(args=trl.KTOConfig(**given), train_dataset=rows, **said)
    more = {"loss_type": ["sigmoid", "sft"]} if method == "rpo" else {}
    rows = data(
        [
            {"prompt": row["messages"], "chosen": _turn(row["chosen"]), "rejected": _turn(row["rejected"])}
            for row in task.rows
            if row["rejected"] is not None
        ]
    )
    return trl.DPOTrainer(args=trl.DPOConfig(**given, **more), train_dataset=rows, **said)


def _turn(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]
