"""CPU-seconds to read one answer for four critics: together, and one after the other.

In: nothing, or another base. Out: CPU-seconds of both, their ratio, and whether the critics said the same. Must not
know who reads them.

The promise is a ratio of at least 2.3. Four critics of one answer ask about the same 512 tokens, each with 48 of its
own; the engine reads what they share once. The peer is the same engine, asked four times. Each side has its rounds in
turns, and the better one counts.
"""

from __future__ import annotations

import time
from typing import Any

from sharpen.benchmarks import machine, sources
from sharpen.config import SMOLLM2
from sharpen.models.engine import Request
from sharpen.plugins import part
from sharpen.records import Message

PROMISE = 2.3
ROUNDS = 3
CONTEXT_TOKENS = 512
SUFFIX_TOKENS = 48
CONTEXT = (
    "A customer writes that the kettle he bought in March leaks at the base, that the shop on Mill Street sent him "
    "away because he had lost the receipt, and that the card statement ought to be proof enough. The answer says that "
    "a statement is accepted as proof of purchase, that a leak within two years is the seller's to repair or replace, "
    "that the shop will collect the kettle on a weekday of his choice, and that a refund follows only if the second "
    "kettle fails as well. It adds that descaling every month would have prevented the leak, and wishes him a good "
    "week. The customer had also asked whether he may keep the filter he bought with it, which the answer passes over. "
)
CRITICS = (
    "Does the answer promise anything that the shop may be unable to keep? Name the sentence. ",
    "Is there a claim in the answer that nothing in the message supports? Quote it. ",
    "Which of the customer's questions did the answer leave open? List them. ",
    "Would an impatient reader find the tone of the answer fair? Say why. ",
)


def requests(tokenizer: Any, max_new_tokens: int) -> list[Request]:
    """Return four requests that share their first 512 tokens or so and end in 48 of their own."""
    shared = _cut(tokenizer, CONTEXT * 8, CONTEXT_TOKENS)
    return [
        Request([Message(role="user", content=shared + _cut(tokenizer, critic * 8, SUFFIX_TOKENS))], max_new_tokens)
        for critic in CRITICS
    ]


def measure(base: str = SMOLLM2, rounds: int = ROUNDS) -> dict[str, object]:
    """Return the figures. Raises: ConfigError, EngineError when the base is not there; MissingExtra."""
    torch, transformers = part("torch"), part("transformers")
    from sharpen.models.transformers_engine import TransformersEngine
    from sharpen.models.weights import resolve

    folder = resolve(base)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    engine = TransformersEngine(folder)
    engine.load("base", None)
    reading = requests(tokenizer, 1)

    def together() -> float:
        started = time.process_time()
        engine.generate(reading, "base")
        return time.process_time() - started

    def apart() -> float:
        started = time.process_time()
        for request in reading:
            engine.generate([request], "base")
        return time.process_time() - started

    engine.generate(reading[:1], "base")  # warm once before the clock starts
    turns = [(together(), apart()) for _ in range(rounds)]
    ours, peer = min(ours for ours, _ in turns), min(peer for _, peer in turns)
    writing = requests(tokenizer, 16)
    alone = [engine.generate([request], "base")[0].text for request in writing]
    return {
        "benchmark": "prefix",
        "base": base,
        "critics": len(reading),
        "prompt_tokens": [one.prompt_tokens for one in engine.generate(reading, "base")],
        "rounds": [{"together_cpu_s": round(a, 3), "apart_cpu_s": round(b, 3)} for a, b in turns],
        "ratio": round(peer / ours, 2),
        "promised_ratio": PROMISE,
        "equal_answers": [one.text for one in engine.generate(writing, "base")] == alone,
        **sources(),
        "machine": machine("torch", "transformers") | {"threads": torch.get_num_threads()},
    }


def _cut(tokenizer: Any, text: str, tokens: int) -> str:
    return str(tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)[:tokens]))
