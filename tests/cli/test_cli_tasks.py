"""`--tasks NAME`: every source of tasks can be trained on and evaluated from the command line, with its constructor's options."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable

import numpy as np
import PIL.Image
import pytest
from builders import DESCENT, MEMORY, PROTOTYPES, learner_that

from quickstudy import discovery
from quickstudy.cli import _data, _tasks
from quickstudy.tasks.gaussian_process import GaussianProcessTasks
from quickstudy.tasks.sinusoid import SinusoidTasks

Call = Callable[..., object]
POOLED = learner_that(draws="pooled")
"""Name of a learner that is trained on all training classes at once."""


def test_task_sources_are_what_the_folder_holds() -> None:
    assert discovery.names("tasks") == [
        "classes",
        "gaussian_process",
        "harmonic",
        "labels",
        "pooled",
        "sinusoid",
        "strings",
        "table_prior",
        "table_values_prior",
        "values",
    ]
    for name in discovery.names("tasks"):
        source = discovery.load("tasks", name)
        assert all(hasattr(source, part) for part in ("input", "target", "batch", "describe", "fingerprint", "__getitem__"))


def test_curves_are_trained_on_and_evaluated(cli: Call, tmp_path: pathlib.Path) -> None:
    run = tmp_path / "curves"
    words = ("--tasks", "sinusoid", "--shots", "6", "--learner", DESCENT, "--steps", "2", "--validation.tasks", "3")
    trained = cli("train", *words, "--out", run, "--json")
    assert trained.code == 0, trained
    found = json.loads(trained.out)["validation"]
    assert (found["source"], found["shots"], found["queries"], found["seed"]) == ("sinusoid", 6, 10, _tasks.VALIDATION_SEED)
    evaluated = cli("evaluate", run, "--shots", "4", "--seed", "7", "--tasks", "5", "--json")
    assert evaluated.code == 0, evaluated
    (result,) = json.loads(evaluated.out)["results"]
    assert result["tasks_hash"] == SinusoidTasks(shots=4, seed=7).fingerprint(5)
    assert "mean_squared_error" in result


def test_ranges_of_curves_are_written_as_ranges(cli: Call, tmp_path: pathlib.Path) -> None:
    run = tmp_path / "curves"
    words = ("--tasks", "gaussian_process", "--shots", "3-6", "--length_scale", "0.4-0.8", "--kernel", "matern", "--x=[-1,1]")
    trained = cli("train", *words, "--learner", DESCENT, "--steps", "2", "--validation.tasks", "3", "--out", run, "--json")
    assert trained.code == 0, trained
    found = json.loads(trained.out)["validation"]
    assert (found["shots"], found["length_scale"], found["kernel"], found["x"]) == ("3-6", "0.4-0.8", "matern", "-1.0 to 1.0")
    evaluated = cli("evaluate", run, "--length_scale", "0.5", "--tasks", "5", "--json")
    assert evaluated.code == 0, evaluated
    (result,) = json.loads(evaluated.out)["results"]
    assert result["tasks_hash"] == GaussianProcessTasks(length_scale=0.5).fingerprint(5)


def test_the_next_command_and_a_resumed_run_know_the_source(cli: Call, tmp_path: pathlib.Path) -> None:
    run = tmp_path / "curves"
    trained = cli("train", "--tasks=sinusoid", "--learner", DESCENT, "--steps", "2", "--validation.tasks", "3", "--out", run)
    assert trained.code == 0, trained
    (hint,) = [line for line in trained.out.splitlines() if line.startswith("next: quickstudy ")]
    assert cli(*hint.removeprefix("next: quickstudy ").split(), "--tasks", "3").code == 0
    assert cli("train", "--resume", run).code == 0


def test_a_learner_chooses_the_tasks_that_train_it_and_is_judged_on_few_shot_tasks(
    cli: Call, train: Callable[..., list[str]], tmp_path: pathlib.Path
) -> None:
    run = tmp_path / "run"
    trained = cli(*train(run, learner=POOLED, batch_size=6, ways=3, queries=2), "--json")
    assert trained.code == 0, trained
    found = json.loads(trained.out)["validation"]
    assert [found[key] for key in ("source", "ways", "shots", "queries")] == ["classes", 3, 1, 2]
    about = json.loads(cli("info", run, "--json").out)
    assert about["learner"]["args"]["classes"] == 10
    assert "options of the tasks classes" in cli("evaluate", run, "--help").out
    assert cli("plan", *train(run, learner=POOLED)[1:], "--json").code == 0
    assert cli("train", "--resume", run).code == 0
    trained = cli(*train(tmp_path / "alone", learner=POOLED, validation__split="null"), "--json")
    assert trained.code == 0, trained
    assert json.loads(trained.out)["training"]["source"] == "classes"


def test_no_steps_judge_and_save_a_learner_as_it_is(cli: Call, train: Callable[..., list[str]], tmp_path: pathlib.Path) -> None:
    run = tmp_path / "run"
    trained = cli(*train(run, steps=0), "--json")
    assert trained.code == 0, trained
    found = json.loads(trained.out)
    assert found["steps"] == 0
    assert 30 < found["validation"]["accuracy"] < 100
    assert cli("train", "--resume", run).code == 0
    words = train(tmp_path / "pixels", learner=MEMORY, net="identity", steps=0)  # nothing could be trained
    outcome = cli(*[word for word in words if "channels" not in word])
    assert outcome.code == 0, outcome


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--tasks", "sinusoide"], "unknown task source 'sinusoide'. Did you mean: sinusoid"),
        (["--tasks", "sinusoid", "--ways", "3"], "unknown option --ways"),
        (["--tasks", "sinusoid", "--data", "digits"], "unknown option --data"),
        (["--tasks", "sinusoid", "--learner", PROTOTYPES], PROTOTYPES),
        (["--tasks", "classes"], "lacks --data"),
        (["--tasks", "pooled", "--learner", PROTOTYPES, "--data", "digits"], "these have no support sets; expected tasks such"),
        (["--tasks", "pooled", "--learner", POOLED, "--data", "digits", "--queries", "0"], "queries is 0"),
    ],
)
def test_options_of_another_source_are_refused(refused: Call, tmp_path: pathlib.Path, words: list[str], expected: str) -> None:
    assert expected.lower() in str(refused("train", *words, "--out", tmp_path / "run")).lower()


def test_a_run_is_resumed_after_its_data_was_moved_and_not_on_other_data(
    cli: Call, refused: Call, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate("abc"):
        for image in range(3):
            file = tmp_path / "photos" / name / f"{image}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(np.full((16, 16), 40 * number + image, dtype=np.uint8)).save(file)
    words = ("--data", "photos", "--split", "all", "--size", "16", "--net.channels", "4", "--ways", "2", "--queries", "1")
    assert cli("train", *words, "--validation.split", "null", "--steps", "2", "--out", "r").code == 0
    (tmp_path / "photos").rename(tmp_path / "photos-2024")
    _data.forget()
    message = refused("train", "--resume", "r")
    assert "photos" in message
    assert str(tmp_path) in message
    assert cli("train", "--resume", "r", "--data", "photos-2024").code == 0
    PIL.Image.new("L", (16, 16), 200).save(tmp_path / "photos-2024" / "a" / "0.png")
    _data.forget()
    assert "tasks_hash" in refused("train", "--resume", "r", "--data", "photos-2024")


def drawings(root: pathlib.Path, negative: bool = False) -> pathlib.Path:
    """Write 6 classes of 12 strokes in dark on light, or in light on dark."""
    random = np.random.default_rng(0)
    for number in range(6):
        for image in range(12):
            pixels = np.full((20, 20), 250, dtype=np.uint8)
            row = 2 + 3 * number + int(random.integers(0, 2))
            pixels[row : row + 2, 3:17] = 5
            file = root / f"c{number}" / f"{image}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(255 - pixels if negative else pixels).save(file)
    return root


@pytest.mark.filterwarnings("ignore:this learner was trained on:quickstudy.data.DataWarning")
def test_evaluating_takes_size_channels_and_ink_from_the_learner(cli: Call, refused: Call, tmp_path: pathlib.Path) -> None:
    dark, light = drawings(tmp_path / "dark"), drawings(tmp_path / "light", negative=True)
    run = tmp_path / "r"
    own = ("--ink", "dark", "--channels", "1", "--size", "16", "--split", "all", "--validation.split", "null")
    words = ("--ways", "3", "--queries", "5", "--net.channels", "4", "--steps", "1")
    trained = cli("train", "--data", dark, *own, *words, "--out", run)
    assert trained.code == 0, trained

    def result(*more: object) -> tuple[float, str]:
        outcome = cli("evaluate", run, "--split", "all", "--ways", "3", "--queries", "5", "--tasks", "20", "--json", *more)
        assert outcome.code == 0, outcome
        (found,) = json.loads(outcome.out)["results"]
        return found["accuracy"], found["tasks_hash"]

    plain = result("--data", dark)
    assert plain == result("--data", dark, *own[:6])  # what was said in training may be said again
    assert result("--data", light, "--ink", "light") == plain  # negatives that are called so are the same images
    assert result("--data", light)[1] != plain[1]
    assert "leave them out" in refused("evaluate", run, "--data", dark, "--size", "20")
    assert "leave them out" in refused("evaluate", run, "--data", dark, "--channels", "3")
