"""Tokens per second: our engine's batch against `transformers.generate`, one prompt at a time.

In: nothing, or another base. Out: figures of both, their ratio, and the share of answers that are equal. Must not know
who reads them.

The promise is a ratio of at least 4. Both sides answer the same prompts greedily, with the same limits, on the same
weights in memory, in turns, so that a machine that is slow for a minute is slow for both. The better round of each
counts: other programs only ever make a round slower. Answers may differ where two tokens are equally likely to within
rounding, since a batch adds up its numbers in another order.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from sharpen.benchmarks import machine, publish
from sharpen.config import SMOLLM2
from sharpen.models.engine import Request
from sharpen.plugins import part
from sharpen.records import Message

PROMISE = 4.0
ROUNDS = 2
LIMITS = (8, 16, 32, 64, 96, 24)  # chosen: from a label to a paragraph
SYSTEMS = ("", "You are a patient teacher. Answer in plain words.", "Reply in one short sentence.")
QUESTIONS = (
    "What is the capital of Norway?",
    "Explain why the sky is blue to a child of six.",
    "A train leaves at 9:40 and arrives at 13:05. How long is the journey?",
    "Write a polite reply to a customer whose parcel is two weeks late and who wants the delivery fee back.",
    "List three uses of baking soda.",
    "Which is heavier: a kilogram of feathers or a kilogram of lead?",
    "Summarise in one sentence: The council met on Tuesday to discuss the new bridge. After four hours it agreed on "
    "the northern route, which costs more but spares the old market. Work begins in spring.",
    "Translate 'good morning' into French.",
    "How do I stop my bicycle chain from squeaking?",
    "Name the planets of the solar system in order from the sun.",
    "What does HTTP status 404 mean, and how does it differ from 410?",
    "I have eggs, rice, two tomatoes and half an onion. What can I cook in twenty minutes?",
    "Correct the grammar: She don't likes when it rain.",
    "What is 17 times 23?",
    "Give me a title for a story about a lighthouse keeper who finds a message in a bottle that he wrote himself.",
    "Who wrote 'The Old Man and the Sea'?",
)


def requests() -> list[Request]:
    """Return 48 requests: every question under every system message, with limits that take turns."""
    asked = [(system, question) for system in SYSTEMS for question in QUESTIONS]
    return [
        Request(
            [*([Message(role="system", content=system)] if system else []), Message(role="user", content=question)],
            max_new_tokens=LIMITS[i % len(LIMITS)],
        )
        for i, (system, question) in enumerate(asked)
    ]


def measure(base: str = SMOLLM2, rounds: int = ROUNDS) -> dict[str, object]:
    """Return the figures. Raises: ConfigError, EngineError when the base is not there; MissingExtra."""
    torch, transformers = part("torch"), part("transformers")
    from sharpen.models.transformers_engine import TransformersEngine
    from sharpen.models.weights import resolve

    folder = resolve(base)
    engine = TransformersEngine(folder)
    engine.load("base", None)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, use_safetensors=True).eval()
    wanted = requests()

    def ours() -> tuple[float, int, list[str]]:
        started = time.perf_counter()
        answers = engine.generate(wanted, "base")
        seconds = time.perf_counter() - started
        return seconds, sum(answer.completion_tokens for answer in answers), [answer.text for answer in answers]

    def theirs() -> tuple[float, int, list[str]]:
        started, tokens, texts = time.perf_counter(), 0, []
        for request in wanted:
            written = _one(torch, model, tokenizer, request)
            tokens += len(written)
            texts.append(tokenizer.decode(written, skip_special_tokens=True).rstrip("\ufffd"))
        return time.perf_counter() - started, tokens, texts

    _one(torch, model, tokenizer, wanted[0])  # both have been warm once before the clock starts
    engine.generate(wanted[:1], "base")
    turns = [(ours(), theirs()) for _ in range(rounds)]
    mine, peer = max(tokens / s for (s, tokens, _), _ in turns), max(tokens / s for _, (s, tokens, _) in turns)
    (_, tokens, texts), (_, _, peer_texts) = turns[0]
    return {
        "benchmark": "generation",
        "base": base,
        "prompts": len(wanted),
        "tokens": tokens,
        "rounds": [{"ours_s": round(a[0], 2), "transformers_s": round(b[0], 2)} for a, b in turns],
        "ours_tokens_per_s": round(mine, 1),
        "transformers_tokens_per_s": round(peer, 1),
        "ratio": round(mine / peer, 2),
        "promised_ratio": PROMISE,
        "equal_answers_share": round(sum(a == b for a, b in zip(texts, peer_texts, strict=True)) / len(texts), 3),
        "machine": machine("torch", "transformers") | {"threads": torch.get_num_threads()},
    }


def _one(torch: Any, model: Any, tokenizer: Any, request: Request) -> list[int]:
    """Answer one request as the documentation of Transformers does; return the tokens without the end mark."""
    turns = [message.model_dump() for message in request.messages]
    inputs = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True, return_tensors="pt")
    with torch.inference_mode():
        out = model.generate(**inputs, max_new_tokens=request.max_new_tokens, do_sample=False)
    written: list[int] = out[0][inputs["input_ids"].shape[1] :].tolist()
    return written[:-1] if written and written[-1] == tokenizer.eos_token_id else written


def main() -> None:
    """Run from the command line; `--tiny` takes a random model of a million parameters, to see that it runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a random model of a million parameters")
    parser.add_argument("--base", default=SMOLLM2, help="the weights: model id, folder, GGUF file or package:NAME")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns of each side")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    if not given.tiny:
        publish(measure(given.base, given.rounds), given.json)
        return
    from sharpen.testing import tiny_model

    with tempfile.TemporaryDirectory() as folder:
        publish(measure(str(tiny_model(Path(folder) / "tiny", texts=QUESTIONS)), given.rounds), given.json)


if __name__ == "__main__":
    main()
