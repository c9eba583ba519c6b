"""`--tasks NAME`: every source of tasks can be trained on and evaluated from the command line, with its constructor's options."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable

import pytest

from quickstudy import discovery
from quickstudy.cli import _tasks
from quickstudy.tasks.sinusoid import SinusoidTasks

Call = Callable[..., object]


def test_task_sources_are_what_the_folder_holds() -> None:
    assert discovery.names("tasks") == ["classes", "sinusoid"]
    for name in discovery.names("tasks"):
        source = discovery.load("tasks", name)
        assert all(hasattr(source, part) for part in ("input", "target", "batch", "describe", "fingerprint", "__getitem__"))


def test_curves_are_trained_on_and_evaluated(cli: Call, tmp_path: pathlib.Path) -> None:
    run = tmp_path / "curves"
    words = ("--tasks", "sinusoid", "--shots", "6", "--learner", "maml", "--steps", "2", "--validation_tasks", "3")
    trained = cli("train", *words, "--out", run, "--json")
    assert trained.code == 0, trained
    found = json.loads(trained.out)["validation"]
    assert (found["source"], found["shots"], found["queries"], found["seed"]) == ("sinusoid", 6, 10, _tasks.VALIDATION_SEED)
    evaluated = cli("evaluate", run, "--shots", "4", "--seed", "7", "--tasks", "5", "--json")
    assert evaluated.code == 0, evaluated
    (result,) = json.loads(evaluated.out)["results"]
    assert result["tasks_hash"] == SinusoidTasks(shots=4, seed=7).fingerprint(5)
    assert "mean_squared_error" in result


def test_the_next_command_and_a_resumed_run_know_the_source(cli: Call, tmp_path: pathlib.Path) -> None:
    run = tmp_path / "curves"
    trained = cli("train", "--tasks=sinusoid", "--learner", "maml", "--steps", "2", "--validation_tasks", "3", "--out", run)
    assert trained.code == 0, trained
    (hint,) = [line for line in trained.out.splitlines() if line.startswith("next: quickstudy ")]
    assert cli(*hint.removeprefix("next: quickstudy ").split(), "--tasks", "3").code == 0
    assert cli("train", "--resume", run).code == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--tasks", "sinusoide"], "unknown task source 'sinusoide'. Did you mean: sinusoid"),
        (["--tasks", "sinusoid", "--ways", "3"], "unknown option --ways"),
        (["--tasks", "sinusoid", "--data", "digits"], "unknown option --data"),
        (["--tasks", "sinusoid", "--learner", "protonet"], "protonet"),
        (["--tasks", "classes"], "lacks --data"),
    ],
)
def test_options_of_another_source_are_refused(refused: Call, tmp_path: pathlib.Path, words: list[str], expected: str) -> None:
    assert expected.lower() in str(refused("train", *words, "--out", tmp_path / "run")).lower()
