from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from sharpen.config import ModelsSection
from sharpen.errors import TrainerError
from sharpen.models.adapters import digest as adapter_digest
from sharpen.models.engine import Request
from sharpen.models.transformers_engine import TransformersEngine
from sharpen.records import Message, ModelVersion, TrainingRun
from sharpen.training import child as children
from sharpen.training import launch
from sharpen.training.job import Result
from sharpen.training.prompts import prompts
from sharpen.verify.cases import make_case
from sharpen.verify.suites import Suite

PAIRS = {"my bill is wrong": "billing", "where is my parcel": "delivery", "do you sell kettles": "sales"}
GRADED = [make_case([Message(role="user", content=question)], team) for question, team in PAIRS.items()]
ASKED = [Request([Message(role="user", content=question)], 8) for question in PAIRS]


def no_child(*_: Any, **__: Any) -> Any:
    raise AssertionError("a child was started")


def answers(engine: TransformersEngine, version: str) -> list[str]:
    return [answer.text for answer in engine.generate(ASKED, version)]


def trainers() -> list[psutil.Process]:
    """Return our trainer children; other tests' servers may be children of this process too."""
    return [one for one in psutil.Process().children() if "sharpen.training.worker" in one.cmdline()]


def test_it_learns_a_small_set_by_heart_and_the_base_stays_as_it_was(trained: Any) -> None:
    shop, run, version = trained
    engine = TransformersEngine(shop.base, ModelsSection(threads=1))
    engine.load("ver_0", None)
    before = answers(engine, "ver_0")
    engine.load(version.id, shop.config.adapters / version.adapter_digest)
    assert answers(engine, version.id) == list(PAIRS.values())
    assert answers(engine, "ver_0") == before != list(PAIRS.values())
    assert 0 < run.metrics["train_loss"] < 4.5 and run.metrics["steps"] == 200
    learned, fresh = (
        engine.logprobs([ASKED[0].messages], [["billing", "sales"]], name)[0] for name in (version.id, "ver_0")
    )
    assert learned[0] > fresh[0] + 10 and learned[0] > learned[1]


def test_the_records_say_what_was_made(trained: Any) -> None:
    shop, run, version = trained
    assert shop.store.get(TrainingRun, run.id) == run and shop.store.get(ModelVersion, version.id) == version
    assert (run.snapshot_id, run.method, run.seed, run.recipe["rank"]) == ("snp_1", "sft", 0, 8)
    assert (version.parent, version.run_id, version.base_digest) == ("ver_0", run.id, shop.version_0().base_digest)
    assert version.adapter_digest == run.adapter_digest == adapter_digest(shop.config.adapters / run.adapter_digest)
    assert 0 < run.model_seconds < run.seconds
    assert run.reason == "3 of 3 rows hold an answer that was said to be right: imitate it" and run.dropped == {}


def test_an_adapter_is_two_files_without_a_path_in_them(trained: Any) -> None:
    shop, run, _ = trained
    folder = shop.config.adapters / run.adapter_digest
    assert {file.name for file in folder.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == shop.version_0().base_digest
    for file in folder.iterdir():
        assert str(shop.base).encode() not in file.read_bytes()
        assert str(shop.config.home).encode() not in file.read_bytes()
    assert [path.name for path in shop.config.adapters.iterdir()] == [run.adapter_digest]


def test_training_twice_is_training_once(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, run, version = trained
    monkeypatch.setattr(children.subprocess, "Popen", no_child)
    again, same_version = shop.train()
    assert (again.model_copy(update={"at": run.at}), same_version) == (run, version)
    assert shop.store.count(TrainingRun) == 1


def test_the_same_weights_keep_their_first_history(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, _, version = trained
    monkeypatch.setattr(children.subprocess, "Popen", no_child)
    _, same = shop.train(parent=shop.version_0().model_copy(update={"id": "ver_later"}))
    assert same.parent == version.parent == "ver_0"


@pytest.mark.faults
def test_a_killed_child_is_started_again_and_gives_the_same_adapter(trained: Any, shops: Any, tmp_path: Path) -> None:
    shop = shops(tmp_path)
    killed: list[int] = []
    told: list[int] = []

    def kill_once(done: int, total: int) -> None:
        told.append(done)
        if done == 5 and not killed:
            [child] = trainers()
            killed.append(child.pid)
            child.send_signal(signal.SIGKILL)

    run, version = shop.train(on_progress=kill_once)
    assert len(killed) == 1 and told.count(1) == 2 and told[-1] == 200
    assert (run.adapter_digest, version.id) == (trained[1].adapter_digest, trained[2].id)
    assert [path.name for path in shop.config.adapters.iterdir()] == [run.adapter_digest]


def test_another_seed_gives_other_weights_and_a_damaged_adapter_is_made_again(
    trained: Any, shops: Any, tmp_path: Path
) -> None:
    shop = shops(tmp_path)
    run, _ = shop.train(seed=1)
    assert run.adapter_digest != trained[1].adapter_digest
    assert run.id != trained[1].id
    file = shop.config.adapters / run.adapter_digest / "adapter_model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"\x00\x01"[whole[-1] == 0 :][:1])
    assert shop.train(seed=1)[0].adapter_digest == run.adapter_digest
    assert file.read_bytes() == whole


def test_dpo_prefers_what_was_chosen(shops: Any, tmp_path: Path) -> None:
    rows = [
        {"messages": [{"role": "user", "content": question}], "chosen": answer, "rejected": "perhaps"}
        for question, answer in PAIRS.items()
    ]
    rows.append({"messages": rows[0]["messages"], "chosen": "no pair", "rejected": None})
    shop = shops(tmp_path, method="dpo", epochs=10.0, learning_rate=0.001, rank=4)
    run, version = shop.train(rows)
    assert (run.method, run.metrics["steps"]) == ("dpo", 20)
    assert run.metrics["train_loss"] < 0.6  # log 2 is where it begins
    engine = TransformersEngine(shop.base, ModelsSection(threads=1))
    engine.load("ver_0", None)
    engine.load(version.id, shop.config.adapters / version.adapter_digest)

    def margins(name: str) -> list[float]:
        choices = [[answer, "perhaps"] for answer in PAIRS.values()]
        return [chosen - other for chosen, other in engine.logprobs([one.messages for one in ASKED], choices, name)]

    assert all(after > before + 1 for before, after in zip(margins("ver_0"), margins(version.id), strict=True))


def test_dpo_without_a_pair_is_refused_before_a_child_starts(
    shops: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children.subprocess, "Popen", no_child)
    with pytest.raises(TrainerError, match="needs rejected answers"):
        shops(tmp_path, method="dpo").train()


def test_a_policy_is_graded_by_the_suites_verifier_and_what_was_left_out_is_recorded(
    shops: Any, tmp_path: Path
) -> None:
    asked = [case.model_copy(update={"tier": "train"}) for case in GRADED]
    given = prompts(Suite("s", (*asked, make_case([Message(role="user", content="long " * 300)], "a", tier="train"))))
    shop = shops(tmp_path, method="rloo", epochs=2.0, samples=2, max_length=64)
    run, version = shop.train(prompts=given)
    assert (run.method, run.dropped, run.metrics["steps"]) == ("rloo", {"over_length": 1}, 2)
    assert run.reason == "[training] method = 'rloo' says so"
    assert run.metrics["first_reward"] == 0.0  # noise is no team's name
    assert version.adapter_digest == run.adapter_digest


MALFORMED: dict[str, list[dict[str, Any]]] = {
    "no rows": [],
    "no messages": [{"chosen": "a", "rejected": None}],
    "empty messages": [{"messages": [], "chosen": "a", "rejected": None}],
    "a text for messages": [{"messages": "hello", "chosen": "a", "rejected": None}],
    "no content": [{"messages": [{"role": "user"}], "chosen": "a", "rejected": None}],
    "no answer": [{"messages": [{"role": "user", "content": "q"}], "chosen": None, "rejected": None}],
    "a number for the rejected": [{"messages": [{"role": "user", "content": "q"}], "chosen": "a", "rejected": 3}],
}


@pytest.mark.parametrize("rows", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_rows_are_refused_before_a_child_starts(
    rows: list[dict[str, Any]], shops: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children.subprocess, "Popen", no_child)
    with pytest.raises(TrainerError, match=r"Row 1|no rows"):
        shops(tmp_path).train(rows)


def test_a_loss_that_is_not_a_number_is_told_and_not_tried_again(shops: Any, tmp_path: Path) -> None:
    shop = shops(tmp_path, epochs=4.0)
    training = shop.config.training.model_copy(update={"learning_rate": 1e38, "attempts": 3})
    shop.config = shop.config.model_copy(update={"training": training})
    with pytest.raises(TrainerError, match=r"attempt 1 of 3.*not numbers"):
        shop.train()
    assert list(shop.config.adapters.iterdir()) == []
    assert shop.store.count(TrainingRun) == 0


def test_a_base_that_cannot_be_read_is_told(shops: Any, tmp_path: Path) -> None:
    shop = shops(tmp_path / "home")
    with pytest.raises(TrainerError, match="cannot be read"):
        shop.train(base=tmp_path / "nothing")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text('{"model_type": "no such type"}')
    with pytest.raises(TrainerError, match=r"attempt 1 of 2.*could not be loaded"):
        shop.train(base=broken)


@pytest.mark.faults
def test_a_child_that_dies_every_time_gives_up_and_names_its_log(
    shops: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = shops(tmp_path, epochs=1.0)
    monkeypatch.setenv("SHARPEN_FAILPOINT", "train.before_result")
    with pytest.raises(TrainerError, match=r"attempt 2 of 2.*killed by signal 9") as error:
        shop.train()
    log = next((tmp_path / "runs").iterdir()) / "child.log"
    assert str(log) in error.value.next_step and log.is_file()
    monkeypatch.delenv("SHARPEN_FAILPOINT")
    assert shop.train()[0].metrics["steps"] == 2  # the next cycle goes on


def test_a_child_that_takes_too_long_is_ended(shops: Any, tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match=r"timeout_s = 0\.1 seconds"):
        shops(tmp_path, timeout_s=0.1, attempts=1).train()


def test_whoever_stops_listening_takes_the_child_along(shops: Any, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shops(tmp_path).train(on_progress=stop)
    assert trainers() == []


PARENT = """
import sys
from pathlib import Path
from sharpen.config import parse
from sharpen.records import ModelVersion, Snapshot
from sharpen.store import Store
from sharpen.training.launch import train

home, base = sys.argv[1:]
config = parse({"home": home, "models": {"threads": 1}, "training": {"epochs": 100000.0}})
train(
    config, Store.open(config.store_url), Snapshot(id="snp_1", cycle_id="c", example_ids=(), counts={}, dropped={}),
    [{"messages": [{"role": "user", "content": q}], "chosen": "a", "rejected": None} for q in "qr"],
    base=Path(base), parent=ModelVersion(id="v", base="b", base_digest="b", template_digest="t"), seed=0,
    on_progress=lambda done, total: print(done, flush=True),
)
"""


@pytest.mark.faults
def test_a_child_never_outlives_the_loop_that_started_it(tiny_base: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path), str(tiny_base)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None and parent.stdout.readline() == "1\n"
        [child] = psutil.Process(parent.pid).children()
        assert "sharpen.training.worker" in child.cmdline()
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        deadline = time.monotonic() + 10
        while child.is_running() and child.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_result_without_its_adapter_does_not_count(tmp_path: Path) -> None:
    result = Result(adapter_digest="d" * 32, metrics={}, seconds=1, model_seconds=1, peak_rss_bytes=1)
    (tmp_path / "result.json").write_text(result.model_dump_json())
    assert children.finished(tmp_path, tmp_path / "adapters") is None


@pytest.mark.parametrize(
    ("line", "error", "told"),
    [
        ('{"step": 3, "of": 9}', "", [(3, 9)]),
        ('{"error": "no"}', "no", []),
        ('{"out_of_memory": "full"}', "full", []),
        ('{"at": 5, "metrics": {"loss": 0.5}}', "", [(5, {"loss": 0.5})]),
        ("a library speaks", "", []),
        ("[1, 2]", "", []),
        ("null", "", []),
    ],
)
def test_only_our_own_lines_of_the_child_are_listened_to(line: str, error: str, told: list[Any]) -> None:
    heard: list[Any] = []
    ears = children.Ears(lambda *at: heard.append(at), lambda *what: heard.append(what))
    assert ears.listen(line) == error
    assert heard == told


@pytest.mark.parametrize(
    ("key", "precision", "count"), [("dtype", "float32", 250), ("torch_dtype", "bfloat16", 500), ("other", "x", 250)]
)
def test_the_size_of_a_base_is_read_from_its_weights(tmp_path: Path, key: str, precision: str, count: int) -> None:
    (tmp_path / "config.json").write_text(json.dumps({key: precision}))
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 1000)
    assert launch._parameters(tmp_path) == count
