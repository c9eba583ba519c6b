"""Benchmarks keep up with the package: what they import exists, and they explain themselves. Running them takes hours."""

import ast
import importlib
import json
import pathlib
import re
import subprocess
import sys
import types

import pytest
from builders import make_learner

from quickstudy import discovery
from quickstudy.cli import _parser, evaluate
from quickstudy.cli.train import LEARNER, build_parser
from quickstudy.training.saving import SavedLearner

ROOT = pathlib.Path(__file__).parents[1]
FILES = sorted(
    [*(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "web" / "test").rglob("*.py"), *(ROOT / "examples").glob("*.py")]
)
OURS = r"quickstudy(\.|$)"
SCRIPTS = [file for file in FILES if "ArgumentParser" in file.read_text() and "__main__" in file.read_text()]


def missing(tree: ast.Module) -> list[str]:
    """Return the names of the package that a file imports and that do not exist."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if re.match(OURS, alias.name) and not exists(alias.name, None)]
        elif isinstance(node, ast.ImportFrom) and re.match(OURS, node.module or ""):
            found += [f"{node.module}.{alias.name}" for alias in node.names if not exists(node.module or "", alias.name)]
    return found


def exists(module: str, name: str | None) -> bool:
    try:
        loaded = importlib.import_module(module)
        return name is None or hasattr(loaded, name) or importlib.import_module(f"{module}.{name}") is not None
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("quickstudy"):
            raise
        return False


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_what_a_script_imports_exists(file: pathlib.Path) -> None:
    assert missing(ast.parse(file.read_text())) == []


def test_a_name_that_has_moved_is_seen() -> None:
    text = "from quickstudy.task import Task, Nowhere\nimport quickstudy.convolution\nfrom quickstudy.nowhere import a\nimport torch"
    assert missing(ast.parse(text)) == ["quickstudy.task.Nowhere", "quickstudy.convolution", "quickstudy.nowhere.a"]


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.stem)
def test_a_script_explains_itself(file: pathlib.Path) -> None:
    ran = subprocess.run([sys.executable, file, "--help"], capture_output=True, text=True, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    assert "usage:" in ran.stdout


@pytest.fixture
def few_shot(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("few_shot")


def test_every_learner_has_a_command_that_the_command_line_takes(few_shot: types.ModuleType) -> None:
    wanted = [(benchmark, name) for benchmark, about in few_shot.BENCHMARKS.items() for name in about["recipes"]]
    for benchmark, name in {*wanted, *(("omniglot", name) for name in discovery.names("learners"))}:
        recipe = few_shot.recipe_of(benchmark, name)
        trained = few_shot.recipe_of(*recipe["trained_by"].split("/")) if "trained_by" in recipe else recipe
        words = _parser.spelled_out(few_shot.command_of(trained).split()[2:], LEARNER)
        options = build_parser(words).parse(words)
        assert options.learner.name == recipe["learner"] == trained["learner"]
        unvalidated = "--validation.split null" in few_shot.BENCHMARKS[benchmark]["train"]  # data without a split for it
        assert options.validation.split == (None if unvalidated else "val")  # what is tuned or stopped by is never the test
        learner = make_learner(recipe["learner"])
        for chosen in recipe["evaluate"]:
            words = ["learner", *recipe["test"].split(), *chosen.split()]
            assert evaluate._build_parser(SavedLearner(learner), {}).parse(words).ways


def test_every_paper_that_a_recipe_names_has_its_row(few_shot: types.ModuleType) -> None:
    for benchmark, about in few_shot.BENCHMARKS.items():
        papers = {recipe["paper"] for recipe in about["recipes"].values()} - {None}
        assert papers <= set(few_shot.beside_papers.PAPERS[benchmark])


def test_a_record_stands_beside_its_paper_with_the_difference(few_shot: types.ModuleType) -> None:
    recipe = next(recipe for recipe in few_shot.BENCHMARKS["omniglot"]["recipes"].values() if recipe["paper"])
    paper = few_shot.beside_papers.PAPERS["omniglot"][recipe["paper"]]
    row = {"ways": 5, "shots": 1, "accuracy": 90.0, "ci95": 0.5, "protocol": "inductive", "ece": 1.0, "ece_uncalibrated": 4.0}
    figures = {"adapt_seconds": 0.002, "onnx_bytes": 2048, "onnx_adapt_seconds": 0.001, "auroc": 0.9}
    run = {
        "paper": recipe["paper"],
        "training_seconds": 90,
        "figures": figures,
        "results": [{"command": "a --json b", "rows": [row]}],
    }
    accuracies, times = few_shot.beside_papers.tables("omniglot", {"mine": run})
    expected = 90 - float(str(paper["5-way 1-shot"]).split()[0])
    assert accuracies[2][0][:5] == ("mine", "5-way 1-shot", "90.00 ± 0.50", str(paper["5-way 1-shot"]), f"{expected:+.2f}")
    assert times[2] == [("mine", "1.5", "2.0", "1.0", "2", "5-way 4.0, 1.0", "0.900")]


def test_the_records_make_tables(few_shot: types.ModuleType) -> None:
    for file in (few_shot.HERE / "results").glob("*.json"):
        if file.stem in few_shot.BENCHMARKS:
            assert next(few_shot.beside_papers.tables(file.stem, json.loads(file.read_text())["runs"]))[2]


def test_every_record_is_of_a_recipe_and_its_test_tasks_have_a_hash(few_shot: types.ModuleType) -> None:
    for benchmark in few_shot.BENCHMARKS:
        file = few_shot.HERE / "results" / f"{benchmark}.json"
        for name, run in json.loads(file.read_text())["runs"].items() if file.exists() else ():
            assert name in few_shot.BENCHMARKS[benchmark]["recipes"] or name in discovery.names("learners")
            assert "paper" in run
            for row in (row for result in run["results"] for row in result["rows"]):
                assert row["tasks_hash"]
                assert row["test_tasks"] >= 1000
