"""Verbs that look at runs: quickstudy doctor, plan and scoreboard."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
from builders import DESCENT

from quickstudy.cli import _tasks, plan
from quickstudy.data.dataset import DataWarning
from quickstudy.errors import TaskError

Call = Callable[..., Any]


def test_doctor_finds_nothing_bad_in_a_healthy_run(cli: Call, pasted: Call, finished: pathlib.Path) -> None:
    outcome = cli("doctor", finished, "--tasks", 30, "--json")
    assert outcome.code == 0, outcome
    found = json.loads(outcome.out)
    assert found["verdict"] != "bad", found
    assert found["tasks"]["dataset"] == "set.npz/test"
    assert found["checks"]["overlap"]["verdict"] == "good"
    table = cli("doctor", finished, "--tasks", 4)
    for check in found["checks"].values():
        assert check["question"][:20] in table.out
    assert len(pasted(table.out)) == 1


def test_doctor_finds_splits_that_overlap(cli: Call, train: Call, tmp_path: pathlib.Path) -> None:
    out = tmp_path / "run"
    assert cli(*train(out, split="all", steps=1)).code == 0
    with pytest.warns(DataWarning, match="drawn from test, and the run was trained on all"):
        found = json.loads(cli("doctor", out, "--tasks", 4, "--json").out)["checks"]["overlap"]
    assert found["verdict"] == "bad"
    assert "training (all) and validation (val) share 3 classes" in found["found"]


def test_doctor_of_a_file_asks_for_its_data(cli: Call, refused: Call, finished: pathlib.Path, npz: pathlib.Path) -> None:
    file = finished / "learner.safetensors"
    assert "Name the data: --data set.npz" in refused("doctor", file)
    found = json.loads(cli("doctor", file, "--data", npz, "--tasks", 4, "--json").out)
    assert found["checks"]["leak"]["verdict"] == "good"
    assert (found["tasks"]["ways"], found["tasks"]["queries"]) == (2, 3)


def test_plan_measures_in_a_process_of_its_own(
    cli: Call, pasted: Call, train: Call, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = train(tmp_path / "run")[1:]
    outcome = cli("plan", *words, "--memory", "100GB")
    assert outcome.code == 0, outcome
    assert "3 of 3 steps" in outcome.out
    (command,) = pasted(outcome.out)
    assert command.startswith("quickstudy train ")
    assert "--memory" not in command
    assert (tmp_path / "run" / "learner.safetensors").exists()


def scripted(fits_with: str) -> Callable[[list[str]], dict[str, Any]]:
    """Return estimates that fit as soon as one option is given."""

    def measured(words: list[str]) -> dict[str, Any]:
        fits = fits_with in words
        sizes = {"minutes": 1.0, "megabytes": 50.0 if fits else 500.0, "steps": 100, "wanted_steps": 100}
        return {
            "step_seconds": 0.5,
            "validation_seconds": 1.0,
            "measuring_seconds": 0.0,
            "setup_seconds": 2.0,
            "engine": "vmap",
            **sizes,
        }

    return measured


def test_plan_suggests_what_fits_and_measures_no_further(
    cli: Call, train: Call, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = train(tmp_path / "run", learner=DESCENT)[1:]
    monkeypatch.setattr(plan, "_measured", scripted("--learner.recompute"))
    outcome = cli("plan", *words, "--memory", "100MB")
    assert outcome.out.splitlines()[-1].endswith("--learner.recompute true")
    found = json.loads(cli("plan", *words, "--memory", "100MB", "--json").out)
    assert not found["fits"]
    assert [one.get("fits") for one in found["suggestions"]][:3] == [False, True, None]
    assert all(one["why"] for one in found["suggestions"])
    monkeypatch.setattr(plan, "_measured", scripted("nothing"))
    for as_json in ((), ("--json",)):
        outcome = cli("plan", *words, "--memory", "100MB", *as_json)
        assert outcome.code == 2
        assert "nothing that was tried fits" in outcome.err


def test_scoreboard_compares_runs_on_the_same_tasks(
    cli: Call, train: Call, finished: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    other = tmp_path / "other"
    assert cli(*train(other, learner=DESCENT, steps=1)).code == 0
    page = tmp_path / "board.md"
    outcome = cli("scoreboard", finished, other, "--tasks", 20, "--ways", 2, 3, "--out", page, "--json")
    assert outcome.code == 0, outcome
    runs = json.loads(outcome.out)["runs"]
    assert {run["name"] for run in runs} == {str(finished), str(other)}
    assert runs[0]["behind_best"] == [0, 0]
    assert len({run["results"][0]["tasks_hash"] for run in runs}) == 1
    assert all(run["training_seconds"] > 0 and run["figures"]["onnx_bytes"] > 1000 and run["megabytes"] > 10 for run in runs)
    assert [row["ways"] for row in runs[0]["results"]] == [2, 3]
    assert (tmp_path / "board" / "adapting.svg").read_text().startswith("<?xml")
    table = cli("scoreboard", finished, "--tasks", 4, "--out", page).out
    assert "behind the best" in table
    assert "tasks hash" in table


def test_examining_on_what_a_learner_was_trained_on_is_said(
    cli: Call, finished: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = _tasks._make

    def of_the_training_alone(options: Any, split: str | None, *rest: Any) -> Any:
        if split != "train":
            raise TaskError(f"{split} has too few classes.")
        return make(options, split, *rest)

    monkeypatch.setattr(_tasks, "_make", of_the_training_alone)
    with pytest.warns(DataWarning, match="drawn from train, and the run was trained on train"):
        assert cli("doctor", finished, "--tasks", 4).code == 0
    assert cli("doctor", finished, "--tasks", 4, "--split", "train").code == 0  # a warning would be an error here


def test_doctor_compares_no_split_with_itself(cli: Call, finished: pathlib.Path) -> None:
    found = json.loads(cli("doctor", finished, "--tasks", 4, "--split", "val", "--json").out)["checks"]["overlap"]
    assert found["verdict"] == "good"
    assert found["found"].startswith("training (train), these tasks (val) have no class")


def test_sizes_that_tasks_without_data_do_not_have_are_refused(cli: Call, refused: Call, tmp_path: pathlib.Path) -> None:
    run = tmp_path / "curves"
    words = ("--tasks", "sinusoid", "--learner", DESCENT, "--steps", 1, "--threads", 1, "--validation.tasks", 2)
    assert cli("train", *words, "--out", run).code == 0
    assert "the tasks sinusoid have no ways; leave it out" in refused("doctor", run, "--ways", 5)
    assert "tasks is 0; expected 1 or more" in refused("doctor", run, "--tasks", 0)
    assert json.loads(cli("doctor", run, "--shots", 3, "--tasks", 2, "--json").out)["tasks"]["shots"] == 3
    page = tmp_path / "board.md"
    found = json.loads(cli("scoreboard", run, "--shots", 3, 7, "--tasks", 1, "--out", page, "--json").out)["runs"][0]
    assert [row["shots"] for row in found["results"]] == [3, 7]
    assert found["behind_best"] == [0, None]  # one task has no interval
    assert "sinusoid, 7-shot" in page.read_text()
    assert "expected a page such as" in refused("scoreboard", run, "--out", tmp_path / "board")
