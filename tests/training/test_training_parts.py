"""Settings, evaluation, metrics and events, and the progress line, each on its own."""

from __future__ import annotations

import dataclasses
import io
import math
import pathlib
import struct
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
import rich.console
import torch
from builders import DESCENT, ORDERED, Prototypes

from quickstudy.errors import ConfigError, TaskError
from quickstudy.inputs.rows import RowsSpec
from quickstudy.learner import Learner
from quickstudy.nets.identity import Identity
from quickstudy.objectives.classes import OneHot
from quickstudy.task import Examples, Task
from quickstudy.training.evaluate import Result, evaluate
from quickstudy.training.fit import fit
from quickstudy.training.progress import counted, progress_line
from quickstudy.training.settings import EngineSettings, TrainingSettings, ValidationSettings
from quickstudy.training.tracking import COLUMNS, Tracker, read_metrics

Make = Callable[..., Any]


@pytest.mark.parametrize("step", [0, 1, 50, 99, 100])
def test_rates_in_closed_form(step: int) -> None:
    def rate(schedule: str) -> float:
        return TrainingSettings(steps=100, lr=0.2, schedule=schedule).rate(step, seconds=1e9)  # type: ignore[arg-type]

    assert rate("constant") == 0.2
    assert rate("linear") == pytest.approx(0.2 * (1 - step / 100))
    assert rate("cosine") == pytest.approx(0.2 * (1 + math.cos(math.pi * step / 100)) / 2)


def test_the_clock_shortens_the_schedule() -> None:
    settings = TrainingSettings(steps=1000, minutes=2, lr=1.0, schedule="linear")
    assert settings.done(0, 0) == 0
    assert settings.done(100, 60) == 0.5
    assert settings.done(900, 60) == 0.9  # whichever is further
    assert settings.done(0, 121) == 1
    assert settings.rate(100, 60) == 0.5


def group_of(name: str) -> type[TrainingSettings | ValidationSettings]:
    """Return the group of settings that has this one."""
    return ValidationSettings if name in ValidationSettings.__dataclass_fields__ else TrainingSettings


@pytest.mark.parametrize("name", ["tasks_per_step", "every", "tasks"])
def test_counts_are_at_least_one(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name} is 0; expected 1 or more"):
        group_of(name)(**{name: 0})  # type: ignore[arg-type]


def test_steps_may_be_none_but_no_fewer() -> None:
    assert TrainingSettings(steps=0).done(0, 0.0) == 1
    with pytest.raises(ConfigError, match="steps is -1; expected 0 or more"):
        TrainingSettings(steps=-1)


@pytest.mark.parametrize("name", ["minutes", "lr", "clip", "threads", "patience", "checkpoint_minutes"])
@pytest.mark.parametrize("value", [0, -1, math.nan])
def test_sizes_are_more_than_nothing(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"{name} is {value}; expected more than 0"):
        group_of(name)(**{name: value})  # type: ignore[arg-type]


def test_other_bad_settings() -> None:
    with pytest.raises(ConfigError, match="weight_decay is -1"):
        TrainingSettings(weight_decay=-1)
    with pytest.raises(ConfigError, match="workers is 2, but only captured graphs run on several"):
        EngineSettings(workers=2, capture=False)
    with pytest.raises(ConfigError, match="suited_to"):
        TrainingSettings().rate(0, 0)


def test_settings_suit_the_learner_where_nothing_was_named(make_learner: Make) -> None:
    suited = TrainingSettings().suited_to(make_learner(ORDERED))
    assert (suited.optimizer, suited.lr, suited.schedule) == ("sgd", 1.0, "linear")
    named = TrainingSettings(optimizer="adamw", lr=0.5, schedule="constant")
    assert named.suited_to(make_learner(ORDERED)) == named


class Scripted(Learner):
    """Predicts the way that the first number of an input says."""

    def adapt(self, support: Examples, state: Any = None) -> dict[str, torch.Tensor]:
        return {"ways": torch.zeros(support.y.rows.shape[-1])}

    def predict(self, state: Any, x: Any) -> torch.Tensor:
        return -(x[:, :1] - torch.arange(len(state["ways"]))).abs()


@dataclasses.dataclass(frozen=True)
class Given:
    """Hand-made tasks of two ways: `rights[i]` of the 4 queries of task `i` are answered rightly, and one is padding."""

    rights: tuple[int, ...]

    target: ClassVar[str] = "classes"
    input: ClassVar[RowsSpec] = RowsSpec(1)

    def batch(self, indices: range) -> Task:
        y = torch.eye(2).repeat(2, 1)
        y = torch.cat([y, y[:1]])  # the fifth is padding
        truth = y.argmax(-1).float()
        x = torch.stack([torch.where(torch.arange(5) < self.rights[i], truth, 1 - truth) for i in indices]).unsqueeze(-1)
        many = y.expand(len(indices), -1, -1)
        mask = (torch.arange(5) < 4).expand(len(indices), -1)
        return Task(Examples(torch.zeros(len(indices), 2, 1), OneHot(many[:, :2])), Examples(x, OneHot(many), mask))

    def fingerprint(self, count: int) -> str:
        return f"given {count}"

    def describe(self) -> dict[str, Any]:
        return {"dataset": "given"}


def test_evaluate_gives_the_mean_and_the_interval_over_tasks() -> None:
    rights = tuple(np.random.default_rng(0).integers(0, 5, 37).tolist())
    done: list[int] = []
    result = evaluate(Scripted(), Given(rights), 37, done.append)
    accuracy = np.array(rights) / 4
    np.testing.assert_allclose(result.scores, accuracy)
    assert result.mean == pytest.approx(accuracy.mean())
    assert result.ci95 == pytest.approx(1.96 * np.std(accuracy, ddof=1) / np.sqrt(37))
    assert done == [16, 16, 5]
    assert result.to_dict() == {
        "accuracy": round(100 * accuracy.mean(), 3),
        "ci95": round(196 * np.std(accuracy, ddof=1) / np.sqrt(37), 3),
        "ece": pytest.approx(100 * abs(1 / (1 + math.exp(-1)) - accuracy.mean()), abs=1e-3),
        "ece_uncalibrated": pytest.approx(100 * abs(1 / (1 + math.exp(-1)) - accuracy.mean()), abs=1e-3),
        "test_tasks": 37,
        "protocol": "inductive",
        "dataset": "given",
        "tasks_hash": "given 37",
    }


def test_one_task_has_no_interval() -> None:
    result = Result(np.array([0.5]), "inductive", {}, "")
    assert result.ci95 == math.inf
    assert result.to_dict()["ci95"] is None


def test_evaluate_without_tasks(rows: Make) -> None:
    with pytest.raises(ConfigError, match="count is 0"):
        evaluate(Prototypes(Identity(4)), rows(), 0)


def test_evaluate_is_right_where_classes_are_far_apart_and_changes_nothing(rows: Make, make_learner: Make) -> None:
    assert evaluate(Prototypes(Identity(4)), rows(spread=1e-3), 20).mean == 1
    learner = make_learner(DESCENT, norm="batch")
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    evaluate(learner, rows(), 5)
    assert all(torch.equal(value, before[name]) for name, value in learner.state_dict().items())


def test_a_query_label_that_the_support_lacks(rows: Make, make_learner: Make, settings: Make) -> None:
    tasks = rows(drop=2, drop_at=18)
    assert evaluate(make_learner(), tasks, 18).scores.shape == (18,)
    with pytest.raises(TaskError, match=r"task 18 asks in its query set for way 2, of which its support set has no example"):
        evaluate(make_learner(), tasks, 20)
    with pytest.raises(TaskError, match="task 1 asks"):
        fit(make_learner(), rows(), rows(drop=1, drop_at=1), settings())


def test_a_label_that_only_padding_has_is_lacking(rows: Make, make_learner: Make) -> None:
    class Padded(rows):  # type: ignore[misc, valid-type]
        def batch(self, indices: range) -> Task:
            task = super().batch(indices)
            shown = task.support.y.labels != 1
            return Task(Examples(task.support.x, task.support.y, shown), task.query)

    with pytest.raises(TaskError, match="task 0 asks in its query set for way 1"):
        evaluate(make_learner(), Padded(), 2)


def events(folder: pathlib.Path) -> list[Any]:
    """Every event in TensorBoard's files, in order."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for file in sorted(folder.iterdir()):
        content, at = file.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            found.append(Event.FromString(content[at + 12 : at + 12 + length]))
            at += 16 + length
    return found


def test_metrics_and_events_hold_every_step(rows: Make, make_learner: Make, settings: Make, tmp_path: pathlib.Path) -> None:
    fit(make_learner(), rows(), rows(seed=1), settings(), tmp_path)
    table = read_metrics(tmp_path / "metrics.csv")
    assert tuple(table[0]) == COLUMNS
    assert [row["step"] for row in table] == [str(step) for step in range(1, 7)]
    assert [bool(row["validation_accuracy"]) for row in table] == [False, False, False, True, False, True]
    scalars = {(e.step, v.tag): v.simple_value for e in events(tmp_path / "tensorboard") for v in e.summary.value}
    assert not any(row["validation_mean_squared_error"] for row in table)
    for row in table:
        for name in COLUMNS[1:]:
            assert ((int(row["step"]), name) in scalars) == bool(row[name])
            if row[name]:
                assert scalars[int(row["step"]), name] == pytest.approx(float(row[name]), rel=1e-5)
    assert float(table[-1]["tasks_per_second"]) == pytest.approx(12 / float(table[-1]["seconds"]), rel=1e-3)


def test_a_tracker_drops_what_lies_beyond_the_step_where_it_goes_on(tmp_path: pathlib.Path) -> None:
    first = Tracker(tmp_path, 0)
    for step in (1, 2, 3):
        first.log(step, {"loss": step / 3})
    first.close()
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("4,0.")  # cut short by a crash
    second = Tracker(tmp_path, 2)
    second.log(3, {"loss": 9.0, "validation_ci95": math.inf})
    second.close()
    table = read_metrics(tmp_path / "metrics.csv")
    assert [(row["step"], row["loss"]) for row in table] == [("1", "0.333333"), ("2", "0.666667"), ("3", "9")]
    found = events(tmp_path / "tensorboard")
    assert [event.step for event in found if event.HasField("session_log")] == [
        3
    ]  # TensorBoard hides steps from 3 on in older files
    assert [value.tag for event in found if event.step == 3 for value in event.summary.value] == ["loss", "loss"]


def test_a_tracker_without_a_folder_does_nothing() -> None:
    tracker = Tracker(None, 0)
    tracker.log(1, {"loss": 1.0})
    tracker.close()


ROW = {"loss": 0.5, "lr": 0.1, "tasks_per_second": 321.0}
VALIDATED = ROW | {"validation_accuracy": 0.876, "validation_ci95": 0.012}


def test_the_progress_line_of_a_terminal() -> None:
    screen = io.StringIO()
    with progress_line(rich.console.Console(file=screen, force_terminal=True, width=120)) as line:
        line.update(0.25, VALIDATED)
        line.update(0.5, ROW)
    last = screen.getvalue().split("\r")[-1]
    for part in ("50%", "loss 0.500", "validation 87.6 ± 1.2 %", "321 tasks/s", ":"):
        assert part in last


def test_the_progress_lines_of_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 10.0, 15.0, 25.0, 27.5])
    monkeypatch.setattr("quickstudy.training.progress.time.monotonic", lambda: next(clock))
    pipe = io.StringIO()
    with progress_line(rich.console.Console(file=pipe, force_terminal=False, width=40)) as line:
        line.update(0.6, VALIDATED)  # a resumed run
        line.update(0.65, ROW)
        line.update(0.8, ROW)
        line.update(1.0, ROW)
        line.note("engine: loop [fast]")
    assert pipe.getvalue().splitlines() == [
        " 80 %  loss 0.500  validation 87.6 ± 1.2 %  321 tasks/s  0.2 min left",
        "100 %  loss 0.500  validation 87.6 ± 1.2 %  321 tasks/s  0.0 min left",
        "engine: loop [fast]",
    ]


def test_counted_work_says_so_in_a_pipe_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 4.0, 11.0, 12.0, 22.0])
    monkeypatch.setattr("quickstudy.training.progress.time.monotonic", lambda: next(clock))
    pipe = io.StringIO()
    with counted("evaluating", 100, rich.console.Console(file=pipe, force_terminal=False, width=40)) as advance:
        for count in (10, 12, 3, 19):
            advance(count)
    assert pipe.getvalue().splitlines() == [
        "evaluating: 22 of 100 tasks, 0.7 min left",
        "evaluating: 44 of 100 tasks, 0.5 min left",
    ]


def test_counted_work_is_a_bar_on_a_terminal() -> None:
    screen = io.StringIO()
    with counted("evaluating", 4, rich.console.Console(file=screen, force_terminal=True, width=80)) as advance:
        advance(2)
    assert "evaluating" in screen.getvalue()
    assert "50%" in screen.getvalue()
