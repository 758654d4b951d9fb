from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from sharpen.config import ModelsSection
from sharpen.models import decoding
from sharpen.models.decoding import Decoder, Row, shared_prefix
from sharpen.models.engine import Job, Request
from sharpen.models.transformers_engine import TransformersEngine
from sharpen.records import Message

Reference = Callable[[Sequence[Request]], list[str]]


def ask(text: str, limit: int = 12, **fields: Any) -> Request:
    return Request([Message(role="user", content=text)], max_new_tokens=limit, **fields)


def texts(engine: TransformersEngine, requests: Sequence[Request], version: str = "base") -> list[str]:
    return [answer.text for answer in engine.generate(requests, version)]


def run(engine: TransformersEngine, jobs: Sequence[Job]) -> list[str]:
    while any(not job.done for job in jobs):
        assert engine.step()
    return [job.result.text for job in jobs if job.result]


def test_a_batch_answers_as_transformers_does_one_at_a_time(
    engine: TransformersEngine, asked: list[Request], reference: Reference
) -> None:
    expected = reference(asked)
    assert len(set(expected)) > len(asked) // 2  # the model's answers differ, so a mix-up would show
    assert texts(engine, asked) == expected


@pytest.mark.parametrize("rows", [1, 2, 32])
def test_the_number_of_rows_changes_nothing(base: Path, rows: int, asked: list[Request], reference: Reference) -> None:
    engine = TransformersEngine(base, ModelsSection(max_rows=rows))
    engine.load("base", None)
    assert texts(engine, asked) == reference(asked)


def test_a_shared_beginning_is_read_once_and_changes_nothing(
    engine: TransformersEngine, asked: list[Request], reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = 0
    forward = Decoder._forward

    def counting(self: Decoder, ids_BS: Any, *rest: Any, **more: Any) -> Any:
        nonlocal read
        read += ids_BS.numel()
        return forward(self, ids_BS, *rest, **more)

    monkeypatch.setattr(Decoder, "_forward", counting)
    alike = [one for one in asked if one.messages[0].role == "system"]
    kept = texts(engine, alike)
    with_prefix, read = read, 0
    monkeypatch.setattr(decoding, "MIN_PREFIX_TOKENS", 10_000)
    assert texts(engine, alike) == kept == reference(alike)
    assert with_prefix < read / 2


def test_prefills_stay_bounded_when_prompts_have_nothing_in_common(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "MAX_PREFILL_TOKENS", 64)
    decoder = Decoder(engine._model, max_rows=32)
    alike = [[*range(100, 140), i] for i in range(4)]
    for prompt in [alike[0], alike[1], list(range(200, 241)), alike[2], alike[3]]:
        decoder.add(Row(prompt, 1, lambda logits: 0, lambda row, token: True, lambda error: None))
    group = decoder._next_group(32)
    common = min(shared_prefix(group[0].prompt, row.prompt) for row in group)
    assert len(group) * (41 - min(common, 40)) <= 64
    assert len(group) >= 2


def test_rows_that_join_midway_answer_as_if_alone(
    engine: TransformersEngine, asked: list[Request], reference: Reference
) -> None:
    jobs: list[Job] = []
    for request in asked:
        jobs.append(Job(request, "base"))
        engine.start(jobs[-1])
        engine.step()
        engine.step()
    assert run(engine, jobs) == reference(asked)
    assert engine.step() is False


def test_a_cancelled_job_leaves_and_its_neighbours_go_on(engine: TransformersEngine, reference: Reference) -> None:
    requests = [ask(f"tell me about {word}", 30) for word in ("rain", "snow", "wind", "hail", "sun")]
    jobs = [Job(request, "base") for request in requests]
    for job in jobs:
        engine.start(job)
    for _ in range(8):
        engine.step()
    engine.cancel(jobs[1])
    engine.cancel(jobs[4])  # this one still waits: there are four rows
    engine.cancel(jobs[1])
    run(engine, jobs)
    expected = reference(requests)
    assert [jobs[i].result.text for i in (0, 2, 3)] == [expected[i] for i in (0, 2, 3)]  # type: ignore[union-attr]
    assert jobs[1].result is not None and jobs[4].result is not None
    assert (jobs[1].result.finish_reason, jobs[4].result.finish_reason) == ("cancelled", "cancelled")
    assert 0 < jobs[1].result.completion_tokens < 30 and jobs[4].result.completion_tokens == 0
    assert expected[1].startswith(jobs[1].result.text)


def test_a_listener_may_cancel_itself_and_others(engine: TransformersEngine, reference: Reference) -> None:
    requests = [ask(f"number {i}", 16) for i in range(4)]
    jobs = [Job(request, "base") for request in requests]

    def stop(_: str) -> None:
        engine.cancel(jobs[0])
        engine.cancel(jobs[2])

    jobs[0].on_text = stop
    for job in jobs:
        engine.start(job)
    run(engine, jobs)
    assert [job.result.finish_reason for job in jobs if job.result] == ["cancelled", "length", "cancelled", "length"]
    assert [jobs[i].result.text for i in (1, 3)] == [reference(requests)[i] for i in (1, 3)]  # type: ignore[union-attr]


def test_a_listener_that_raises_ends_only_its_own_job(engine: TransformersEngine, reference: Reference) -> None:
    def fail(piece: str) -> None:
        raise OSError("the client is gone")

    requests = [ask(f"number {i}", 16) for i in range(3)]
    jobs = [Job(requests[0], "base"), Job(requests[1], "base", on_text=fail), Job(requests[2], "base")]
    for job in jobs:
        engine.start(job)
    run(engine, jobs)
    assert jobs[1].result is not None and jobs[1].result.finish_reason == "error"
    assert "the client is gone" in (jobs[1].result.error or "")
    assert [jobs[i].result.text for i in (0, 2)] == [reference(requests)[i] for i in (0, 2)]  # type: ignore[union-attr]


def test_a_failed_step_leaves_the_engine_usable(
    engine: TransformersEngine, asked: list[Request], reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, forward = 0, engine._model.forward

    def failing(*args: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 7:
            raise RuntimeError("out of memory")
        return forward(*args, **more)

    monkeypatch.setattr(engine._model, "forward", failing)
    waiting = Job(ask("I was here before", 30), "base")
    engine.start(waiting)
    engine.step()
    with pytest.raises(RuntimeError, match="out of memory"):
        engine.generate(asked, "base")
    assert texts(engine, asked) == reference(asked)
    assert run(engine, [waiting]) == reference([waiting.request])


def test_a_prompt_that_is_too_long_is_a_result_not_an_exception(engine: TransformersEngine) -> None:
    long, short = engine.generate([ask("word " * 3000), ask("hello", 3)], "base")
    assert long.finish_reason == "error" and "at most 1023 fit" in (long.error or "")
    assert long.prompt_tokens > 1024 and long.completion_tokens == 0
    assert short.completion_tokens == 3 and short.finish_reason == "length"


def test_an_answer_never_runs_past_the_context(base: Path) -> None:
    engine = TransformersEngine(base, ModelsSection(max_context_tokens=64))
    engine.load("base", None)
    answer = engine.generate([ask("hello", 500)], "base")[0]
    assert answer.prompt_tokens + answer.completion_tokens == 64


def test_no_tokens_asked_for_gives_an_empty_answer(engine: TransformersEngine) -> None:
    answer = engine.generate([ask("hello", 0)], "base")[0]
    assert (answer.text, answer.completion_tokens, answer.finish_reason) == ("", 0, "length")


def test_samples_repeat_by_seed_and_do_not_depend_on_their_neighbours(engine: TransformersEngine) -> None:
    sample = {"temperature": 1.0, "top_p": 0.95}
    alone = [texts(engine, [ask("tell me", 20, seed=seed, **sample)])[0] for seed in (1, 2, 3)]
    neighbours = [ask(f"other {i}", 5 + i, seed=9, **sample) for i in range(5)]
    crowd = texts(engine, [*neighbours, *(ask("tell me", 20, seed=seed, **sample) for seed in (1, 2, 3))])
    assert crowd[5:] == alone
    assert len(set(alone)) == 3


def test_a_cold_or_narrow_sample_is_the_greedy_answer(engine: TransformersEngine, reference: Reference) -> None:
    greedy = reference([ask("tell me", 16)])[0]
    for settings in ({"temperature": 1e-30}, {"temperature": 1.5, "top_p": 0.0}, {"temperature": 0.001}):
        assert texts(engine, [ask("tell me", 16, seed=5, **settings)]) == [greedy]


def test_any_integer_is_a_seed(engine: TransformersEngine) -> None:
    for seed in (-1, 2**63, 2**200):
        assert engine.generate([ask("tell me", 4, temperature=1.0, seed=seed)], "base")[0].error is None


def test_earlier_calls_leave_no_trace_in_later_ones(
    base: Path, asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    def logits(warm: bool) -> list[torch.Tensor]:
        engine = TransformersEngine(base, ModelsSection(max_rows=4))
        engine.load("base", None)
        if warm:
            engine.generate([*asked[:3], *asked[5:]], "base")
            engine.logprobs([one.messages for one in asked[:4]], [["yes"]] * 4, "base")
        seen: list[torch.Tensor] = []
        write = Decoder._write
        with monkeypatch.context() as patch:
            patch.setattr(
                Decoder, "_write", lambda self, out, first: (seen.append(out.clone()), write(self, out, first))
            )
            engine.generate(asked, "base")
        return seen

    cold, warm = logits(False), logits(True)
    assert len(cold) == len(warm) > 20
    assert all(torch.equal(a, b) for a, b in zip(cold, warm, strict=True))  # to the last bit


def plain_logprobs(base: Path, prompts: Sequence[Request], completions: Sequence[Sequence[str]]) -> list[list[float]]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    results = []
    for request, replies in zip(prompts, completions, strict=True):
        turns = [message.model_dump() for message in request.messages]
        head = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)["input_ids"]
        row = []
        for text in replies:
            tail = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
            with torch.inference_mode():
                chances = model(torch.tensor([head + tail])).logits[0].log_softmax(-1)
            row.append(sum(float(chances[len(head) - 1 + i, token]) for i, token in enumerate(tail)))
        results.append(row)
    return results


def test_logprobs_are_those_of_a_plain_forward_pass(
    engine: TransformersEngine, base: Path, asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    replies = [["yes", "no, not at all, never", "", "perhaps"][: i % 5] for i in range(len(asked))]
    expected = plain_logprobs(base, asked, replies)
    prompts = [one.messages for one in asked]
    results = [engine.logprobs(prompts, replies, "base")]
    monkeypatch.setattr("sharpen.models.transformers_engine._PROMPTS_TOGETHER", 3)
    monkeypatch.setattr("sharpen.models.transformers_engine._COMPLETIONS_TOGETHER", 2)
    results.append(engine.logprobs(prompts, replies, "base"))
    for found in results:
        assert [len(row) for row in found] == [len(row) for row in replies]
        for row, expected_row in zip(found, expected, strict=True):
            assert row == pytest.approx(expected_row, abs=1e-3, rel=1e-4)


def test_a_completion_that_does_not_fit_has_no_logprob(engine: TransformersEngine) -> None:
    prompts = [ask("word " * 3000).messages, ask("hello").messages]
    (long, short) = engine.logprobs(prompts, [["yes", "no"], ["yes"]], "base")
    assert all(math.isnan(value) for value in long) and len(long) == 2
    assert short[0] < 0
