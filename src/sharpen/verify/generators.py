"""Suites that are drawn, not written: the tasks of reasoning-gym, each graded by its own verifier.

In: a task's name, its parameters, a seed, a size. Out: cases and their grader. Must not know models or who asks.
Source: Stojanovski et al. 2025, Reasoning Gym, arXiv:2505.24760.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any

from sharpen.errors import ConfigError, Refused
from sharpen.plugins import part
from sharpen.records import Case, Message
from sharpen.verify.cases import make_case
from sharpen.verify.scorers import checked
from sharpen.verify.specs import nearest

Grader = Callable[[Case, str], tuple[float | None, str | None]]

GENERATOR = "reasoning-gym:"
LONGEST_REPLY_CHARS = 20_000  # chosen: far above any task's answer; some verifiers take quadratic time

# Their verifiers hand the reply to Python's eval or sympy's parse_expr: a model's text would run as code.
RUN_THE_REPLY = frozenset({
    "binary_matrix", "countdown", "intermediate_integration", "n_queens", "polynomial_multiplication", "puzzle24",
    "simple_integration", "spiral_matrix", "string_insertion",
})  # fmt: skip


def draw(name: str, settings: Mapping[str, str], *, seed: int, size: int) -> tuple[tuple[Case, ...], Grader]:
    """Return a task's cases and what grades their replies; a prompt that comes twice counts once.

    Raises: ConfigError with the nearest name; MissingExtra; Refused for verifiers that would run a reply as code.
    """
    gym = part("reasoning_gym")
    known: dict[str, Any] = part("reasoning_gym.factory").DATASETS
    if name not in known:
        raise ConfigError(f"reasoning-gym has no task '{name}'.", nearest(name, known))
    if name in RUN_THE_REPLY or name == "composite":
        raise Refused(f"reasoning-gym's verifier of '{name}' can run a model's reply as code.", "use another task")
    parameters = _parameters(name, settings, known[name][1])
    try:
        dataset = gym.create_dataset(name, seed=seed, size=size, **parameters)
        entries = list(dataset)
    except (AssertionError, TypeError, ValueError) as error:
        raise ConfigError(f"reasoning-gym:{name} cannot be drawn: {error}", "check its parameters") from error
    cases: dict[str, Case] = {}
    entry_of: dict[str, Any] = {}
    for entry in entries:
        answer = "" if entry["answer"] is None else str(entry["answer"])
        case = make_case([Message(role="user", content=str(entry["question"]))], answer)
        cases.setdefault(case.id, case)
        entry_of.setdefault(case.id, entry)

    def grader(case: Case, reply: str) -> tuple[float | None, str | None]:
        if case.id not in entry_of:
            return None, f"the case is not one of {name}"
        if len(reply) > LONGEST_REPLY_CHARS:
            return None, f"the reply has {len(reply)} characters, more than {LONGEST_REPLY_CHARS}"
        try:
            return checked(dataset.score_answer(reply.strip(), entry_of[case.id]))
        except Exception as error:
            return None, f"the verifier failed: {type(error).__name__}: {error}"[:500]

    return tuple(cases.values()), grader


def _parameters(name: str, given: Mapping[str, str], settings: type[Any]) -> dict[str, Any]:
    """Check the parameters' names; values are JSON where they can be."""
    allowed = set(inspect.signature(settings).parameters) - {"seed", "size"}
    parameters: dict[str, Any] = {}
    for key, value in given.items():
        if key not in allowed:
            raise ConfigError(f"reasoning-gym:{name} has no parameter '{key}'.", nearest(key, allowed))
        try:
            parameters[key] = json.loads(value)
        except json.JSONDecodeError:
            parameters[key] = value
    return parameters
