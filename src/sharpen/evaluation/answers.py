"""What an arm answers: written, turn by turn, or the likeliness of each choice; each computed once.

In: an engine, a cache, an arm, cases. Out: one `Answered` per case. Must not know scorers or Score records.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sharpen.evaluation.arms import Arm
from sharpen.evaluation.cache import GenerationCache, example_digest
from sharpen.memory.recall import Pair, with_examples
from sharpen.models.engine import Engine, Generation, Prompt, Request
from sharpen.records import Case, Message, content_hash
from sharpen.verify.cases import CHOICE_KINDS


@dataclass(frozen=True, slots=True)
class Answered:
    """A reply, or the log-probability of each choice (nats), or the reason why there is neither."""

    reply: str | None = None
    logprobs: tuple[float, ...] = ()
    error: str | None = None


class Answers:
    """Asks an engine greedily, and a cache first."""

    def __init__(
        self, engine: Engine, *, max_new_tokens: int, seed: int = 0, cache: GenerationCache | None = None
    ) -> None:
        self._engine = engine
        self._max_new_tokens = max_new_tokens
        self._seed = seed
        self._cache = cache

    def of(self, arm: Arm, cases: Sequence[Case]) -> list[Answered]:
        """Answer cases of any kinds, batched by kind; the results are in the order of the cases.

        Raises: EngineError when the version is not loaded.
        """
        answered: dict[int, Answered] = {}
        for kinds, answer in ((("reply",), self._written), (("dialogue",), self._spoken), (CHOICE_KINDS, self._chosen)):
            places = [place for place, case in enumerate(cases) if case.kind in kinds]
            if places:
                answered |= zip(places, answer(arm, [cases[place] for place in places]), strict=True)
        return [answered[place] for place in range(len(cases))]

    def _written(self, arm: Arm, cases: Sequence[Case]) -> list[Answered]:
        return self._generate(arm, [case.messages for case in cases])

    def _spoken(self, arm: Arm, cases: Sequence[Case]) -> list[Answered]:
        """Let the arm answer each turn of the user before the next is said; its last answer counts."""
        done: dict[int, Answered] = {}
        heard: list[tuple[Message, ...]] = [()] * len(cases)
        left = {place: list(case.messages) for place, case in enumerate(cases)}
        while left:
            for place, turns in left.items():
                users = [at for at, turn in enumerate(turns) if turn.role == "user"]
                upto = users[0] + 1 if users else len(turns)
                heard[place] += tuple(turns[:upto])
                del turns[:upto]
            places = list(left)
            for place, answer in zip(places, self._generate(arm, [heard[place] for place in places]), strict=True):
                if answer.reply is None or not left[place]:
                    done[place] = answer
                    del left[place]
                else:
                    heard[place] += (Message(role="assistant", content=answer.reply),)
        return [done[place] for place in range(len(cases))]

    def _generate(self, arm: Arm, prompts: Sequence[Prompt]) -> list[Answered]:
        """Answer prompts. A failed generation is not kept: the next attempt may succeed."""
        shots = [arm.examples(prompt) for prompt in prompts]
        requests = [
            Request(with_examples(prompt, some), max_new_tokens=self._max_new_tokens, seed=self._seed)
            for prompt, some in zip(prompts, shots, strict=True)
        ]
        names = [self._name(arm, "reply", _sampled(request)) for request in requests]
        kept = self._cache.get(names) if self._cache else {}
        missing = [place for place, name in enumerate(names) if name not in kept]
        fresh = self._engine.generate([requests[place] for place in missing], arm.version_id) if missing else []
        answered = {name: Answered(reply=body["reply"]) for name, body in kept.items()}
        answered |= {names[place]: _read(generation) for place, generation in zip(missing, fresh, strict=True)}
        replies = {names[place]: answered[names[place]].reply for place in missing}
        bodies = {name: {"reply": reply} for name, reply in replies.items() if reply is not None}
        self._keep(bodies, dict(zip(names, shots, strict=True)))
        return [answered[name] for name in names]

    def _chosen(self, arm: Arm, cases: Sequence[Case]) -> list[Answered]:
        """Ask for the log-probability of each choice: the sum over its tokens and the end of the turn."""
        shots = [arm.examples(case.messages) for case in cases]
        prompts = [with_examples(case.messages, some) for case, some in zip(cases, shots, strict=True)]
        names = [
            self._name(arm, "logprobs", [_words(prompt), list(case.choices)])
            for prompt, case in zip(prompts, cases, strict=True)
        ]
        kept = self._cache.get(names) if self._cache else {}
        missing = [place for place, name in enumerate(names) if name not in kept]
        asked, choices = [prompts[place] for place in missing], [cases[place].choices for place in missing]
        fresh = self._engine.logprobs(asked, choices, arm.version_id) if missing else []
        rows = {name: tuple(body["logprobs"]) for name, body in kept.items()}
        rows |= {names[place]: tuple(row) for place, row in zip(missing, fresh, strict=True)}
        answered = {name: _weighed(rows[name], case) for name, case in zip(names, cases, strict=True)}
        known = [names[place] for place in missing if answered[names[place]].error is None]
        self._keep({name: {"logprobs": list(rows[name])} for name in known}, dict(zip(names, shots, strict=True)))
        return [answered[name] for name in names]

    def _name(self, arm: Arm, what: str, asked: Any) -> str:
        """Return the hash of everything that determines an answer: the weights, the template, the prompt, how."""
        model = [self._engine.base_digest, self._engine.template_digest, arm.version_id]
        return content_hash([what, model, asked], 32)

    def _keep(self, bodies: dict[str, dict[str, Any]], shots: dict[str, list[Pair]]) -> None:
        if self._cache and bodies:
            self._cache.put(bodies, {name: [example_digest(pair) for pair in shots[name]] for name in bodies})


def _words(prompt: Prompt) -> list[list[str]]:
    return [[turn.role, turn.content] for turn in prompt]


def _sampled(request: Request) -> list[Any]:
    how = [request.max_new_tokens, request.temperature, request.top_p, request.seed, list(request.stop)]
    return [_words(request.messages), how]


def _read(generation: Generation) -> Answered:
    if generation.finish_reason in ("error", "cancelled"):
        return Answered(error=generation.error or f"generation was {generation.finish_reason}")
    return Answered(reply=generation.text)


def _weighed(row: tuple[float, ...], case: Case) -> Answered:
    if len(case.choices) < 2:
        return Answered(error="the case has fewer than two choices")
    if len(row) != len(case.choices) or any(math.isnan(value) for value in row):
        return Answered(error="the engine gave no log-probability for a choice")
    return Answered(logprobs=row)
