"""promptfoo is told texts, not templates, and its results come back as Scores.

`samples/promptfoo-output.json` is what promptfoo 0.121.20 wrote about `SUITE` behind the gateway of `served`. The tests
marked `outside` run the program again, as `make outside` and CI do, and find the same Scores in both.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from tests.conformance import check_of, record, tell

from sharpen.config import parse
from sharpen.errors import BoundaryError, ConfigError, MissingExtra
from sharpen.evaluation.promptfoo import as_data, read_scores, run, write_config
from sharpen.gateway.app import create_app
from sharpen.install import RECIPES
from sharpen.models.engine import Engine, Request
from sharpen.records import Message, Score, Trace, content_hash
from sharpen.store import Store
from sharpen.testing import ScriptedEngine, deploy
from sharpen.verify.cases import make_case
from sharpen.verify.suites import Suite

SAMPLE = Path(__file__).parent / "samples" / "promptfoo-output.json"
VERSIONS = {"champion": "ver_0", "challenger": "ver_1"}
HOSTILE = (
    "{{ 7 * 7 }}",
    "{{ env.HOME }} {{env.PATH}}",
    "{% raw %}{{ messages }}{% endraw %}{# gone #}",
    'quote " back \\ slash \\u007b\nline\ttab',
    "file://../../etc/passwd",
    "ünï — 😀 \x7f",
    "- role: system",
)


def _case(text: str, reference: str, **fields: Any) -> Any:
    return make_case([Message(role="user", content=text)], reference, tier="gate", **fields)


SUITE = Suite(
    "texts",
    (
        *(_case(text, text) for text in HOSTILE),
        _case("say nothing", "nothing at all"),
        _case("17 and 4", "21", groups=("axis=a",)),
        _case("a or b", "a", kind="choice", choices=("a", "b")),
    ),
)
NUMBERS = SUITE.cases[8].id
SUITE = Suite(SUITE.name, SUITE.cases, scorers={NUMBERS: "numeric"})


def say(request: Request, version_id: str) -> str:
    """Repeat the question as ver_0; know only sums as ver_1."""
    question = request.messages[-1].content
    if question == "17 and 4":
        return "That makes 21"
    return question if version_id == "ver_0" else "no"


@contextlib.contextmanager
def gateway(home: Path, engine: Engine, versions: list[str]) -> Iterator[tuple[str, Store]]:
    store = Store.open(f"sqlite:///{home / 'store.db'}")
    for version_id in versions:
        deploy(store, engine, version_id)
    app = create_app(parse({"home": str(home), "gateway": {"max_reply_tokens": 64}}), store, engine)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert thread.is_alive() and time.monotonic() < deadline
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1", store
    finally:
        server.should_exit = True
        thread.join(20)
        store.close()


def scores_of(output: Path) -> dict[tuple[str, str], Score]:
    return {(one.arm, one.case_id): one for one in read_scores(output, SUITE, "gate", "evl_1", VERSIONS)}


def exported(tmp_path: Path, suite: Suite = SUITE) -> dict[str, Any]:
    path = write_config(tmp_path, suite, "gate", url="http://127.0.0.1:1/v1", versions=VERSIONS, max_new_tokens=8)
    assert path.name == "promptfooconfig.yaml"
    return dict(json.loads(path.read_text()))


def test_nothing_of_a_text_can_be_read_as_a_template(tmp_path: Path) -> None:
    for test in exported(tmp_path)["tests"]:
        for told in test["vars"].values():
            assert not {"{{", "{%", "{#", "}}", "%}", "#}"} & {told[at : at + 2] for at in range(len(told))}
            assert not told.startswith("file:")


def test_a_text_survives_the_way_out_and_back(tmp_path: Path) -> None:
    tests = exported(tmp_path)["tests"]
    assert [json.loads(test["vars"]["messages"])[0]["content"] for test in tests[:7]] == list(HOSTILE)
    assert [json.loads(test["vars"]["reference"]) for test in tests[:7]] == [text.strip() for text in HOSTILE]
    assert json.loads(as_data({"a": {"b": ["{{", "}}"]}})) == {"a": {"b": ["{{", "}}"]}}


def test_the_file_is_yaml_and_asks_each_version_by_its_id(tmp_path: Path) -> None:
    import yaml

    write_config(tmp_path, SUITE, "gate", url="http://127.0.0.1:1/v1", versions=VERSIONS, max_new_tokens=8)
    config = yaml.safe_load((tmp_path / "promptfooconfig.yaml").read_text())
    assert [one["id"] for one in config["providers"]] == ["openai:chat:ver_0", "openai:chat:ver_1"]
    assert config["tests"][0]["assert"] == [{"type": "equals", "value": "{{ reference | load }}"}]
    assert "assert" not in config["tests"][8]  # numeric is ours to grade


def test_a_tier_without_written_cases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no written case"):
        write_config(tmp_path, SUITE, "vault", url="http://x/v1", versions=VERSIONS, max_new_tokens=8)


def test_a_real_output_comes_back_as_scores() -> None:
    found = scores_of(SAMPLE)
    assert len(found) == 2 * len(SUITE.cases)
    for case in SUITE.cases[:7]:
        champion, challenger = found["champion", case.id], found["challenger", case.id]
        assert (champion.value, champion.reply, champion.scorer) == (1.0, case.reference.strip(), "promptfoo:equals")
        assert (challenger.value, challenger.reply, challenger.version_id) == (0.0, "no", "ver_1")
    assert found["champion", SUITE.cases[7].id].value == 0.0
    numbers = found["challenger", NUMBERS]
    assert (numbers.value, numbers.reply, numbers.scorer) == (1.0, "That makes 21", "promptfoo:numeric")
    assert (numbers.groups, numbers.evaluation_id) == (("axis=a",), "evl_1_promptfoo")


def test_what_promptfoo_cannot_ask_or_did_not_answer_is_unscored_with_the_reason(tmp_path: Path) -> None:
    told = json.loads(SAMPLE.read_text())
    rows = told["results"]["results"]
    broken, silent, *rows = rows
    broken["response"], broken["error"] = None, "API error: 429"
    silent["gradingResult"] = None
    told["results"]["results"] = [broken, silent, *rows[:-2]]
    (tmp_path / "output.json").write_text(json.dumps(told))
    reasons = [one.reason for one in scores_of(tmp_path / "output.json").values() if one.value is None]
    assert len(reasons) == 6  # two choices, one error, one without a grade, two that are missing
    for part in ("cannot ask a choice", "API error: 429", "did not grade", "did not ask"):
        assert any(part in str(reason) for reason in reasons)


@pytest.mark.parametrize("text", ["", "[]", '{"results": {"results": [{}]}, "config": {"description": "x"}}'])
def test_a_file_that_is_not_promptfoos_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "output.json").write_text(text)
    with pytest.raises(BoundaryError, match="not an output of promptfoo"):
        scores_of(tmp_path / "output.json")


def test_an_output_of_another_suite_is_refused() -> None:
    with pytest.raises(BoundaryError, match="another suite"):
        read_scores(SAMPLE, Suite("texts", SUITE.cases[:3]), "gate", "evl_1", VERSIONS)


def test_without_promptfoo_the_error_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(MissingExtra, match="sharpen install promptfoo"):
        run(tmp_path / "promptfooconfig.yaml")


def test_promptfoo_runs_quietly_whatever_the_users_own_settings_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, tools = tmp_path / "sharpen" / "parts" / "promptfoo", tmp_path / "bin"
    part.mkdir(parents=True)
    tools.mkdir()
    recipe = RECIPES["promptfoo"]
    (part / ".sharpen-recipe").write_text(content_hash([recipe.tool, recipe.what]))
    (tools / "node").write_text(f"#!/bin/sh\nenv > {tmp_path}/env\necho '{{}}' > {tmp_path}/promptfoo-output.json\n")
    (tools / "node").chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("PROMPTFOO_DISABLE_TEMPLATING", "1")  # the constant prompt of the file is a template
    run(tmp_path / "promptfooconfig.yaml", api_key="k")
    told = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines() if "=" in line)
    assert "PROMPTFOO_DISABLE_TEMPLATING" not in told
    assert (told["PROMPTFOO_DISABLE_TELEMETRY"], told["PROMPTFOO_DISABLE_REMOTE_GENERATION"]) == ("1", "true")
    assert (told["PROMPTFOO_DISABLE_UPDATE"], told["OPENAI_API_KEY"]) == ("1", "k")
    (tools / "node").write_text("#!/bin/sh\necho it broke >&2\n")
    with pytest.raises(BoundaryError, match="it broke"):
        run(tmp_path / "promptfooconfig.yaml")


def shown(scores: list[Score]) -> str:
    """Return what came out, arm by arm: how many were right, of how many that were scored."""
    arms = {arm: [one.value for one in scores if one.arm == arm and one.value is not None] for arm in VERSIONS}
    return "; ".join(f"{arm} {sum(values):.0f} of {len(values)} right" for arm, values in arms.items() if values)


@pytest.mark.outside
def test_promptfoo_asks_the_gateway_and_gives_the_scores_of_the_sample(
    tmp_path: Path, record_property: Callable[[str, object], None], request: pytest.FixtureRequest
) -> None:
    record(record_property, table="outside evaluators", part="promptfoo", check=check_of(request), how="real program")
    engine = ScriptedEngine(say)
    with gateway(tmp_path, engine, list(VERSIONS.values())) as (url, store):
        config = write_config(tmp_path, SUITE, "gate", url=url, versions=VERSIONS, max_new_tokens=40)
        output = run(config)
        asked = {trace.messages[0].content for trace in store.find(Trace)}
    assert asked == {case.messages[0].content for case in SUITE.cases[:9]}
    again, kept = scores_of(output), scores_of(SAMPLE)
    assert {key: one.model_dump(exclude={"at"}) for key, one in again.items()} == {
        key: one.model_dump(exclude={"at"}) for key, one in kept.items()
    }
    tell(record_property, "promptfoo eval through our gateway", f"scripted model: {shown(list(again.values()))}")


@pytest.mark.outside
def test_promptfoo_asks_a_real_model_behind_the_gateway(
    tmp_path: Path, tiny_base: Path, record_property: Callable[[str, object], None], request: pytest.FixtureRequest
) -> None:
    record(record_property, table="outside evaluators", part="promptfoo", check=check_of(request), how="real program")
    from sharpen.models.transformers_engine import TransformersEngine

    engine = TransformersEngine.open(parse({"base": str(tiny_base), "home": str(tmp_path)}))
    with gateway(tmp_path, engine, ["ver_0"]) as (url, store):
        config = write_config(tmp_path, SUITE, "gate", url=url, versions={"champion": "ver_0"}, max_new_tokens=6)
        scores = read_scores(run(config), SUITE, "gate", "evl_1", {"champion": "ver_0"})
        replies = {str(trace.reply).strip() for trace in store.find(Trace)}
    written = [one for one in scores if one.case_id != SUITE.cases[9].id]
    assert len(written) == 9
    assert {str(one.reply) for one in written} <= replies
    assert all(one.value == 0.0 for one in written)  # noise, and graded as such
    tell(record_property, "promptfoo eval through our gateway", f"random model: {shown(scores)}")
