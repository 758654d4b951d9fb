"""TRL 1.12's PPOTrainer on the toy: `python -m sharpen.benchmarks.ppo.peer BASE SEED`, with TRL 1.12 on its path.

In: the base's folder and a seed. Out: one line of JSON: reward and KL of every iteration. Must not know our trainer.

TRL took PPO out after 1.12, and one process cannot hold two versions: hence a program of its own.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from typing import Any

from sharpen.benchmarks.ppo.toy import (
    ANSWER_TOKENS,
    ITERATIONS,
    QUESTIONS,
    RANK,
    RATE,
    SAMPLES,
    SETTINGS,
    TEMPERATURE,
    prompts,
    reward,
)


def main(base: str, seed: int) -> None:
    """Train, and print the curves."""
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, set_seed
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    set_seed(seed)
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(base, padding_side="left")
    asked = [
        tokenizer.apply_chat_template(row["messages"], add_generation_prompt=True, return_dict=True)["input_ids"]
        for row in prompts()
    ]
    data = Dataset.from_list([{"input_ids": ids} for ids in asked for _ in range(SAMPLES)])
    batch = SAMPLES * len(QUESTIONS)

    class Backbone(torch.nn.Module):
        """Hands the token ids on as if they were hidden states: the toy's reward reads words."""

        def forward(self, input_ids: Any, **_: Any) -> Any:
            return type("Out", (), {"hidden_states": (input_ids.unsqueeze(-1).float(),)})()

    class Reward(torch.nn.Module):
        base_model_prefix = "backbone"

        def __init__(self) -> None:
            super().__init__()
            self.backbone = Backbone()

        def score(self, ids: Any) -> Any:
            """Return at each place the reward of the answer up to it; TRL takes the one at the answer's end."""
            start = max(map(len, asked))
            found = torch.zeros(ids.shape)
            for row, said in enumerate(ids.squeeze(-1).long()):
                for end in range(start, len(said)):
                    found[row, end] = reward(tokenizer.decode(said[start : end + 1], skip_special_tokens=True))
            return found

    with tempfile.TemporaryDirectory() as scratch:
        config = PPOConfig(
            output_dir=scratch,
            seed=seed,
            total_episodes=ITERATIONS * batch,
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=1,
            num_mini_batches=int(SETTINGS["minis"]),
            num_ppo_epochs=int(SETTINGS["passes"]),
            response_length=ANSWER_TOKENS,
            stop_token="eos",  # noqa: S106 - no password
            temperature=TEMPERATURE,
            learning_rate=RATE,
            kl_coef=SETTINGS["kl"],
            cliprange=SETTINGS["clip"],
            vf_coef=SETTINGS["value_weight"],
            lam=SETTINGS["lambda"],
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            num_sample_generations=0,
            save_strategy="no",
            logging_steps=1,
            report_to=[],
            disable_tqdm=True,
        )
        trainer = PPOTrainer(
            args=config,
            processing_class=tokenizer,
            model=AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
            ref_model=None,
            reward_model=Reward(),
            value_model=AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=torch.float32),
            train_dataset=data,
            eval_dataset=data,
            peft_config=LoraConfig(
                r=RANK, lora_alpha=2 * RANK, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
            ),
        )
        trainer.train()
        history = [entry for entry in trainer.state.log_history if "objective/scores" in entry]
    curves = {"reward": "objective/scores", "kl": "objective/kl"}
    print(json.dumps({name: [entry[key] for entry in history] for name, key in curves.items()}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
