"""Learner and Task: a bundle that adapts and predicts, with numpy and onnxruntime alone."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from quickstudy.errors import ConfigError, DataError, FileFormatError, TaskError
from quickstudy.inputs.image import Ink
from quickstudy.runtime import bundle as bundles
from quickstudy.runtime import pretrained
from quickstudy.runtime import state as states
from quickstudy.runtime.bundle import Arrays, Bundle
from quickstudy.runtime.graph import Graph, takes
from quickstudy.runtime.inputs import counted, to_labels, to_stored, to_values
from quickstudy.runtime.manifest import Label, Manifest, ProgramName
from quickstudy.targets.classes import extended

BATCH = 256
"""Queries predicted at once, so that memory does not grow with their number."""


class Learner:
    """A learner from a bundle. Several threads may adapt and predict at the same time.

    Args:
        bundle: as `bundle.read` returns it.
        threads: that one operation may use.

    >>> learner = Learner.load("omniglot")
    >>> drawings = np.random.default_rng(0).random((4, 28, 28))
    >>> task = learner.adapt(drawings, ["a", "a", "b", "b"])
    >>> task.predict(drawings)
    ['a', 'a', 'b', 'b']
    """

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self.bundle, self.threads = bundle, threads
        self._graphs: dict[str, Graph] = {}
        self._loading = threading.Lock()

    @classmethod
    def load(cls, path: str | os.PathLike[str], threads: int = 1) -> Learner:
        """The learner in a bundle (also in that of an adapted task), or one that ships with quickstudy, by its name.

        Raises:
            FileFormatError: a damaged, foreign, newer or hostile file.
        """
        return cls(bundles.read(pretrained.find(path)), threads)

    @property
    def manifest(self) -> Manifest:
        """What the bundle says about itself."""
        return self.bundle.manifest

    def adapt(self, x: Any, y: Sequence[Any], state: Task | None = None, *, ink: Ink | None = None, **settings: float) -> Task:
        """Learn a task from a few labelled examples.

        Args:
            x: a list of images (paths, encoded bytes, Pillow images, arrays), or rows of numbers `[example, feature]`.
            y: one label per example; for a regression, one value or row of values.
            state: a task to go on from, by its own ink and settings where no others are given; it stays as it is.
            ink: polarity of the images, where it is not the learner's: `dark` on light or `light` on dark.
            settings: other values for what may be chosen, such as `inner_steps=10` (see `manifest.settings`).

        Raises:
            DataError: examples or labels that cannot be used.
            TaskError: a single class, or more ways than the learner's head has.
            ConfigError: a setting that the learner does not have, or an `inner_lr` with which it diverges.
        """
        if state is not None and not bundles.same_learner(state.learner.bundle, self.bundle):
            raise ConfigError("the state is a task of another learner; use the learner that it came from, task.learner.")
        task = Task(
            self,
            None if state is None else state.known,
            ink or (state.ink if state else None),
            self._settings(settings, state.settings if state else None),
        )
        return task.add(x, y)

    def _settings(self, changes: Mapping[str, float], earlier: Arrays | None = None) -> dict[str, np.ndarray]:
        """Values of all settings, of the types that the graph expects: the changes, before what a task had earlier, before the
        learner's own.
        """
        defaults = self.manifest.settings
        strange = [name for name in changes if name not in defaults]
        if strange:
            known = ", ".join(sorted(defaults)) or "none"
            raise ConfigError(f"{strange[0]} is no setting of {self.manifest.learner.get('name')}; it has: {known}.")
        kinds = self._graph("adapt").kinds if defaults else {}
        for name, default in defaults.items():
            if name not in kinds or not takes(kinds[name], default):
                raise FileFormatError(f"adapt.onnx cannot take its default {name}, {default!r}. Export it again.")
        for name, value in changes.items():
            if not takes(kinds[name], value):
                expected = "a whole number" if kinds[name].kind == "i" else "a number"
                raise ConfigError(f"{name} is {value!r}; expected {expected}, 0 or more.")
        chosen = {**defaults, **(earlier or {}), **changes}
        return {name: np.array(chosen[name], kinds[name]) for name in defaults}

    def run(self, name: ProgramName, values: Arrays) -> dict[str, np.ndarray]:
        """Return the outputs of `adapt`, `update` or `predict` for inputs by name.

        Raises:
            ConfigError: `update` of a learner that would forget, or a bundle for PyTorch, which has no graphs.
        """
        return self._graph(name)(values)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy in another process needs: the bundle; sessions and locks are made again there."""
        return {"bundle": self.bundle, "threads": self.threads}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self.__init__(**kept)

    def _graph(self, name: ProgramName) -> Graph:
        if name not in self.manifest.programs:
            has = ", ".join(self.manifest.programs) or "no graphs: export the learner first, with quickstudy export"
            raise ConfigError(f"{self.manifest.learner.get('name')} has no program {name!r}; it has {has}.")
        with self._loading:  # when first needed, by one thread
            if name not in self._graphs:
                program, file = self.manifest.programs[name], f"{name}.onnx"
                weights = {key: self.bundle.weights[key] for key in program.weights}
                state = {key: tensor.dtype for key, tensor in self.manifest.state.items()}
                outputs = {"prediction": "float32"} if name == "predict" else state
                self._graphs[name] = Graph(file, self.bundle.graphs[file], weights, outputs, self.threads)
            return self._graphs[name]


@dataclasses.dataclass(frozen=True)
class Known:
    """What a task knows at one moment; replaced as a whole, so that threads never see half of it."""

    state: Arrays
    labels: tuple[Label, ...]
    x: Arrays | None = None
    y: np.ndarray | None = None


class Task:
    """What a learner has learned. Made by `Learner.adapt` or read by `Task.load`; `predict` may run while another thread adds.

    Args:
        learner: that learned it.
        known: what it knows; None for nothing yet.
        ink: polarity of the images it is given, where it is not the learner's.
        settings: inputs of `adapt`, by name.
    """

    def __init__(self, learner: Learner, known: Known | None, ink: Ink | None, settings: dict[str, np.ndarray]) -> None:
        self.learner, self.settings = learner, settings
        self.ink: Ink | None = ink
        self.known = known
        self._changing = threading.Lock()

    @classmethod
    def load(cls, path: str | os.PathLike[str], threads: int = 1) -> Task:
        """A task that `save` wrote, with its learner.

        Raises:
            FileFormatError: the bundle holds no task, or as for `Learner.load`.
        """
        learner = Learner.load(path, threads)
        bundle, manifest = learner.bundle, learner.manifest
        if manifest.kind != "skill" or manifest.labels is None:
            raise FileFormatError(f"{path} is a learner that has learned no task yet; adapt it first.")
        support = dict(bundle.support)
        y = support.pop("y", None)
        known = Known(bundle.state, manifest.labels, support or None, y)
        return cls(learner, known, manifest.reading.get("ink"), learner._settings({}))  # pyright: ignore[reportArgumentType]

    @property
    def labels(self) -> list[Label]:
        """What each way stands for, in the order of the columns of `predict_proba`."""
        return [] if self.known is None else list(self.known.labels)

    @property
    def state(self) -> Arrays:
        """What the learner knows, arrays by name, of the shapes and types that `learner.manifest.state` says."""
        return {} if self.known is None else self.known.state

    def add(self, x: Any, y: Sequence[Any]) -> Task:
        """Learn from more examples, of known or of new classes; the task itself, changed.

        Raises:
            DataError, TaskError, ConfigError: as `Learner.adapt`; the task stays as it was.
        """
        inputs = to_stored(x, self.learner.manifest.input, self.ink)
        count = len(next(iter(inputs.values())))
        if count != counted(y, "labels"):
            raise DataError(f"there are {count} examples but {len(y)} labels; expected one label per example.")
        if self.learner.manifest.target.kind == "values":
            values = to_values(y)
            with self._changing:
                self.known = self._learned(inputs, values, (), self.known)
            return self
        given: list[Label] = to_labels(y)
        with self._changing:
            labels: tuple[Label, ...] = tuple(extended(self.labels, given))
            if len(labels) < 2:
                raise TaskError(
                    f"there is a single class, {given[0]!r}; give examples of at least two, so that they can be told apart."
                )
            one_hot = np.eye(len(labels), dtype=np.float32)[[labels.index(label) for label in given]]
            self.known = self._learned(inputs, one_hot, labels, self.known)
        return self

    def forget(self, label: Label) -> Task:
        """Unlearn a class; the task itself, changed.

        Raises:
            DataError: a label that the task does not know.
            TaskError: fewer than two classes would be left.
        """
        with self._changing:
            if self.known is None or label not in self.known.labels:
                raise DataError(f"label {label!r} is not known; the task knows {', '.join(map(repr, self.labels))}.")
            if len(self.known.labels) < 3:
                raise TaskError(f"without {label!r} a single class would be left; add another class first.")
            way = self.known.labels.index(label)
            labels = tuple(known for known in self.known.labels if known != label)
            if self.known.x is None or self.known.y is None:
                self.known = Known(states.without(self.known.state, self.learner.manifest.state, way), labels)
            else:
                rest = self.known.y[:, way] == 0
                x = {name: value[rest] for name, value in self.known.x.items()}
                self.known = self._learned(x, np.delete(self.known.y[rest], way, axis=1), labels, None)
        return self

    def predict(self, x: Any, unknown: Any = None) -> list[Any]:
        """The most likely label of each example; for a regression, its values.

        Args:
            x: as in `Learner.adapt`.
            unknown: what to say where an example belongs to no class, by the bundle's calibrated threshold; None: always name a class.

        Raises:
            ConfigError: `unknown` is given, but the bundle has no threshold.
            DataError: examples that cannot be used, or whose prediction is no number.
        """
        logits, labels = self._outputs(x)
        if self.learner.manifest.target.kind == "values":
            return logits.tolist()
        found = [labels[way] for way in logits.argmax(-1)]
        if unknown is None:
            return found
        calibrated = self.learner.manifest.unknown
        if calibrated is None:
            raise ConfigError("this bundle has no calibrated threshold for unknown classes; export it again with --data.")
        return [label if logit >= calibrated.threshold else unknown for label, logit in zip(found, logits.max(-1), strict=True)]

    def predict_proba(self, x: Any) -> np.ndarray:
        """Probability of each class, `[example, class]`, in the order of `labels`: the softmax of the logits over the temperature."""
        logits = self._outputs(x)[0] / self.learner.manifest.temperature
        powers = np.exp(logits - logits.max(-1, keepdims=True))
        return powers / powers.sum(-1, keepdims=True)

    def logits(self, x: Any) -> np.ndarray:
        """What the learner returns, `[example, way]` (or values, `[example, output]`)."""
        return self._outputs(x)[0]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the task, with its learner, as one bundle."""
        known = self._checked()
        for label in known.labels:
            if not isinstance(label, str | int | float | bool):
                raise DataError(
                    f"label {label!r} is a {type(label).__name__}; a saved task holds texts, numbers and truth values."
                )
            # a file name that is not UTF-8 has surrogates, which JSON cannot hold
            if isinstance(label, str) and any("\ud800" <= letter <= "\udfff" for letter in label):
                raise DataError(f"label {label!r} is no valid Unicode, and could not be saved; rename it.")
        settings = {name: value.item() for name, value in self.settings.items()}
        reading = {} if self.ink is None else {"ink": self.ink}
        about = {"kind": "skill", "labels": known.labels, "reading": reading, "settings": settings}
        support = {} if known.x is None or known.y is None else {**known.x, "y": known.y}
        manifest = self.learner.manifest.model_copy(update=about)
        bundles.write(path, dataclasses.replace(self.learner.bundle, manifest=manifest, state=known.state, support=support))

    def _checked(self) -> Known:
        if self.known is None:
            raise TaskError("the task has learned nothing yet; add examples first.")
        return self.known

    def _outputs(self, x: Any) -> tuple[np.ndarray, tuple[Label, ...]]:
        known = self._checked()
        stored = to_stored(x, self.learner.manifest.input, self.ink)
        count = len(next(iter(stored.values())))
        state = {f"state.{name}": value for name, value in known.state.items()}
        parts = [
            self.learner.run("predict", self._named("query", stored, slice(at, at + BATCH)) | state)["prediction"]
            for at in range(0, count, BATCH)
        ]
        return self._checked_prediction(np.concatenate(parts), count, known.labels), known.labels

    def _named(self, part: str, stored: Arrays, rows: slice = slice(None)) -> dict[str, np.ndarray]:
        """Return stored examples as a graph takes them, `PART.NAME`."""
        inputs = self.learner.manifest.input.to_network({name: value[rows] for name, value in stored.items()})
        return {f"{part}.{name}": value for name, value in inputs.items()}

    def _checked_prediction(self, found: np.ndarray, examples: int, labels: tuple[Label, ...]) -> np.ndarray:
        fits = found.ndim == 2 and len(found) == examples
        if not fits or (self.learner.manifest.target.kind == "classes" and found.shape[1] != len(labels)):
            raise FileFormatError(
                f"predict.onnx gives {list(found.shape)}; expected [{examples}, {len(labels) or 'way'}]. Export it again."
            )
        finite = np.isfinite(found).all(-1)
        if not finite.all():
            raise DataError(
                f"the prediction for example {int(finite.argmin())} is no number; scale the examples as in training, or adapt again "
                "with a smaller inner_lr."
            )
        return found

    def _learned(self, x: Arrays, y: np.ndarray, labels: tuple[Label, ...], earlier: Known | None) -> Known:
        """What is known after these examples too. A learner that would forget adapts to all examples again."""
        manifest = self.learner.manifest
        self._check_ways(y.shape[1])
        if earlier is not None and manifest.continues:
            return Known(self._adapted("update", x, y, states.padded(earlier.state, manifest.state, y.shape[1])), labels)
        if earlier is not None and earlier.x is not None and earlier.y is not None:
            if manifest.target.kind == "values" and earlier.y.shape[1] != y.shape[1]:
                raise DataError(f"y has {y.shape[1]} values per example; expected {earlier.y.shape[1]}, as earlier ones have.")
            before = np.pad(earlier.y, ((0, 0), (0, y.shape[1] - earlier.y.shape[1])))
            x = {name: np.concatenate([earlier.x[name], value]) for name, value in x.items()}
            y = np.concatenate([before, y])
        state = self._adapted("adapt", x, y, {})
        return Known(state, labels) if manifest.continues else Known(state, labels, x, y)

    def _adapted(self, program: ProgramName, x: Arrays, y: np.ndarray, earlier: Arrays) -> Arrays:
        """The state that `adapt` or `update` gives: of the right shapes and types, and still numbers."""
        before = {f"state.{name}": value for name, value in earlier.items()}
        state = self.learner.run(program, {**self.settings, **self._named("support", x), "support.y": y, **before})
        bundles.check_layout(state, self.learner.manifest.state, {"way": y.shape[1]}, f"{program}.onnx: state")
        diverged = states.first_not_finite(state)
        if diverged is None:
            return state
        said = f"gave a {diverged} that is no number any more; what was learned before stays."
        if "inner_lr" in self.settings:
            raise ConfigError(
                f"adapting with inner_lr={self.settings['inner_lr'].item():g} {said} Try a smaller inner_lr, or scale the examples "
                "as in training."
            )
        raise DataError(f"adapting {said} The examples' values are too large: scale them as in training.")

    def _check_ways(self, ways: int) -> None:
        fixed = self.learner.manifest.target.outputs
        if fixed is not None and ways != fixed:
            raise TaskError(
                f"the task has {ways} ways, but this learner's head is fixed to {fixed}; give it tasks of {fixed} ways."
            )
