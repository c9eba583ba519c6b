"""TrainingSettings: every knob of the outer loop, once. The command line and saved runs are derived from it."""

from __future__ import annotations

import dataclasses
import math
import os
from typing import Literal

from quickstudy.errors import ConfigError
from quickstudy.learner import Learner
from quickstudy.training.plans import Wanted


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """How to meta-train.

    Args:
        steps: outer steps.
        minutes: stop after this time at the latest, with the schedule shortened to it; a run bound by the clock is not repeatable bit
            for bit.
        tasks_per_step: tasks whose meta-gradients are averaged into one step.
        optimizer: outer optimizer; None for what suits the learner.
        lr: outer learning rate; None for what suits the learner.
        schedule: of the learning rate, down to zero (`cosine`, `linear`) or `constant`; None for what suits the learner.
        weight_decay: of the outer optimizer.
        clip: largest norm of the meta-gradient; None for no limit.
        engine: how tasks are mapped: `loop`, `vmap`, or `auto`, which measures both, and in long trainings a third way, one gradient for
            what tasks share, and keeps the fastest.
        capture: replay a captured graph of the meta-gradient; None to measure whether it is faster, where the training is long enough.
        workers: threads that replay captured graphs at the same time, on a CPU; None to measure one and as many as torch would use.
        compile: compile the captured graph, with one worker: several times faster for tiny nets, after a minute or more; needs
            a C++ compiler. None to measure, where operations are short and the training is long.
        chunk: tasks that vmap holds in memory at once; None for all, or as many as a few gigabytes hold where
            the engine is measured.
        precision: `32-true`, or `bf16-mixed` for convolutions and products in bfloat16.
        threads: of each operation on a CPU; None for torch's choice, or for one where several processes share the machine.
        validate_every: steps between validations.
        validation_tasks: tasks of each validation.
        patience: stop after this many validations without a new best; None to go on.
        snapshots: keep the learner of every validation, not only the best.
        checkpoint_minutes: minutes between checkpoints, besides those at validations.
    """

    steps: int = 1000
    minutes: float | None = None
    tasks_per_step: int = 4
    optimizer: Literal["adam", "adamw", "sgd"] | None = None
    lr: float | None = None
    schedule: Literal["cosine", "linear", "constant"] | None = None
    weight_decay: float = 0.0
    clip: float | None = 10.0
    engine: Literal["auto", "loop", "vmap"] = "auto"
    capture: bool | None = None
    workers: int | None = None
    compile: bool | None = None
    chunk: int | None = None
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    threads: int | None = None
    validate_every: int = 500
    validation_tasks: int = 200
    patience: int | None = None
    snapshots: bool = False
    checkpoint_minutes: float = 5.0

    def __post_init__(self) -> None:
        for name in ("steps", "tasks_per_step", "validate_every", "validation_tasks"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected at least 1.")
        for name in ("minutes", "lr", "clip", "workers", "chunk", "threads", "patience", "checkpoint_minutes"):
            value = getattr(self, name)
            if value is not None and not value > 0:  # written so that NaN is refused
                raise ConfigError(f"{name} is {value}; expected more than 0.")
        if self.threads is not None and self.threads > (os.cpu_count() or 1):
            raise ConfigError(
                f"threads is {self.threads}; this machine has {os.cpu_count()} processors, and more threads only slow it down."
            )
        if self.capture is False and (self.workers or 1) > 1:
            raise ConfigError(
                f"workers is {self.workers}, but only captured graphs run on several; expected capture=True, or null."
            )
        if self.compile and (self.capture is False or (self.workers or 1) > 1):
            raise ConfigError(
                "compile is True, but only a captured graph with one worker is compiled; expected capture and workers unset."
            )
        if not 0 <= self.weight_decay < math.inf:
            raise ConfigError(f"weight_decay is {self.weight_decay}; expected 0 or more.")

    def suited_to(self, learner: Learner) -> TrainingSettings:
        """The settings with what suits the learner where the caller named nothing."""
        suited = {name: value for name, value in learner.meta_optimizer.items() if getattr(self, name) is None}
        return dataclasses.replace(self, **suited)

    def rate(self, step: int, seconds: float) -> float:
        """Learning rate of a step, `seconds` after the beginning; needs settings that are `suited_to` a learner."""
        if self.lr is None or self.schedule is None:
            raise ConfigError("lr and schedule are not set; expected settings.suited_to(learner).")
        done = self.done(step, seconds)
        factor = {"cosine": (1 + math.cos(math.pi * done)) / 2, "linear": 1 - done, "constant": 1.0}
        return self.lr * factor[self.schedule]

    def wanted(self) -> Wanted:
        """What these settings fix of the engine."""
        mapping = None if self.engine == "auto" else self.engine
        workers = 1 if self.threads == 1 and self.workers is None else self.workers
        return Wanted(mapping, self.capture, workers, self.chunk, self.compile)

    def seconds(self, per_task: float) -> float:
        """About how long the training takes, if a task takes `per_task` seconds."""
        by_steps = self.steps * self.tasks_per_step * per_task
        return min(by_steps, 60 * self.minutes) if self.minutes else by_steps

    def done(self, step: int, seconds: float) -> float:
        """Fraction of the training that is over, by steps or by the clock, in [0, 1]."""
        by_clock = seconds / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(step / self.steps, by_clock))
