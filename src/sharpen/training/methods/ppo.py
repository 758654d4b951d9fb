"""Proximal policy optimisation: a policy, a value head on the same network, clipped steps, a price on leaving the base.

In: a job and its prompts. Out: a trainer, ready to run. Must not know where the prompts came from.

One step of the trainer is one iteration: answer a batch of prompts, grade the answers, then take several clipped steps
on them. Nothing but weights, optimizer and log lives from one iteration to the next.
Source: Schulman et al. 2017, arXiv:1707.06347 (equation 7, the clipped objective); Schulman et al. 2016,
arXiv:1506.02438 (equation 16, generalised advantages); Ziegler et al. 2019, arXiv:1909.08593 (equations 2 to 4, the
KL in the reward and its controller). Axes: B answers, L tokens of prompt and answer, T tokens of the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from peft import get_peft_model
from torch.nn.functional import log_softmax
from transformers import Trainer, TrainingArguments

from sharpen.errors import TrainerError
from sharpen.training.adapters import lora
from sharpen.training.job import Job, Recipe
from sharpen.training.methods.rollouts import Rollout, Sampler, look_arguments
from sharpen.training.methods.shared import arguments
from sharpen.training.prompts import Verifier

Tensor = Any
# Source of the next five: TRL 1.12, PPOConfig, which took them from Huang et al. 2024, arXiv:2403.17031, table 2.
CLIP = VALUE_CLIP = 0.2
VALUE_WEIGHT = 0.1
LAMBDA, GAMMA = 0.95, 1.0
PASSES = 4
MINI_BATCHES = 2  # chosen: eight clipped steps per rollout; sampling is most of the time on a CPU
STEER, STEER_CLIP = 0.1, 0.2  # Source: Ziegler et al. 2019, section 2.2


class Experience(NamedTuple):
    """What an iteration learns from."""

    rollout: Rollout
    counts: Tensor  # (B, T) True on the tokens that are learned from: of answers that the verifier could grade
    logprobs: Tensor  # (B, T)
    values: Tensor  # (B, T)
    advantages: Tensor  # (B, T)
    returns: Tensor  # (B, T)


class PpoTrainer(Trainer):
    """Transformers' trainer, each of whose steps is a PPO iteration."""

    def __init__(self, model: Any, args: Any, rows: list[dict[str, Any]], tokenizer: Any, job: Job) -> None:
        # A value of 0 at first: no advantage is invented before something was learned.
        model.value_head = torch.nn.Linear(model.config.get_text_config().hidden_size, 1).to(model.device)
        torch.nn.init.zeros_(model.value_head.weight)
        torch.nn.init.zeros_(model.value_head.bias)
        self.recipe: Recipe = job.recipe
        self.verifier = Verifier(job.drawn)
        self.verifier.try_out(rows)
        self.sampler = Sampler(tokenizer, job.recipe)
        super().__init__(model, args, data_collator=list, train_dataset=rows, processing_class=tokenizer)

    def training_step(self, model: Any, inputs: list[dict[str, Any]], num_items_in_batch: Any = None) -> Tensor:
        """Sample, grade and learn; the last of the optimizer's steps is left to the caller. Returns the last loss."""
        model.eval()  # without dropout the first ratio is 1; gradients flow all the same
        seen = self.experience(model, [row for row in inputs for _ in range(self.recipe.samples)])
        order = [torch.randperm(len(seen.returns)).chunk(MINI_BATCHES) for _ in range(PASSES)]
        minis = [mini for chunks in order for mini in chunks]
        for number, mini in enumerate(minis, 1):
            loss = self.loss(model, seen, mini.to(seen.returns.device))
            self.accelerator.backward(loss)
            if number < len(minis):
                self.accelerator.clip_grad_norm_(model.parameters(), self.args.max_grad_norm)
                self.optimizer.step()
                self.optimizer.zero_grad()
        return loss.detach()

    def experience(self, model: Any, asked: list[dict[str, Any]]) -> Experience:
        """Answer, grade, and say how much better each token was than expected."""
        policy = self.accelerator.unwrap_model(model)
        rollout = self.sampler.sample(policy, asked)
        scores = [self.verifier(row, text) for row, text in zip(asked, rollout.texts, strict=True)]
        graded_B1 = torch.tensor([[score is not None] for score in scores], device=rollout.ids.device)
        scores_B = torch.tensor([score or 0.0 for score in scores], device=rollout.ids.device)
        with torch.no_grad():
            logprobs_BT, values_BT = self.look(model, rollout)
            with policy.disable_adapter():
                base_BT, _ = self.look(model, rollout)
        kl_BT = (logprobs_BT - base_BT) * rollout.said
        price = self.kl_price
        rewards_BT = token_rewards(scores_B, kl_BT, rollout.said, price)
        advantages_BT = advantages(rewards_BT, values_BT, rollout.said)
        counts_BT = rollout.said & graded_B1
        kl = float(kl_BT.sum(1).mean())
        self.log({"reward": float(scores_B[graded_B1[:, 0]].mean()), "kl": kl, "kl_price": price})
        whitened_BT = whiten(advantages_BT, counts_BT)
        return Experience(rollout, counts_BT, logprobs_BT, values_BT, whitened_BT, advantages_BT + values_BT)

    @property
    def kl_price(self) -> float:
        """What a nat of distance from the base costs now: read from the log, which outlives a kill as weights do."""
        last = next((entry for entry in reversed(self.state.log_history) if "kl_price" in entry), None)
        if last is None:
            return self.recipe.kl
        price = float(last["kl_price"])
        return steered(price, float(last["kl"]), self.recipe.kl_target) if self.recipe.kl_target else price

    def look(self, model: Any, rollout: Rollout, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the log-probability of each answer's token (nats), and the value of the state it was said in."""
        ids_BL, seen_BL = rollout.ids, rollout.seen
        answers_BT, said_BT = rollout.answers, rollout.said
        if rows is not None:
            ids_BL, seen_BL, answers_BT, said_BT = (of[rows] for of in (ids_BL, seen_BL, answers_BT, said_BT))
        policy, length = self.accelerator.unwrap_model(model), answers_BT.shape[1]
        out = model(
            input_ids=ids_BL,
            attention_mask=seen_BL,
            output_hidden_states=True,
            use_cache=False,
            **look_arguments(policy, seen_BL, length),
        )
        scaled_BTV = out.logits[:, -length - 1 : -1].float() / self.recipe.temperature
        chosen_BT = log_softmax(scaled_BTV, dim=-1).gather(2, answers_BT.unsqueeze(2)).squeeze(2)
        values_BT = policy.value_head(out.hidden_states[-1][:, -length - 1 : -1].float()).squeeze(2)
        return chosen_BT * said_BT, values_BT * said_BT

    def loss(self, model: Any, seen: Experience, rows: Tensor) -> Tensor:
        """Return the clipped policy loss plus the clipped value loss of some of the answers."""
        logprobs_BT, values_BT = self.look(model, seen.rollout, rows)
        counts_BT, old_BT = seen.counts[rows], seen.values[rows]
        ratio_BT = (logprobs_BT - seen.logprobs[rows]).exp()
        clipped_BT = ratio_BT.clamp(1 - CLIP, 1 + CLIP)
        gains_BT = torch.minimum(ratio_BT * seen.advantages[rows], clipped_BT * seen.advantages[rows])
        near_BT = old_BT + (values_BT - old_BT).clamp(-VALUE_CLIP, VALUE_CLIP)
        misses_BT = torch.maximum((values_BT - seen.returns[rows]) ** 2, (near_BT - seen.returns[rows]) ** 2)
        return -mean(gains_BT, counts_BT) + VALUE_WEIGHT * 0.5 * mean(misses_BT, counts_BT)

    def floating_point_ops(self, inputs: Any) -> int:
        """Return 0: nobody reads it, and a rollout's length is not known before it is made."""
        return 0


def token_rewards(scores_B: Tensor, kl_BT: Tensor, said_BT: Tensor, price: float) -> Tensor:
    """Return each token's reward: minus the price of its KL, and on the last one the answer's score.

    Source: Ziegler et al. 2019, equation 2, per token.
    """
    rewards_BT = -price * kl_BT
    last_B1 = said_BT.long().sum(1, keepdim=True) - 1
    return rewards_BT.scatter_add(1, last_B1, scores_B.unsqueeze(1)) * said_BT


def advantages(rewards_BT: Tensor, values_BT: Tensor, said_BT: Tensor) -> Tensor:
    """Return the generalised advantage of each token; what comes after an answer's end is worth nothing.

    Source: Schulman et al. 2016, equation 16.
    """
    found, ahead_B, next_B = [], torch.zeros_like(rewards_BT[:, 0]), torch.zeros_like(rewards_BT[:, 0])
    for t in reversed(range(rewards_BT.shape[1])):
        delta_B = rewards_BT[:, t] + GAMMA * next_B - values_BT[:, t]
        ahead_B = (delta_B + GAMMA * LAMBDA * ahead_B) * said_BT[:, t]
        next_B = values_BT[:, t] * said_BT[:, t]
        found.append(ahead_B)
    return torch.stack(found[::-1], dim=1)


def steered(price: float, kl: float, target: float) -> float:
    """Return the next price of KL, given what an answer's KL was (nats). Source: Ziegler et al. 2019, equation 4."""
    miss = max(-STEER_CLIP, min(STEER_CLIP, kl / target - 1))
    return price * (1 + STEER * miss)


def whiten(values_BT: Tensor, counts_BT: Tensor) -> Tensor:
    """Return the values with mean 0 and variance 1 over those that count, and 0 elsewhere."""
    center = mean(values_BT, counts_BT)
    spread = mean((values_BT - center) ** 2, counts_BT)
    return (values_BT - center) * torch.rsqrt(spread + 1e-8) * counts_BT


def mean(values_BT: Tensor, counts_BT: Tensor) -> Tensor:
    """Return the mean over those that count; 0 where none does."""
    return (values_BT * counts_BT).sum() / counts_BT.sum().clamp(min=1)


def build(job: Job, model: Any, tokenizer: Any, rows: Sequence[dict[str, Any]], scratch: str) -> Any:
    """Return a trainer over the prompts of `rows` (messages, reference, choices, scorer): `batch` of them a step.

    Raises: TrainerError for adapter = 'full': the base is the policy without its adapter, and there has to be one.
    """
    shape = lora(job)
    if shape is None:
        raise TrainerError(
            "method = 'ppo' compares with the base under an adapter, and there is none.", "adapter = 'lora'"
        )
    asked = [row for row in rows if "scorer" in row]
    told = arguments(job, scratch, len(asked))
    told.pop("max_length")
    told |= {"remove_unused_columns": False, "gradient_accumulation_steps": 1}
    return PpoTrainer(get_peft_model(model, shape), TrainingArguments(**told), asked, tokenizer, job)
