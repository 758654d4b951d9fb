"""promptfoo asks our gateway the cases of a suite, and its results come back as Scores.

In: a suite's tier, the gateway's address, versions. Out: `promptfooconfig.yaml`; Scores read from promptfoo's output.
Must not know what is decided on them. promptfoo is a Node program in a folder of its own: `sharpen install promptfoo`.

promptfoo renders Nunjucks templates in prompts, variables and expected values, some of them more than once, and fills
in environment variables when it reads the file. So texts travel as JSON in which no brace, per cent or hash sign is
left (`\\u007b`), which only the last reader decodes: nothing in a text can be a template, however often it is rendered.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sharpen.durable import write_text
from sharpen.errors import BoundaryError, ConfigError, MissingExtra
from sharpen.evaluation.outside import Given, Place
from sharpen.install import environment
from sharpen.records import Case, Score
from sharpen.verify.suites import Suite

NAME = "promptfoo"
CONFIG = "promptfooconfig.yaml"
_QUIET = {
    "PROMPTFOO_DISABLE_TELEMETRY": "1",
    "PROMPTFOO_DISABLE_UPDATE": "1",
    "PROMPTFOO_DISABLE_REMOTE_GENERATION": "true",
    "PROMPTFOO_DISABLE_SHARING": "1",
    "PROMPTFOO_DISABLE_REDTEAM_REMOTE_GENERATION": "true",
    "PROMPTFOO_DISABLE_TEMPLATE_ENV_VARS": "true",
    "PROMPTFOO_FAILED_TEST_EXIT_CODE": "0",  # a case that failed is a result, not a failure of the run
    "NO_UPDATE_NOTIFIER": "1",
    "FORCE_COLOR": "0",
}
# Our scorers that promptfoo has a check for; every other one grades promptfoo's answer here.
_CHECKS = {"exact": "equals"}
_KEY = "OPENAI_API_KEY"


def as_data(value: Any) -> str:
    """Return a value as JSON text that holds no template, for `load` in Nunjucks or JSON.parse to read.

    >>> as_data("{{ 7 * 7 }}")
    '"\\\\u007b\\\\u007b 7 * 7 \\\\u007d\\\\u007d"'
    """
    if isinstance(value, str):
        text = json.dumps(value)
        for sign in "{}%#\x7f":
            text = text.replace(sign, f"\\u{ord(sign):04x}")
        return text
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{as_data(str(key))}:{as_data(one)}" for key, one in value.items()) + " }"
    return "[" + ",".join(as_data(one) for one in value) + "]"


def write_config(
    folder: Path, suite: Suite, tier: str, *, url: str, versions: Mapping[str, str], max_new_tokens: int
) -> Path:
    """Write `promptfooconfig.yaml` for a tier's written cases and return its path. It is JSON, which YAML contains.

    `url` is the gateway's, ending in /v1; `versions` maps an arm to the version id that the gateway is asked for.
    Raises: ConfigError when the tier has no case that is answered by one written reply.
    """
    cases = _asked(suite, tier)
    if not cases:
        raise ConfigError(f"{suite.name} has no written case in its {tier} tier.", "choose another suite or tier")
    config = {
        "description": f"sharpen: {suite.digest}",
        "prompts": ["{{ messages }}"],
        "providers": [
            {
                "id": f"openai:chat:{version}",
                "label": arm,
                "config": {"apiBaseUrl": url, "temperature": 0, "max_tokens": max_new_tokens, "seed": 0},
            }
            for arm, version in versions.items()
        ],
        "defaultTest": {"options": {"transform": "output.trim()", "disableVarExpansion": True}},
        "tests": [_test(suite, case) for case in cases],
    }
    path = folder / CONFIG
    folder.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(config, indent=1).replace("\x7f", "\\u007f"))
    return path


def _asked(suite: Suite, tier: str) -> list[Case]:
    return [case for case in suite.tier(tier) if case.kind == "reply"]


def _test(suite: Suite, case: Case) -> dict[str, Any]:
    turns = [{"role": turn.role, "content": turn.content} for turn in case.messages]
    check = _CHECKS.get(suite.scorer_of(case))
    expected = {"assert": [{"type": check, "value": "{{ reference | load }}"}]} if check else {}
    return {
        "vars": {"messages": as_data(turns), "reference": as_data(case.reference.strip())},
        "metadata": {"case": case.id},
    } | expected


def run(config: Path, *, api_key: str = "unused", timeout_s: float = 3600.0, at_once: int = 4) -> Path:
    """Run `promptfoo eval` on a configuration and return the path of its output.

    Nothing leaves the machine but the questions to the gateway. Raises: MissingExtra; BoundaryError when promptfoo
    fails.
    """
    program = environment(NAME) / "node_modules" / "promptfoo" / "dist" / "src" / "entrypoint.js"
    node = shutil.which("node")
    if node is None:
        raise MissingExtra("node", NAME)
    output = config.with_name("promptfoo-output.json")
    output.unlink(missing_ok=True)
    command = [node, str(program), "eval", "-c", str(config), "-o", str(output), "--no-cache", "--no-table",
               "--no-progress-bar", "--no-write", "-j", str(at_once)]  # fmt: skip
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PROMPTFOO_")}
    quiet = _QUIET | {_KEY: api_key, "PROMPTFOO_CONFIG_DIR": str(config.parent / ".promptfoo")}
    try:
        done = subprocess.run(
            command, cwd=config.parent, env=clean | quiet, capture_output=True, text=True,
            errors="replace", timeout=timeout_s, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise BoundaryError(f"promptfoo did not finish within {timeout_s:g} seconds.", "ask fewer cases") from error
    if not output.is_file():
        raise BoundaryError(f"promptfoo failed: {(done.stderr or done.stdout)[-500:]}", f"read {config}")
    return output


def read_scores(output: Path, suite: Suite, tier: str, evaluation_id: str, versions: Mapping[str, str]) -> list[Score]:
    """Return one Score per arm and case of the tier, in the suite's order; what promptfoo did not answer is unscored.

    promptfoo's own check gives the value where it has one; otherwise our scorer grades the answer that it got.
    Raises: BoundaryError when the file is not promptfoo's, or of another suite.
    """
    rows = _rows(output, suite)
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        found[str(row["provider"].get("label")), str(row["testCase"].get("metadata", {}).get("case"))] = row
    scores = []
    for arm, version_id in versions.items():
        for case in suite.tier(tier):
            place = Place(
                evaluation_id, arm, version_id, suite.name, case.tier, case.id, case.cluster, case.groups
            )  # fmt: skip
            given, reply = _read(found.get((arm, case.id)), suite, case)
            scores.append(place.scored(NAME, _CHECKS.get(suite.scorer_of(case), suite.scorer_of(case)), given, reply))
    return scores


def _rows(output: Path, suite: Suite) -> Sequence[dict[str, Any]]:
    try:
        told = json.loads(output.read_text(encoding="utf-8"))
        rows: list[dict[str, Any]] = told["results"]["results"]
        description = told["config"]["description"]
        if any(not isinstance(row["provider"], dict) or not isinstance(row["testCase"], dict) for row in rows):
            raise TypeError("a result names no provider or no case")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BoundaryError(f"{output} is not an output of promptfoo: {error}", "run it again") from error
    if description != f"sharpen: {suite.digest}":
        raise BoundaryError(f"{output} is about another suite than {suite.name} is now.", "export and run it again")
    return rows


def _read(row: dict[str, Any] | None, suite: Suite, case: Case) -> tuple[Given, str | None]:
    if row is None:
        why = "promptfoo did not ask this case" if case.kind == "reply" else f"promptfoo cannot ask a {case.kind} case"
        return (None, why), None
    reply = (row.get("response") or {}).get("output")
    if not isinstance(reply, str):
        return (None, f"promptfoo got no answer: {row.get('error')}"[:500]), None
    if suite.scorer_of(case) not in _CHECKS:
        return suite.score(case, reply), reply
    graded = row.get("gradingResult")
    if not isinstance(graded, dict):
        return (None, f"promptfoo did not grade the answer: {row.get('error')}"[:500]), reply
    return (graded.get("score"), None), reply
