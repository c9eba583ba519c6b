"""TrainingSettings: every setting of the outer loop, written once. The command line and saved runs are derived from it."""

from __future__ import annotations

import dataclasses
import math
import os
from typing import Any, Literal, get_args

import numpy as np

from quickstudy.errors import ConfigError, check_at_least, check_choice
from quickstudy.learner import Learner

Mapping = Literal["auto", "loop", "vmap", "joint"]
ClassWeights = Literal["none", "balanced"]


def _make_plain(settings: Any) -> None:
    """Turn every number of NumPy in a frozen dataclass into the number of Python that a file can hold."""
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, np.generic):
            object.__setattr__(settings, field.name, value.item())


def _check_positive(settings: Any, *names: str) -> None:
    """Raise a ConfigError unless these fields are more than 0, or None."""
    for name in names:
        value = getattr(settings, name)
        if value is not None and not value > 0:  # written so that NaN is refused
            raise ConfigError(f"{name} is {value}; expected more than 0.", subject=name, expected="more than 0")


@dataclasses.dataclass(frozen=True)
class EngineSettings:
    """Settings of how a batch of tasks is worked through: a plan if every field is set, a wish if some are left to be measured.

    Args:
        mapping: `loop` over tasks; `vmap`, all tasks of a chunk in every operation; `joint`, the same with one gradient for what tasks
            share, which only `auto` may choose, since it must be compared; `auto` measures all three and keeps the fastest.
        capture: replay a captured graph of the meta-gradient instead of running Python, autograd and vmap anew; None to measure whether
            it is faster if the training is long enough.
        workers: threads that replay captured graphs at the same time, on a CPU; with several, every operation runs on one thread. None to
            measure one and as many as torch would use.
        compile: compile the captured graph, with one worker: several times faster for tiny nets, after a minute or more; needs
            a C++ compiler. None to measure if operations are short and the training is long.
        chunk: tasks that vmap holds in memory at once; None for all, or as many as a few gigabytes hold if the mapping is measured.

    >>> str(EngineSettings("vmap", capture=True, workers=2))
    'captured vmap x2'
    """

    mapping: Mapping = "auto"
    capture: bool | None = None
    workers: int | None = None
    compile: bool | None = None
    chunk: int | None = None

    def __post_init__(self) -> None:
        _make_plain(self)
        check_choice("mapping", self.mapping, ("auto", "loop", "vmap", "joint"))
        _check_positive(self, "workers", "chunk")
        if self.capture is False and (self.workers or 1) > 1:
            raise ConfigError(
                f"workers is {self.workers}, but only captured graphs run on several; expected capture=True, or null."
            )
        if self.compile and (self.capture is False or (self.workers or 1) > 1):
            raise ConfigError(
                "compile is True, but only a captured graph with one worker is compiled; expected capture and workers unset."
            )

    def __str__(self) -> str:
        words = [*(["compiled"] if self.compile else ["captured"] if self.capture else []), self.mapping]
        return " ".join(words) + (f" x{self.workers}" if (self.workers or 1) > 1 else "")

    def plan(self) -> EngineSettings | None:
        """Return the plan with every field set, or None if one is left to be measured."""
        open_within = self.workers is None or (self.workers == 1 and self.compile is None)
        if self.mapping == "auto" or self.capture is None or (self.capture and open_within):
            return None
        return plan(self.mapping, self.capture, self.workers or 1, bool(self.compile), self.chunk)

    def wants_graphs(self) -> bool:
        """Return whether what is set needs captured graphs."""
        return bool(self.capture or self.compile or (self.workers or 1) > 1)


def plan(
    mapping: Mapping = "loop", capture: bool = False, workers: int = 1, compile: bool = False, chunk: int | None = None
) -> EngineSettings:
    """Return settings of which nothing is left to be measured."""
    return EngineSettings(mapping, capture, workers, compile, chunk)


@dataclasses.dataclass(frozen=True)
class ValidationSettings:
    """Settings of how a learner is judged while it is trained.

    Args:
        every: steps between validations.
        tasks: tasks of each validation.
        patience: stop after this many validations without a new best; None to go on.
        snapshots: keep the learner of every validation, not only the best.
    """

    every: int = 500
    tasks: int = 200
    patience: int | None = None
    snapshots: bool = False

    def __post_init__(self) -> None:
        _make_plain(self)
        check_at_least("every", self.every, 1)
        check_at_least("tasks", self.tasks, 1)
        _check_positive(self, "patience")


@dataclasses.dataclass(frozen=True)
class ObjectiveSettings:
    """Settings of the loss of transcripts.

    Args:
        character_weight: of the loss per character (CTC, in nats), 0 or more.
        word_weight: of the expected share of wrong words, counted on sampled transcripts (Graves and Jaitly 2014, section 4), 0 or more.
            While every word is wrong, all samples have the same error and nothing is learned from them, so that it is for a training that
            already writes down some words.
    """

    character_weight: float = 1.0
    word_weight: float = 0.0

    def __post_init__(self) -> None:
        _make_plain(self)
        check_at_least("character_weight", self.character_weight, 0)
        check_at_least("word_weight", self.word_weight, 0)
        if self.character_weight == self.word_weight == 0:
            raise ConfigError(
                "character_weight and word_weight are both 0, so that nothing would be learned; raise one of them."
            )


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """Settings of a meta-training.

    Args:
        steps: outer steps; 0 for a learner that is calibrated, judged and saved as it is.
        minutes: stop after this time at the latest, with the schedule shortened to it; a run bound by the clock is not repeatable bit
            for bit.
        tasks_per_step: tasks whose meta-gradients are averaged into one step.
        optimizer: outer optimizer; `muon` is Muon for matrices and AdamW for all else; None for what suits the learner.
        lr: outer learning rate; None for what suits the learner.
        schedule: of the learning rate, down to zero (`cosine`, `linear`) or `constant`; None for what suits the learner.
        weight_decay: of the outer optimizer.
        clip: largest norm of the meta-gradient; None for no limit.
        engine: how tasks are mapped, and graphs captured and compiled; a mapping alone stands for settings with it.
        class_weights: `balanced` weighs each query of the loss by the inverse frequency of its class in its task, with the mean 1, so that
            every class has the same share of the loss; `none` weighs all queries alike.
        objective: how the loss of transcripts weighs characters and words.
        precision: `32-true`, or `bf16-mixed` for convolutions and products in bfloat16.
        threads: of each operation on a CPU while training; None for torch's choice, or for one if several processes share the machine.
        validation: how often, and on how many tasks, the learner is judged.
        checkpoint_minutes: minutes between checkpoints, besides those at validations.
    """

    steps: int = 1000
    minutes: float | None = None
    tasks_per_step: int = 4
    optimizer: Literal["adam", "adamw", "sgd", "muon"] | None = None
    lr: float | None = None
    schedule: Literal["cosine", "linear", "constant"] | None = None
    weight_decay: float = 0.0
    clip: float | None = 10.0
    engine: EngineSettings = dataclasses.field(default_factory=EngineSettings)
    class_weights: ClassWeights = "none"
    objective: ObjectiveSettings = dataclasses.field(default_factory=ObjectiveSettings)
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    threads: int | None = None
    validation: ValidationSettings = dataclasses.field(default_factory=ValidationSettings)
    checkpoint_minutes: float = 5.0

    def __post_init__(self) -> None:
        _make_plain(self)
        check_at_least("steps", self.steps, 0)
        check_at_least("tasks_per_step", self.tasks_per_step, 1)
        check_choice("class_weights", self.class_weights, get_args(ClassWeights))
        _check_positive(self, "minutes", "lr", "clip", "threads", "checkpoint_minutes")
        if self.threads is not None and self.threads > (os.cpu_count() or 1):
            raise ConfigError(
                f"threads is {self.threads}; this machine has {os.cpu_count()} processors, and more threads only slow it down."
            )
        engine: Any = self.engine
        if isinstance(engine, str):
            object.__setattr__(self, "engine", EngineSettings(engine))  # pyright: ignore[reportArgumentType]
        if self.engine.mapping == "joint":
            raise ConfigError(
                "mapping is 'joint', which is exact for some learners only; expected auto, which compares it first."
            )
        if not 0 <= self.weight_decay < math.inf:
            raise ConfigError(f"weight_decay is {self.weight_decay}; expected 0 or more.")

    def suited_to(self, learner: Learner) -> TrainingSettings:
        """Return the settings with what suits the learner if the caller named nothing."""
        suited = {name: value for name, value in learner.meta_optimizer.items() if getattr(self, name) is None}
        return dataclasses.replace(self, **suited)

    def rate(self, step: int, seconds: float) -> float:
        """Return the learning rate of a step, `seconds` after the beginning; needs settings that are `suited_to` a learner."""
        if self.lr is None or self.schedule is None:
            raise ConfigError("lr and schedule are not set; expected settings.suited_to(learner).")
        done = self.done(step, seconds)
        factor = {"cosine": (1 + math.cos(math.pi * done)) / 2, "linear": 1 - done, "constant": 1.0}
        return self.lr * factor[self.schedule]

    def wanted_engine(self) -> EngineSettings:
        """Return what these settings fix of the engine: with one thread there is one worker."""
        one = self.threads == 1 and self.engine.workers is None
        return dataclasses.replace(self.engine, workers=1) if one else self.engine

    def seconds(self, per_task: float) -> float:
        """Return about how long the training takes if a task takes `per_task` seconds."""
        by_steps = self.steps * self.tasks_per_step * per_task
        return min(by_steps, 60 * self.minutes) if self.minutes else by_steps

    def done(self, step: int, seconds: float) -> float:
        """Return the fraction of the training that is over, by steps or by the clock, in [0, 1]."""
        by_clock = seconds / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(step / self.steps, by_clock)) if self.steps else 1.0
