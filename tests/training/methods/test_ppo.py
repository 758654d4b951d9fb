from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.methods.conftest import PROMPTS, job_of, recipe_of
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

from sharpen.training.methods import ppo

SAID = torch.tensor([[True, True, True, True], [True, True, False, False]])


@pytest.fixture
def trainer(toy_base: Path, tmp_path: Path) -> Any:
    job = job_of(toy_base, tmp_path, recipe_of("ppo", samples=4, max_new_tokens=5, temperature=0.8), PROMPTS)
    set_seed(0)
    model = AutoModelForCausalLM.from_pretrained(toy_base, dtype=torch.float32)
    return ppo.build(job, model, AutoTokenizer.from_pretrained(toy_base), PROMPTS, str(tmp_path / "scratch"))


def test_an_advantage_is_the_discounted_sum_of_what_came_better_than_expected() -> None:
    generator = torch.Generator().manual_seed(0)
    rewards, values = (torch.randn(2, 4, generator=generator) * SAID for _ in range(2))
    found = ppo.advantages(rewards, values, SAID)
    for row, length in enumerate((4, 2)):
        ahead = [*values[row, 1:length].tolist(), 0.0]
        deltas = [rewards[row, t].item() + ahead[t] - values[row, t].item() for t in range(length)]
        for t in range(length):
            expected = sum((ppo.GAMMA * ppo.LAMBDA) ** (k - t) * deltas[k] for k in range(t, length))
            assert found[row, t].item() == pytest.approx(expected, abs=1e-6)
        assert found[row, length:].tolist() == [0.0] * (4 - length)


def test_the_score_comes_with_the_last_token_and_kl_is_paid_for_each() -> None:
    kl = torch.tensor([[0.1, 0.2, 0.3, 0.4], [1.0, 2.0, 0.0, 0.0]])
    found = ppo.token_rewards(torch.tensor([1.0, 0.5]), kl, SAID, 0.1)
    expected = torch.tensor([[-0.01, -0.02, -0.03, 0.96], [-0.1, 0.3, 0.0, 0.0]])
    torch.testing.assert_close(found, expected)


def test_whitened_values_have_mean_0_and_variance_1_where_they_count() -> None:
    values = torch.tensor([[1.0, 2.0, 3.0, 4.0], [9.0, 5.0, 100.0, 100.0]])
    found = ppo.whiten(values, SAID)[SAID]
    assert found.mean().item() == pytest.approx(0, abs=1e-6) and found.var(correction=0).item() == pytest.approx(1)
    assert ppo.whiten(values, torch.zeros_like(SAID)).abs().sum() == 0


@pytest.mark.parametrize(("kl", "price"), [(6.0, 0.1), (6.3, 0.1005), (60.0, 0.102), (0.0, 0.098)])
def test_the_price_of_kl_is_steered_to_its_target_by_a_bounded_step(kl: float, price: float) -> None:
    assert ppo.steered(0.1, kl, 6.0) == pytest.approx(price)


def test_what_is_learned_from_is_the_probability_that_the_answer_was_sampled_with(trainer: Any) -> None:
    """Left padding, temperature and the end of an answer: any of them misread would show here."""
    asked = [PROMPTS[0] | {"messages": [{"role": "user", "content": "x" * n}]} for n in (1, 30)]
    model = trainer.model.eval()
    rollout = trainer.sampler.sample(model, asked)
    with torch.no_grad():
        logprobs, _ = trainer.look(model, rollout)
        for row in range(2):
            ids = rollout.ids[row][rollout.seen[row].bool()]  # alone, without padding
            count = int(rollout.said[row].sum())
            logits = model(ids.unsqueeze(0)).logits[0, -count - 1 : -1] / 0.8
            alone = torch.log_softmax(logits, -1).gather(1, ids[-count:].unsqueeze(1)).squeeze(1)
            torch.testing.assert_close(logprobs[row][rollout.said[row]], alone, atol=1e-4, rtol=1e-4)


def test_before_a_step_nothing_is_clipped_and_the_base_is_not_left(trainer: Any) -> None:
    model = trainer.model.eval()
    seen = trainer.experience(model, PROMPTS * 2)
    told = trainer.state.log_history[-1]
    assert told["kl"] == pytest.approx(0, abs=1e-5) and math.isfinite(told["reward"])
    loss = trainer.loss(model, seen, torch.arange(8))
    # Every ratio is 1: the policy's part is minus the mean of the whitened advantages, and the value's part remains.
    returns = seen.returns[seen.counts]
    assert loss.item() == pytest.approx(ppo.VALUE_WEIGHT * 0.5 * (returns**2).mean().item(), abs=1e-5)
    loss.backward()
    assert trainer.model.value_head.weight.grad.abs().sum() > 0


def test_an_answer_that_nobody_can_grade_teaches_nothing(trainer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    given = iter([None, 1.0, 0.0, None])
    monkeypatch.setattr(trainer.verifier.__class__, "__call__", lambda self, row, text: next(given))
    seen = trainer.experience(trainer.model.eval(), PROMPTS)
    assert seen.counts.any(dim=1).tolist() == [False, True, True, False]
    assert seen.advantages[0].tolist() == [0.0] * 5
    assert trainer.state.log_history[-1]["reward"] == 0.5


def test_the_price_of_kl_goes_on_from_the_log(trainer: Any) -> None:
    assert trainer.kl_price == trainer.recipe.kl == 0.0
    trainer.state.log_history += [{"kl_price": 0.1, "kl": 60.0}, {"loss": 1.0}]
    assert trainer.kl_price == 0.1
    trainer.recipe = trainer.recipe.model_copy(update={"kl_target": 6.0})
    assert trainer.kl_price == pytest.approx(0.102)
