"""Learner: a bundle that adapts and predicts, with numpy and onnxruntime alone."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from quickstudy.errors import ConfigError, FileFormatError
from quickstudy.inputs import InputSpec
from quickstudy.runtime import bundle as bundles
from quickstudy.runtime import pretrained
from quickstudy.runtime import state as states
from quickstudy.runtime.bundle import Arrays, Bundle
from quickstudy.runtime.graph import Graph, takes
from quickstudy.runtime.manifest import Manifest, ProgramName
from quickstudy.runtime.skill import Choices, Learned, Skill, reading_options


class OnnxEngine:
    """A bundle's graphs as the engine of a skill. Several threads may use it at the same time, and it can be pickled.

    Args:
        bundle: as `bundle.read` returns it.
        threads: number of threads that one operation may use.
    """

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self.bundle, self.threads = bundle, threads
        self._graphs: dict[str, Graph] = {}
        self._loading = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"bundle": self.bundle, "threads": self.threads}  # sessions and locks are made anew

    def __setstate__(self, found: dict[str, Any]) -> None:
        self.__init__(**found)

    @property
    def manifest(self) -> Manifest:
        """Return what the bundle says about itself."""
        return self.bundle.manifest

    @property
    def name(self) -> str:
        """Return the learner's name."""
        return str(self.manifest.learner.get("name"))

    @property
    def spec(self) -> InputSpec:
        """Return what an example must be."""
        return self.manifest.input

    @property
    def target(self) -> str:
        """Return the kind of answer."""
        return self.manifest.target.kind

    @property
    def continues(self) -> bool:
        """Return whether `update` remembers what the state has learned."""
        return self.manifest.continues

    @property
    def temperature(self) -> float:
        """Return the number by which logits are divided to become probabilities."""
        return self.manifest.temperature

    @property
    def statistics(self) -> Mapping[str, float]:
        """Return statistics of the inputs of training."""
        return self.manifest.statistics

    @property
    def threshold(self) -> float | None:
        """Return the largest logit below which an example belongs to no class."""
        return None if self.manifest.unknown is None else self.manifest.unknown.threshold

    @property
    def ways(self) -> int | None:
        """Return the number of ways of a fixed head."""
        return self.manifest.target.outputs

    @property
    def rate(self) -> str:
        """Return the setting to lower if adapting diverges: the learning rate."""
        return next((name for name in self.manifest.settings if name.endswith("lr")), "")

    def reader_for(self, things: Any) -> InputSpec:
        """Return the learner's spec, with the names of columns if these examples have some."""
        return self.spec.fitted_to(things)

    def reader_as(self, saved: InputSpec) -> InputSpec:
        """Return the spec in a skill's file: the learner's own, perhaps with names of columns."""
        return saved

    def settings(self, changes: Mapping[str, Any], earlier: Arrays) -> dict[str, np.ndarray]:
        """Return values of all settings, of the types that the graph expects.

        Args:
            changes: chosen now.
            earlier: chosen when the task was begun; before the learner's own.

        Raises:
            ConfigError: the learner has no such setting, or it takes no such value.
        """
        defaults = self.manifest.settings
        strange = [name for name in changes if name not in defaults]
        if strange:
            known = ", ".join(sorted(defaults)) or "none"
            raise ConfigError(f"{strange[0]} is no setting of {self.name}; it has: {known}.")
        kinds = self._graph("adapt").kinds if defaults else {}
        for name, default in defaults.items():
            if name not in kinds or not takes(kinds[name], default):
                raise FileFormatError(f"adapt.onnx cannot take its default {name}, {default!r}. Export it again.")
        for name, value in changes.items():
            if not takes(kinds[name], value):
                expected = "a whole number" if kinds[name].kind == "i" else "a number"
                raise ConfigError(f"{name} is {value!r}; expected {expected}, 0 or more.")
        chosen = {**defaults, **earlier, **changes}
        return {name: np.array(chosen[name], kinds[name]) for name in defaults}

    def adapt(self, inputs: Arrays, y: np.ndarray, settings: Arrays) -> dict[str, np.ndarray]:
        """Return the state after these examples."""
        return self._adapted("adapt", inputs, y, dict(settings))

    def update(self, inputs: Arrays, y: np.ndarray, state: Arrays, settings: Arrays) -> dict[str, np.ndarray]:
        """Return the state after these examples and the earlier ones; ways that are new begin as zeros."""
        padded = states.padded(state, self.manifest.state, y.shape[1])
        return self._adapted("update", inputs, y, {**settings, **_named("state.", padded)})

    def predict(self, state: Arrays, inputs: Arrays) -> np.ndarray:
        """Return outputs, `[example, way]` or `[example, output]`."""
        found = self.run("predict", {**_named("query.", inputs), **_named("state.", state)})["prediction"]
        count = len(next(iter(inputs.values())))
        ways = next((value.shape[axes.shape.index("way")] for value, axes in self._ways_of(state)), None)
        if found.ndim != 2 or len(found) != count or (ways is not None and found.shape[1] != ways):
            raise FileFormatError(
                f"predict.onnx gives {list(found.shape)}; expected [{count}, {ways or 'way'}]. Export it again."
            )
        return found

    def without(self, state: Arrays, way: int, spec: InputSpec) -> dict[str, np.ndarray]:
        """Return the state without one way."""
        return dict(states.without(state, self.manifest.state, way))

    def same_as(self, other: Any) -> bool:
        """Return whether a state of the one is a state of the other."""
        return isinstance(other, OnnxEngine) and bundles.same_learner(self.bundle, other.bundle)

    def save(self, path: str | os.PathLike[str], learned: Learned) -> None:
        """Write the learner and what it has learned to one bundle."""
        manifest = self.manifest.model_copy(update=skill_facts(learned))
        known = learned.known
        support = {**known.x, "y": known.y.astype(np.float32)} if known.x else {}
        bundles.write(path, dataclasses.replace(self.bundle, manifest=manifest, state=known.state, support=support))

    def run(self, name: ProgramName, values: Arrays) -> dict[str, np.ndarray]:
        """Return the outputs of `adapt`, `update` or `predict` for inputs by name.

        Raises:
            ConfigError: `update` of a learner that would forget, or a bundle for PyTorch, which has no graphs.
        """
        return self._graph(name)(values)

    def _adapted(self, program: ProgramName, inputs: Arrays, y: np.ndarray, others: Arrays) -> dict[str, np.ndarray]:
        """Return the state that `adapt` or `update` gives, of the right shapes and types."""
        y = y.astype(np.float32)
        state = self.run(program, {**_named("support.", inputs), "support.y": y, **others})
        bundles.check_layout(state, self.manifest.state, {"way": y.shape[1]}, f"{program}.onnx: state")
        return state

    def _ways_of(self, state: Arrays) -> list[tuple[np.ndarray, Any]]:
        return [(state[name], tensor) for name, tensor in self.manifest.state.items() if "way" in tensor.shape]

    def _graph(self, name: ProgramName) -> Graph:
        if name not in self.manifest.programs:
            has = ", ".join(self.manifest.programs) or "no graphs: export the learner first, with quickstudy export"
            raise ConfigError(f"{self.name} has no program {name!r}; it has {has}.")
        with self._loading:  # when first needed, by one thread
            if name not in self._graphs:
                program, file = self.manifest.programs[name], f"{name}.onnx"
                weights = {key: self.bundle.weights[key] for key in program.weights}
                state = {key: tensor.dtype for key, tensor in self.manifest.state.items()}
                outputs = {"prediction": "float32"} if name == "predict" else state
                self._graphs[name] = Graph(file, self.bundle.graphs[file], weights, outputs, self.threads)
            return self._graphs[name]


class Learner:
    """A learner from a bundle. Several threads may adapt and predict at the same time.

    Args:
        bundle: as `bundle.read` returns it.
        threads: number of threads that one operation may use.

    >>> learner = Learner.load("omniglot")
    >>> bar, dash = np.ones((2, 28, 28))  # white paper
    >>> bar[4:24, 13:15] = dash[13:15, 4:24] = 0.0
    >>> learner.adapt([bar, dash], ["bar", "dash"]).predict([dash])
    ['dash']
    """

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self.engine = OnnxEngine(bundle, threads)

    def __repr__(self) -> str:
        return f"<Learner {self.engine.name}>"

    @classmethod
    def load(cls, path: str | os.PathLike[str], threads: int = 1) -> Learner:
        """Read the learner in a bundle (also in that of a skill), or one that ships with quickstudy, by its name.

        Raises:
            FileFormatError: the file is damaged, foreign, newer or made to harm.
        """
        return cls(bundles.read(pretrained.find(path)), threads)

    @property
    def bundle(self) -> Bundle:
        """Return what the file holds."""
        return self.engine.bundle

    @property
    def manifest(self) -> Manifest:
        """Return what the bundle says about itself."""
        return self.engine.manifest

    def adapt(self, x: Any, y: Any, skill: Skill | None = None, *, keep: bool = False, **options: Any) -> Skill:
        """Learn a task from a few labelled examples.

        Args:
            x: a list of images (paths, encoded bytes, Pillow images, arrays), or rows of numbers `[example, feature]`.
            y: one label per example; or one value, or row of values.
            skill: earlier skill to go on from, with its own options if no others are given; it stays as it is.
            keep: keep the examples, so that `skill.examples` gives them back and `skill.moved_to` teaches them to another learner.
            options: how examples are read (`ink="dark"` for images drawn dark on light, `"light"` for light on dark), and other
                values of the learner's settings, such as `inner_steps=10` (see `manifest.settings`).

        Raises:
            DataError: examples or labels cannot be used.
            TaskError: there is a single class, or more ways than the learner's head has.
            ConfigError: the learner has no such option, or diverges with its `inner_lr`.
        """
        return begun(self.engine, skill, keep, options).add(x, y)

    def run(self, name: ProgramName, values: Arrays) -> dict[str, np.ndarray]:
        """Return the outputs of `adapt`, `update` or `predict` for inputs by name.

        Raises:
            ConfigError: `update` of a learner that would forget, or a bundle for PyTorch, which has no graphs.
        """
        return self.engine.run(name, values)


def begun(engine: Any, earlier: Skill | None, keep: bool, options: Mapping[str, Any]) -> Skill:
    """Return a skill that has learned nothing yet, or what an earlier one has.

    Args:
        engine: that runs the learner.
        earlier: skill to go on from.
        keep: keep the examples.
        options: how examples are read, and settings of the learner.
    """
    if earlier is not None and not engine.same_as(earlier.engine):
        raise ConfigError(
            "the skill is one of another learner; use the learner that it came from, or teach it: skill.moved_to."
        )
    before = Choices() if earlier is None else earlier.choices
    said = {name for name in reading_options(engine.reader_for(None)) if name in options}
    reading = {**before.reading, **{name: options[name] for name in said if options[name] is not None}}
    settings = {name: value for name, value in options.items() if name not in said}
    choices = Choices(reading, engine.settings(settings, before.settings), keep or before.keep, before.expected)
    return Skill(engine, choices, None if earlier is None else earlier.known)


def skill_facts(learned: Learned) -> dict[str, Any]:
    """Return what the manifest of a skill says beside what its learner's says."""
    known, choices = learned.known, learned.choices
    return {
        "kind": "skill",
        "input": known.spec,
        "labels": known.labels,
        "reading": dict(choices.reading),
        "settings": {name: value.item() for name, value in choices.settings.items()},
    }


def _named(prefix: str, values: Arrays) -> dict[str, np.ndarray]:
    return {f"{prefix}{name}": value for name, value in values.items()}
