"""A policy's own answers, sampled while it trains, as tokens and as text.

In: a causal model, rows with messages. Out: token tensors of prompts and answers, and what the answers say. Must not
know any algorithm, or what makes an answer good.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig

from sharpen.training.job import Recipe

Tensor = Any


@dataclass(frozen=True)
class Rollout:
    """Answers to a batch of prompts. B answers, P prompt tokens (padded on the left), T answer tokens."""

    ids: Tensor  # (B, L) prompt and answer, L = P + T
    seen: Tensor  # (B, L) 1 where a token is no padding
    said: Tensor  # (B, T) True on the answer's tokens, the one that ends it included
    texts: tuple[str, ...]

    @property
    def answers(self) -> Tensor:
        """The answers' token ids, (B, T)."""
        return self.ids[:, -self.said.shape[1] :]


class Sampler:
    """Asks a model for answers, exactly as its own log-probabilities at that temperature say."""

    def __init__(self, tokenizer: Any, recipe: Recipe) -> None:
        self._tokenizer = tokenizer
        self._recipe = recipe

    def sample(self, model: Any, rows: Sequence[Mapping[str, Any]]) -> Rollout:
        """Return one sampled answer per row."""
        asked = [self._ids([*row["messages"]]) for row in rows]
        given = self._tokenizer.pad({"input_ids": asked}, padding_side="left", return_tensors="pt").to(model.device)
        own = model.generation_config.eos_token_id
        ends = torch.tensor(
            [self._tokenizer.eos_token_id] if own is None else [own] if isinstance(own, int) else [*own],
            device=model.device,
        )
        was_training, _ = model.training, model.eval()
        with torch.no_grad():
            ids_BL = model.generate(
                input_ids=given["input_ids"],
                attention_mask=given["attention_mask"],
                generation_config=GenerationConfig(
                    do_sample=True,
                    temperature=self._recipe.temperature,
                    top_k=0,  # off, as the next two: a filtered sample is of another policy than is trained
                    top_p=1.0,
                    repetition_penalty=1.0,
                    max_new_tokens=self._recipe.max_new_tokens,
                    eos_token_id=ends.tolist(),
                    pad_token_id=self._tokenizer.pad_token_id,
                ),
            )
        model.train(was_training)
        answers_BT = ids_BL[:, given["input_ids"].shape[1] :]
        ended_BT = torch.isin(answers_BT, ends).long().cumsum(1)
        said_BT = (ended_BT == 0) | ((ended_BT == 1) & torch.isin(answers_BT, ends))
        texts = [self._text(answer, said) for answer, said in zip(answers_BT, said_BT, strict=True)]
        seen_BL = torch.cat([given["attention_mask"], said_BT.to(given["attention_mask"].dtype)], dim=1)
        return Rollout(ids_BL, seen_BL, said_BT, tuple(texts))

    def _ids(self, messages: list[dict[str, str]]) -> list[int]:
        said = self._tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
        ids: list[int] = said["input_ids"]
        return ids

    def _text(self, answer_T: Tensor, said_T: Tensor) -> str:
        return str(self._tokenizer.decode(answer_T[said_T], skip_special_tokens=True)).strip()


def look_arguments(model: Any, seen_BL: Tensor, answer_tokens: int) -> dict[str, Any]:
    """Return what a model's forward pass is told beside its tokens, as far as it can be told.

    The positions that a batch padded on the left has, and to make logits for the answers' tokens alone.
    """
    known = inspect.signature(model.get_base_model().forward).parameters
    told = {
        "position_ids": (seen_BL.long().cumsum(1) - 1).clamp(min=0),
        "logits_to_keep": answer_tokens + 1,  # position t predicts token t+1
    }
    return {name: value for name, value in told.items() if name in known}
