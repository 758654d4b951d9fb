"""Scorers that check the form of a reply: a regular expression, or a JSON schema.

In: a reply, and the pattern or schema as reference. Out: 0 or 1. Must not know models.

The suite's author wrote the pattern, but the model wrote the text: every match has a time limit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from sharpen.plugins import part
from sharpen.verify.scorers.registry import Unscored, scorer

TIMEOUT_S = 1.0  # chosen: an honest pattern needs microseconds
_FENCE = re.compile(r"```(?:json)?[ \t]*\n(.*?)```", re.DOTALL)


def _found(expression: str, text: str) -> bool:
    """Search a text. Raises: Unscored when the expression is wrong, or takes more than TIMEOUT_S seconds."""
    regex = part("regex")
    try:
        return regex.search(expression, text, timeout=TIMEOUT_S) is not None
    except regex.error as error:
        raise Unscored(f"the reference is no regular expression: {error}") from error
    except TimeoutError as error:
        raise Unscored(f"the regular expression took more than {TIMEOUT_S:g} s") from error


@scorer
def pattern(reply: str, reference: str) -> float:
    r"""Return 1 if the regular expression that is the reference is found in the reply; `\A...\Z` wants all of it.

    >>> pattern("Order 4711 is on its way.", r"\b\d{4}\b"), pattern("no", r"\Ayes\Z")
    (1.0, 0.0)
    """
    return float(_found(reference, reply))


@scorer
def json_schema(reply: str, reference: str) -> float:
    """Return 1 if the reply is JSON that keeps to the JSON schema that is the reference; a code fence is taken off.

    References lead only inside the schema: nothing is fetched. `patternProperties` is not checked here.

    >>> json_schema('{"age": 3}', '{"type": "object", "required": ["age"]}')
    1.0
    """
    jsonschema, referencing = part("jsonschema"), part("referencing")
    try:
        schema = json.loads(reference)
        if "patternProperties" in reference:
            raise Unscored("the schema has patternProperties, which has no time limit")
        kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        kind.check_schema(schema)
    except (ValueError, RecursionError, jsonschema.SchemaError) as error:
        raise Unscored(f"the reference is no JSON schema: {error}"[:300]) from error
    fenced = _FENCE.findall(reply)
    try:
        value = json.loads(fenced[-1] if fenced else reply, parse_constant=_refuse)
        bounded = jsonschema.validators.extend(kind, {"pattern": _bounded_pattern})
        return float(bounded(schema, registry=referencing.Registry()).is_valid(value))
    except (ValueError, RecursionError):
        return 0.0
    except referencing.exceptions.Unresolvable as error:
        raise Unscored(f"the schema refers to something outside of it: {error}"[:300]) from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _bounded_pattern(validator: Any, expression: str, value: Any, schema: Any) -> Iterator[Exception]:
    if validator.is_type(value, "string") and not _found(expression, value):
        yield part("jsonschema").ValidationError(f"does not match {expression!r}")
