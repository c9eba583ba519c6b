"""Estimate: how long a training will take and how much memory, measured on a few of its steps and validation tasks."""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from quickstudy.functional.call import trainable
from quickstudy.layers.check import restored_buffers
from quickstudy.learner import Learner, annealing, set_progress
from quickstudy.tasks.source import TaskSource
from quickstudy.training.device import mixed_precision, own_device, threads
from quickstudy.training.engine import Engine
from quickstudy.training.evaluate import Evaluator, check_fits
from quickstudy.training.loop import CALIBRATION_TASKS
from quickstudy.training.memory import peak_megabytes
from quickstudy.training.optimizers import OPTIMIZERS
from quickstudy.training.plans import choose_engine
from quickstudy.training.settings import TrainingSettings


@dataclasses.dataclass(frozen=True)
class Sample:
    """Amount of work that is measured.

    Args:
        steps: steps whose median time counts, after one that warms up.
        seconds: time after which no further step is measured.
        tasks: validation tasks that are judged.
    """

    steps: int = 5
    seconds: float = 10.0
    tasks: int = 8


SAMPLE = Sample()


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Time and memory that a training will take.

    Args:
        step_seconds: seconds of a step, on average over the phases of the training.
        validation_seconds: seconds of one validation; 0 without validation.
        measuring_seconds: seconds of one measurement between validations; 0 for a learner that needs none.
        setup_seconds: seconds before the first step, in which the engine is chosen.
        minutes: the whole training, by its steps or by its clock.
        steps: steps that it makes in that time.
        megabytes: most memory of the process; None if the system does not say.
        engine: plan of the engine.
    """

    step_seconds: float
    validation_seconds: float
    measuring_seconds: float
    setup_seconds: float
    minutes: float
    steps: int
    megabytes: float | None
    engine: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return dataclasses.asdict(self)


def estimate(learner: Learner, tasks: TaskSource, validation: TaskSource | None, settings: TrainingSettings) -> Estimate:
    """Do a few steps and a part of a validation, as `fit` does them, and return what all of them will take.

    The memory is that of the process since it began, so that a process of its own gives a training's figure.

    Args:
        learner: its weights are left as they are, its gradients are overwritten.
        tasks: training tasks.
        validation: validation tasks, or None.
        settings: the outer loop.
    """
    check_fits(learner, tasks)
    if learner.draws:
        learner.prepare(tasks.batch(range(1))[0])
    settings, device = settings.suited_to(learner), own_device(0)
    learner = learner.eval().to(device)
    with threads(settings.threads):
        setup, step, plan = 0.0, 0.0, "none, as there are no steps"
        if settings.steps:
            began = time.perf_counter()
            engine = _engine(learner, tasks, settings, device)
            setup, plan = time.perf_counter() - began, str(engine.plan)
            step = sum(share * _seconds(_step(engine, tasks, settings, device)) for share in _phases(learner))
        measured = _measuring(learner, tasks)
        judged = 0.0 if validation is None else measured + _validation(learner, validation, settings)
    every = settings.validation.every
    measured = measured if learner.measured_every else 0.0
    measurements = max(settings.steps - 1, 0) // learner.measured_every if learner.measured_every else 0
    validations = max(1, math.ceil(settings.steps / every))  # the last step is judged too
    per_step = step + judged / every + measured / (learner.measured_every or 1)
    by_steps = settings.steps * step + validations * judged + measurements * measured
    by_clock = 60 * settings.minutes if settings.minutes and settings.steps else by_steps
    count = settings.steps if by_steps <= by_clock else max(1, int(by_clock / per_step))
    minutes = (setup + min(by_steps, by_clock)) / 60
    return Estimate(step, judged, measured, setup, minutes, count, peak_megabytes(device), plan)


def _phases(learner: Learner) -> Iterator[float]:
    """Set the learner to each phase of its training, one after the other, and yield the share of each; in the end it is as before."""
    ends = {getattr(part, phase) for part in annealing(learner) for phase in part.phases}
    begins = sorted({0.0, *(end for end in ends if end < 1)})
    for begin, end in itertools.pairwise([*begins, 1.0]):
        set_progress(learner, begin)
        yield end - begin
    set_progress(learner, 0.0)


def _engine(learner: Learner, tasks: TaskSource, settings: TrainingSettings, device: torch.device) -> Engine:
    """Return the engine that the training would choose."""
    wanted = settings.wanted_engine()
    chosen = wanted.plan()
    if chosen is not None:
        return Engine(learner, chosen)
    with mixed_precision(device, settings.precision):
        return choose_engine(learner, tasks.batch(range(settings.tasks_per_step)).to(device), wanted, settings.seconds)[0]


def _step(engine: Engine, tasks: TaskSource, settings: TrainingSettings, device: torch.device) -> Callable[[int], None]:
    """Return a function that makes the step of an index, with a learning rate of 0."""
    weights = list(trainable(engine.learner).values())
    optimizer, count = OPTIMIZERS[settings.optimizer or "adam"](weights, lr=0.0), settings.tasks_per_step

    def step(index: int) -> None:
        batch = tasks.batch(range(index * count, (index + 1) * count)).to(device)
        with mixed_precision(device, settings.precision):
            float(engine(batch))  # float waits for a GPU
        optimizer.step()

    return step


def _seconds(step: Callable[[int], None]) -> float:
    """Return the median seconds of a step."""
    step(0)
    passes: list[float] = []
    while len(passes) < SAMPLE.steps and sum(passes) < SAMPLE.seconds:
        began = time.perf_counter()
        step(1 + len(passes))
        passes.append(time.perf_counter() - began)
    return statistics.median(passes)


def _measuring(learner: Learner, tasks: TaskSource) -> float:
    """Return the seconds in which the learner measures what is not learned, which is as it was afterwards."""
    batch = tasks.batch(CALIBRATION_TASKS).to(own_device(0))
    with restored_buffers(learner):
        began = time.perf_counter()
        learner.calibrate(batch[index] for index in range(batch.count))
        return time.perf_counter() - began


def _validation(learner: Learner, validation: TaskSource, settings: TrainingSettings) -> float:
    """Return the seconds of a whole validation."""
    count, evaluator = min(SAMPLE.tasks, settings.validation.tasks), Evaluator(learner, settings.engine.mapping)
    evaluator(validation, range(1))
    began = time.perf_counter()
    evaluator(validation, range(count))
    return (time.perf_counter() - began) * settings.validation.tasks / count
