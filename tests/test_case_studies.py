"""Case studies: their pages say what the records say, and the smallest run of one works."""

from __future__ import annotations

import copy
import importlib
import json
import pathlib
import types

import pytest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture
def cases(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("case_studies")


def test_pages_are_those_of_the_records(cases: types.ModuleType) -> None:
    found = {file.stem: file.read_text() for file in (ROOT / "docs" / "cases").glob("*.md")}
    assert found == {name: cases.page(name) for name in cases.CASES}, "write them again: python benchmarks/case_studies.py"


def test_every_case_compares_with_centroids_logistic_regression_and_training_from_scratch(cases: types.ModuleType) -> None:
    parts = [(name, part) for name, case in cases.CASES.items() for part in (case, case.get("also", {}))]
    for name, case in ((name, part) for name, part in parts if "benchmark" in part):
        words = " ".join(case["methods"].values())
        assert all(part in words for part in ("nearest centroid", "logistic regression", "from scratch")), name
        known = cases.beside_papers.BENCHMARKS[case["benchmark"]]["recipes"]
        assert set(case["methods"]) <= set(known), name


def test_a_second_benchmark_is_a_part_of_the_page(cases: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = {key: value for key, value in cases.CASES["medicine"].items() if key != "tables"}
    monkeypatch.setitem(cases.CASES, "both", {**alone, "also": {**alone, "title": "Others"}})
    page = cases.page("both")
    assert page.count("78.5 ± 1.4") == 2
    assert page.index(f"# {alone['title']}\n") < page.index("\n## Others\n")


def test_methods_that_met_other_tasks_are_not_compared(cases: types.ModuleType) -> None:
    case = cases.CASES["medicine"]
    runs = json.loads((ROOT / "benchmarks" / "results" / "microarray.json").read_text())["runs"]
    assert "78.5 ± 1.4" in cases._of_runs(case["methods"], runs)
    other = copy.deepcopy(runs)
    second = [*case["methods"]][1]
    other[second]["results"][0]["rows"][0]["tasks_hash"] = "0123456789abcdef"
    with pytest.raises(SystemExit, match=f"{second} met other tasks"):
        cases._of_runs(case["methods"], other)


def test_the_smallest_run_of_a_case_writes_its_page(
    cases: types.ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setattr(cases, "_results", lambda name: tmp_path / f"{name}.json")
    monkeypatch.chdir(tmp_path)
    cases.run("curves", ["--minutes", "0.02", "--tasks", "2"])
    page = cases.page("curves")
    assert "| Gaussian process around the average |" in page
    assert "None is real" in page or "none is real" in page
