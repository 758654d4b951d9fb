"""The rules of the house, checked on the source itself: a promise that nobody tests decays."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import sharpen
from sharpen.records import RECORDS

SRC = Path(sharpen.__file__).parent
ROOT = SRC.parent.parent
FILES = sorted(SRC.rglob("*.py"))

# Each record type is made in one stage's folder only. The bare base is a ModelVersion that nobody trained: the
# registry writes it at `sharpen init`. `testing.py` ships fakes for plug-in authors and owns nothing.
OWNERS = {
    "ModelVersion": {"training", "promotion"},
    "TrainingRun": {"training"},
    "Deployment": {"promotion"},
    "Trace": {"capture"},
    "Feedback": {"capture"},
    "Source": {"capture"},
    "Critique": {"critique"},
    "Example": {"curation"},
    "Snapshot": {"curation"},
    "Score": {"evaluation"},
    "Verdict": {"promotion"},
    "Memory": {"memory"},
    "JudgeTrial": {"verify"},
}
HEAVY = ("torch", "transformers", "trl", "peft", "langgraph", "mlflow", "dbos", "datasets", "sklearn", "matplotlib")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def called(node: ast.AST) -> str:
    """Return the dotted name a call goes to, or ''."""
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


def loaded_by(*modules: str) -> set[str]:
    """Import the modules in a fresh process and return which heavy libraries came with them."""
    code = f"import sys\nfor name in {modules!r}: __import__(name)\nprint(*(n for n in {HEAVY!r} if n in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(SRC.parent).with_suffix("").parts).removesuffix(".__init__")


def test_the_import_contracts_hold() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports())"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "KEPT" in done.stdout


def test_files_stay_small() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {str(path): count for path, count in lines.items() if count > 350} == {}
    assert statistics.median(lines.values()) <= 150


def test_every_module_is_named_for_its_idea() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "manager", "base", "core", "misc"}
    assert [str(path) for path in FILES if drawers & {*path.relative_to(SRC).parts[:-1], path.stem}] == []
    shadows = {str(path) for path in FILES if path.stem in sys.stdlib_module_names and path.stem[0] != "_"}
    assert shadows == set()


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_a_module_says_what_it_is(path: Path) -> None:
    assert (ast.get_docstring(tree(path)) or "").strip().endswith(".")


def test_each_record_is_made_by_one_stage_only() -> None:
    assert set(OWNERS) == {kind.__name__ for kind in RECORDS}
    strays = []
    for path in FILES:
        folder = path.relative_to(SRC).parts[0]
        for node in ast.walk(tree(path)):
            name = called(node).rpartition(".")[2]
            if name in OWNERS and folder not in OWNERS[name] | {"testing.py"}:
                strays.append(f"{path}:{getattr(node, 'lineno', 0)} makes a {name}")
    assert strays == []


def test_nothing_runs_code_that_came_from_outside() -> None:
    found = []
    for path in FILES:
        for node in ast.walk(tree(path)):
            where = f"{path}:{getattr(node, 'lineno', 0)}"
            if called(node) in ("eval", "exec", "torch.load", "os.system", "os.popen"):
                found.append(f"{where} {called(node)}")
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", None) or ""}
                found += [f"{where} {name}" for name in names & {"pickle", "dill", "cloudpickle", "joblib", "marshal"}]
            if isinstance(node, ast.keyword) and node.arg in ("shell", "trust_remote_code"):
                is_off = isinstance(node.value, ast.Constant) and node.value.value is False
                found += [] if is_off else [f"{where} {node.arg}="]
    assert found == []


def test_importing_the_package_and_its_command_line_is_light() -> None:
    assert loaded_by("sharpen") == set()
    assert loaded_by("sharpen.cli") == set()


def test_heavy_libraries_come_only_through_their_doors() -> None:
    doors = (
        "sharpen.training.worker",  # the trainer child: a process of its own
        "sharpen.training.methods",
        "sharpen.training.long_runs",
        "sharpen.training.constraints",
        "sharpen.training.adapters",
        "sharpen.training.spread",
        "sharpen.models.decoding",
        "sharpen.models.transformers_engine",
        "sharpen.models.chat",
    )
    light = [module_name(path) for path in FILES if path.name != "env.py" and not path.stem[0].isdigit()]
    assert loaded_by(*(name for name in light if not name.startswith(doors) and not name.endswith("__main__"))) == set()


def test_the_public_face_is_small_and_whole() -> None:
    assert 0 < len(sharpen.__all__) <= 12
    for name in sharpen.__all__:
        assert getattr(sharpen, name) is not None


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    # Put together here, so that this file does not hold what it looks for.
    marks = ["/" + "work/main", "/" + "work/scratch", "../" + "shared", "/" + "root/", "." + "pyenv"]
    places = ("src", "tests", "docs", "examples", "benchmarks", ".ci")
    files = [path for place in places for path in (ROOT / place).rglob("*") if "__pycache__" not in path.parts]
    files += [*ROOT.glob("*.*"), ROOT / "Makefile"]
    found = []
    for path in files:
        if not path.is_file() or path.suffix in (".png", ".whl"):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            allowed = path == ROOT / ".ci" / "run" and "SHARPEN_DATA=" in line
            found += [f"{path}:{number} {mark}" for mark in marks if mark in line and not allowed]
    assert found == []
