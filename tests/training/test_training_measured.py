"""A loss that reads what is measured: it is measured anew on a schedule of its own, not at validations."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from builders import JUDGED, Prototypes

from quickstudy.nets.mlp import MLP
from quickstudy.task import Task
from quickstudy.training.estimate import estimate
from quickstudy.training.fit import fit
from quickstudy.training.folder import RunFolder
from quickstudy.training.settings import TrainingSettings, ValidationSettings, plan
from quickstudy.training.tracking import read_metrics

from .conftest import FEATURES, Counted, Rows

STEPS = 8


def make() -> Counted:
    torch.manual_seed(0)
    return Counted(MLP(FEATURES, hidden=(8,), norm="batch")).double()


def limits(**changes: Any) -> TrainingSettings:
    usual: dict[str, Any] = {
        "steps": STEPS,
        "tasks_per_step": 2,
        "engine": plan(),
        "lr": 0.05,
        "optimizer": "sgd",
        "validation": JUDGED,
    }
    return TrainingSettings(**(usual | changes))


def trained(folder: pathlib.Path, every: int) -> list[float]:
    tasks = Rows(dtype=torch.float64)
    fit(make(), tasks, tasks, limits(validation=ValidationSettings(every=every, tasks=2)), folder)
    return [float(row["loss"]) for row in read_metrics(folder / "metrics.csv")]


def test_a_training_does_not_depend_on_how_often_it_is_validated(tmp_path: pathlib.Path) -> None:
    found = [trained(tmp_path / str(every), every) for every in (1, 2, STEPS)]
    assert found[0] == found[1] == found[2]


def test_it_is_measured_at_the_steps_that_the_learner_names(tmp_path: pathlib.Path) -> None:
    class Same(Rows):
        """The same tasks in every step."""

        def batch(self, indices: range) -> Task:
            return super().batch(range(len(indices)))

    learner = make()
    fit(learner, Same(dtype=torch.float64), None, dataclasses.replace(limits(), lr=1e-12), tmp_path)
    losses = [float(row["loss"]) for row in read_metrics(tmp_path / "metrics.csv")]
    assert [loss / losses[0] for loss in losses] == pytest.approx([1, 1, 1, 2, 2, 2, 3, 3], rel=1e-4)
    assert int(learner.times) == 3  # after steps 3 and 6, and at the end


def test_a_resumed_training_measures_as_one_that_was_not_stopped(tmp_path: pathlib.Path) -> None:
    class StoppedError(Exception):
        pass

    class Breaking(Rows):
        def batch(self, indices: range) -> Task:
            if indices.start == 2 * 5:
                raise StoppedError
            return super().batch(indices)

    tasks, settings = Rows(dtype=torch.float64), limits(validation=ValidationSettings(every=3, tasks=2))
    with pytest.raises(StoppedError):  # after the checkpoint of step 3
        fit(make(), Breaking(dtype=torch.float64), tasks, settings, tmp_path / "run")
    fit(make(), tasks, tasks, settings, RunFolder(tmp_path / "run", resume=True))
    losses = [float(row["loss"]) for row in read_metrics(tmp_path / "run" / "metrics.csv")]
    assert losses == trained(tmp_path / "whole", STEPS)


def test_an_estimate_counts_the_measurements() -> None:
    """Each takes as long as the learner's own measurement, which is as it was afterwards."""

    class Slow(Counted):
        def calibrate(self, tasks: Iterable[Task]) -> None:
            super().calibrate(tasks)
            time.sleep(0.2)

    torch.manual_seed(0)
    learner, tasks = Slow(MLP(FEATURES)).double(), Rows(dtype=torch.float64)
    found = estimate(learner, tasks, None, limits(steps=300))
    assert int(learner.times) == 0
    assert found.measuring_seconds >= 0.2
    assert found.minutes * 60 >= 100 * found.measuring_seconds
    timed = estimate(learner, tasks, None, limits(steps=300, minutes=0.1))
    assert timed.steps <= 6 / 0.2 * 3
    assert estimate(Prototypes(MLP(FEATURES)).double(), tasks, None, limits()).measuring_seconds == 0
