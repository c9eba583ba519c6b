"""Engine: the three functions behind a skill, whichever library runs them; and the records that skills, engines and files exchange."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from quickstudy.errors import ConfigError
from quickstudy.inputs import InputSpec
from quickstudy.runtime.bundle import Arrays, Bundle
from quickstudy.targets import ValueScale
from quickstudy.targets.classes import plain


@dataclasses.dataclass(frozen=True)
class Facts:
    """Facts about a learner, the same whichever engine runs it.

    Args:
        name: the learner's name, for errors.
        target: kind of answer, a name of `quickstudy.targets`.
        continues: whether `update` remembers what the state has learned.
        ways: number of ways of a fixed head; None if any number will do.
        most: most values that an example may have; None if any number will do.
        rate: the setting to lower if adapting diverges; empty if there is none.
        temperature: number by which logits are divided to become probabilities, together with `ways ** temperature_power`.
        temperature_power: how the temperature follows the number of ways; 0 if it does not.
        threshold: largest logit below which an example belongs to no class; None if it was not measured.
        statistics: statistics of the inputs of training; empty if they are not known.
        symbols: alphabet of sequences, if a head is fixed to it; empty if any will do.
        frames: outputs for each example along time, for sequences; 0 if there is one output.
        scale: scale at which the learner sees values; None: as they are.
    """

    name: str
    target: str
    continues: bool
    ways: int | None = None
    most: int | None = None
    rate: str = ""
    temperature: float = 1.0
    temperature_power: float = 0.0
    threshold: float | None = None
    statistics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    symbols: tuple[str, ...] = ()
    frames: int = 0
    scale: ValueScale | None = None


@dataclasses.dataclass(frozen=True)
class Known:
    """Knowledge of a skill at one moment. It is replaced as a whole, so that threads never see half of it.

    Args:
        state: the learner's state.
        labels: what each way stands for; empty for values.
        x: kept inputs in their stored form, by name; empty if examples are not kept.
        y: the kept examples' rows `[example, output]`, of sequences `[example, place, symbol]`.
        spec: what reads the task's examples.
    """

    state: Arrays
    labels: tuple[Any, ...]
    x: Arrays
    y: np.ndarray
    spec: InputSpec


@dataclasses.dataclass(frozen=True)
class Choices:
    """Choices that were made when a task was begun.

    Args:
        reading: how examples are read, as keywords of `spec.read_all`, such as `{"ink": "dark"}`.
        settings: values of the learner's settings, such as `inner_steps`.
        keep: keep the examples as they were given, in their stored form, even if the learner does not need them.
        expected: labels that will come, in the order of their ways.
    """

    reading: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    settings: Arrays = dataclasses.field(default_factory=dict)
    keep: bool = False
    expected: tuple[Any, ...] = ()


@dataclasses.dataclass(frozen=True)
class Learned:
    """Content of a skill's file beside the learner: knowledge and choices."""

    known: Known
    choices: Choices


class Kept(NamedTuple):
    """Examples that a skill keeps: `adapt(*skill.examples)` learns the same again, if an example has a single part.

    Attributes:
        x: stored inputs, one array or several by name.
        y: one label, or one row of values, per example.
    """

    x: Any
    y: list[Any]


@runtime_checkable
class Engine(Protocol):
    """A learner as functions over arrays. onnxruntime runs bundles, PyTorch runs learners; a skill cannot tell them apart."""

    @property
    def facts(self) -> Facts:
        """Return what is true of the learner."""
        ...

    @property
    def defaults(self) -> Arrays:
        """Return the learner's own value of each setting, of the type that every value of it has."""
        ...

    def reader_for(self, things: Any) -> InputSpec:
        """Return the spec that reads examples like these; None stands for examples that are not known yet."""
        ...

    def reader_as(self, saved: InputSpec) -> InputSpec:
        """Return the spec that reads the examples of a skill whose file names the spec `saved`."""
        ...

    def adapt(self, inputs: Arrays, y: np.ndarray, settings: Arrays) -> Arrays:
        """Return the state after these examples."""
        ...

    def update(self, inputs: Arrays, y: np.ndarray, state: Arrays, settings: Arrays) -> Arrays:
        """Return the state after these examples and the earlier ones; ways that are new begin as zeros."""
        ...

    def outputs(self, state: Arrays, inputs: Arrays) -> dict[str, np.ndarray]:
        """Return the `prediction`, `[example, way]`, `[example, output]` or `[example, frame, symbol]`, and perhaps its `spread`."""
        ...

    def without(self, state: Arrays, way: int, spec: InputSpec) -> Arrays:
        """Return the state without one way; `spec` reads the task's examples."""
        ...

    def same_as(self, other: Any) -> bool:
        """Return whether a state of this engine's learner is a state of the other's too."""
        ...

    def packed(self, spec: InputSpec) -> Bundle:
        """Return the learner as a bundle, to which a skill adds what it has learned from examples that `spec` reads."""
        ...


def settings_of(engine: Engine, changes: Mapping[str, Any], earlier: Arrays) -> dict[str, np.ndarray]:
    """Return the value of every setting: the one chosen now, else the one chosen earlier, else the learner's own.

    Args:
        engine: runs the learner.
        changes: values chosen now.
        earlier: values chosen when the task was begun.

    Raises:
        ConfigError: the learner has no such setting, or the setting takes no such value.
    """
    defaults = engine.defaults
    for name, value in changes.items():
        if name not in defaults:
            known = ", ".join(sorted(defaults)) or "none"
            raise ConfigError(f"{name} is no setting of {engine.facts.name}; it has: {known}.")
        if not takes(defaults[name].dtype, value):
            expected = "a whole number" if defaults[name].dtype.kind == "i" else "a number"
            raise ConfigError(f"{name} is {value!r}; expected {expected}, 0 or more.")
    chosen = {**defaults, **earlier, **changes}
    return {name: np.array(chosen[name], default.dtype) for name, default in defaults.items()}


def takes(kind: np.dtype[Any], value: Any) -> bool:
    """Return whether a value is a number, 0 or more, that a setting of this type can hold.

    >>> takes(np.dtype("int64"), 3), takes(np.dtype("int64"), 2.5), takes(np.dtype("float32"), "3")
    (True, False, False)
    """
    value = plain(value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    if kind.kind == "i":
        return 0 <= value <= int(np.iinfo(kind).max) and int(value) == value
    return 0 <= value <= float(np.finfo(kind).max)
