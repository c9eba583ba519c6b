"""Skill: a task that a learner has learned, whichever engine runs the learner. It learns more, forgets, predicts, is saved and moved."""

from __future__ import annotations

import dataclasses
import importlib
import os
import reprlib
import threading
import warnings
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple, Protocol, Self

import numpy as np

from quickstudy import targets
from quickstudy.errors import ConfigError, DataError, TaskError, UnlikeTrainingWarning
from quickstudy.inputs import InputSpec
from quickstudy.runtime import state as states

BATCH = 256
"""Number of queries predicted at once, so that memory does not grow with their number."""

Arrays = Mapping[str, np.ndarray]


class Engine(Protocol):
    """Three functions over arrays, and what is true of the learner behind them. onnxruntime runs bundles, torch runs learners."""

    @property
    def name(self) -> str:
        """Return the learner's name, for errors."""
        ...

    @property
    def target(self) -> str:
        """Return the kind of answer, a name of `quickstudy.targets`."""
        ...

    @property
    def continues(self) -> bool:
        """Return whether `update` remembers what the state has learned."""
        ...

    @property
    def temperature(self) -> float:
        """Return the number by which logits are divided to become probabilities."""
        ...

    @property
    def statistics(self) -> Mapping[str, float]:
        """Return statistics of the inputs of training; empty if they are not known."""
        ...

    @property
    def threshold(self) -> float | None:
        """Return the largest logit below which an example belongs to no class; None if it was not measured."""
        ...

    @property
    def ways(self) -> int | None:
        """Return the number of ways of a fixed head; None if any number will do."""
        ...

    @property
    def rate(self) -> str:
        """Return the setting to lower if adapting diverges; empty if there is none."""
        ...

    def reader_for(self, things: Any) -> InputSpec:
        """Return what reads examples like these."""
        ...

    def reader_as(self, saved: InputSpec) -> InputSpec:
        """Return what reads the examples of a skill whose file names this spec."""
        ...

    def settings(self, changes: Mapping[str, float], earlier: Arrays) -> Arrays:
        """Return values of all settings: the changes, before the earlier ones, before the learner's own."""
        ...

    def adapt(self, inputs: Arrays, y: np.ndarray, settings: Arrays) -> Arrays:
        """Return the state after these examples."""
        ...

    def update(self, inputs: Arrays, y: np.ndarray, state: Arrays, settings: Arrays) -> Arrays:
        """Return the state after these examples and the earlier ones."""
        ...

    def predict(self, state: Arrays, inputs: Arrays) -> np.ndarray:
        """Return outputs, `[example, way]` or `[example, output]`."""
        ...

    def without(self, state: Arrays, way: int, spec: InputSpec) -> Arrays:
        """Return the state without one way; `spec` reads the task's examples."""
        ...

    def same_as(self, other: Any) -> bool:
        """Return whether a state of the one is a state of the other."""
        ...

    def save(self, path: str | os.PathLike[str], learned: Learned) -> None:
        """Write the learner and what it has learned to one file."""
        ...


class Kept(NamedTuple):
    """Examples that a skill keeps: `adapt(*skill.examples)` learns the same again.

    Attributes:
        x: stored inputs, one array or several by name.
        y: one label, or one row of values, per example.
    """

    x: Any
    y: list[Any]


@dataclasses.dataclass(frozen=True)
class Known:
    """What a skill knows at one moment; replaced as a whole, so that threads never see half of it.

    Args:
        state: of the learner.
        labels: what each way stands for; empty for values.
        x: kept inputs in their stored form, by name; empty if examples are not kept.
        y: the kept examples' rows `[example, output]`.
        spec: what reads the task's examples.
    """

    state: Arrays
    labels: tuple[Any, ...]
    x: Arrays
    y: np.ndarray
    spec: InputSpec


@dataclasses.dataclass(frozen=True)
class Choices:
    """What was chosen when a task was begun.

    Args:
        reading: how examples are read, as keywords of `spec.read_all`, such as `{"ink": "dark"}`.
        settings: of `adapt`, such as `inner_steps`.
        keep: keep the examples as they were given, in their stored form, even if the learner does not need them.
        expected: labels that will come, in the order of their ways.
    """

    reading: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    settings: Arrays = dataclasses.field(default_factory=dict)
    keep: bool = False
    expected: tuple[Any, ...] = ()


@dataclasses.dataclass(frozen=True)
class Learned:
    """What a file holds of a skill beside its learner."""

    known: Known
    choices: Choices


class Skill:
    """A learned task. `Learner.adapt` makes it and `Skill.load` reads it; `predict` may run while another thread adds.

    Args:
        engine: that runs the learner.
        choices: how the task was begun.
        known: what it knows; None for nothing yet.
    """

    def __init__(self, engine: Engine, choices: Choices = Choices(), known: Known | None = None) -> None:
        self.engine, self.choices, self.known = engine, choices, known
        self._target = targets.find(engine.target)
        self._warned = False
        self._changing = threading.Lock()

    @classmethod
    def load(cls, path: str | os.PathLike[str], **own: Any) -> Self:
        """Read a skill that `save` wrote, with its learner.

        Args:
            path: a `.qs` file.
            own: for the PyTorch engine, `net=` and `learner=` of your own, as `load_learner` takes them.

        Raises:
            FileFormatError: the file is damaged, foreign, older, newer, or holds a learner that has learned no task yet.
        """
        engine, learned = _files().load(path, **own)
        return cls(engine, learned.choices, learned.known)

    def __repr__(self) -> str:
        knows = reprlib.repr(self.labels) if self.labels else self.engine.target
        return f"<Skill of {self.engine.name}: {knows}>"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_changing"}

    def __setstate__(self, found: dict[str, Any]) -> None:
        vars(self).update(found, _changing=threading.Lock())

    @property
    def labels(self) -> list[Any]:
        """Return what each way stands for, in the order of the columns of `predict_proba`; values have none."""
        return list(self.choices.expected if self.known is None else self.known.labels)

    @property
    def state(self) -> Arrays:
        """Return what the learner knows, arrays by name."""
        return {} if self.known is None else self.known.state

    @property
    def settings(self) -> Arrays:
        """Return the settings with which the task is learned."""
        return self.choices.settings

    @property
    def temperature(self) -> float:
        """Return the number by which logits are divided to become probabilities."""
        return self.engine.temperature

    @property
    def examples(self) -> Kept | None:
        """Return the examples in their stored form, and their labels or values; None if they were not kept."""
        known = self.known
        if known is None or not known.x:
            return None
        x = next(iter(known.x.values())) if len(known.x) == 1 else dict(known.x)
        return Kept(x, self._target.answers(known.y, known.labels))

    def add(self, x: Any, y: Any, least: int = 2) -> Self:
        """Learn from more examples, of known or of new classes; return the skill itself, changed.

        Args:
            x: a list of images (paths, encoded bytes, Pillow images, arrays), or rows of numbers `[example, feature]`.
            y: one label per example; or one value, or row of values.
            least: number of classes below which they are refused.

        Raises:
            DataError: examples or labels cannot be used.
            TaskError: there is a single class, or the learner's head has other ways.
            ConfigError: the learner diverges with its settings.
        """
        spec, stored = self._read(x)
        self._compare(spec, stored)
        answers = self._target.read(y)
        count = _count(stored)
        if count != len(answers):
            raise DataError(f"there are {count} examples but {len(answers)} labels; expected one label per example.")
        with self._changing:
            labels = self._target.joined(self.labels, answers)
            if least > 1:
                self._target.check_several(labels)
            self.known = self._learned(stored, self._target.rows(answers, labels), labels, spec)
        return self

    def forget(self, label: Any) -> Self:
        """Unlearn a class; return the skill itself, changed.

        Raises:
            DataError: the skill does not know the label.
            TaskError: fewer than two classes would be left.
        """
        with self._changing:
            known = self.known
            if known is None or label not in known.labels:
                raise DataError(f"label {label!r} is not known; the skill knows {', '.join(map(repr, self.labels)) or 'none'}.")
            if len(known.labels) < 3:
                raise TaskError(f"without {label!r} a single class would be left; add another class first.")
            way = known.labels.index(label)
            labels = tuple(other for other in known.labels if other != label)
            rest = known.y[:, way] == 0
            x = {name: value[rest] for name, value in known.x.items()} if known.x else {}
            y = np.delete(known.y[rest], way, axis=1)
            if self.engine.continues:
                state = self.engine.without(known.state, way, known.spec)
            else:
                state = self._adapted(self.engine.adapt(known.spec.to_network(x), y, self.settings))
            self.known = dataclasses.replace(known, state=state, labels=labels, x=x, y=y)
        return self

    def predict(self, x: Any, unknown: Any = None) -> list[Any]:
        """Return the most likely label of each example, or its values.

        Args:
            x: as `add` takes it.
            unknown: answer for an example that belongs to no class, by the learner's calibrated threshold; None: always name a class.

        Raises:
            ConfigError: `unknown` is given, but the learner has no threshold.
            DataError: examples cannot be used, or their prediction is no number.
        """
        outputs, known = self._outputs(x)
        found = self._target.answers(outputs, known.labels)
        if unknown is None:
            return found
        return [unknown if strange else label for label, strange in zip(found, self._strange(outputs), strict=True)]

    def unknown(self, x: Any) -> np.ndarray:
        """Return whether each example belongs to no class, by the learner's calibrated threshold, bool `[example]`."""
        return self._strange(self._outputs(x)[0])

    def predict_proba(self, x: Any) -> np.ndarray:
        """Return the probability of each class, `[example, class]`, in the order of `labels`: softmax of logits / temperature."""
        if self.engine.target != "classes":
            raise ConfigError(f"{self.engine.name} predicts {self.engine.target}, which have no probabilities; call predict.")
        logits = self.logits(x) / self.temperature
        powers = np.exp(logits - logits.max(-1, keepdims=True))
        return powers / powers.sum(-1, keepdims=True)

    def logits(self, x: Any) -> np.ndarray:
        """Return what the learner returns, `[example, way]` or `[example, output]`."""
        return self._outputs(x)[0]

    def moved_to(self, other: Any, **settings: float) -> Skill:
        """Return the same task as another learner learns it, from the examples that were kept.

        Args:
            other: a `Learner` of the runtime or of PyTorch, a `SavedLearner`, a skill, or a path or name of one of these.
            settings: other values of the other learner's settings.

        Raises:
            TaskError: the examples were not kept.
            ConfigError: the other learner learns another kind of answer.
        """
        known, kept = self.known, self.examples
        if known is None or kept is None:
            raise TaskError("this skill has kept no examples to move; adapt with keep=True.")
        engine = _files().engine_of(other)
        if engine.target != self.engine.target:
            raise ConfigError(f"{engine.name} learns {engine.target}, but the skill's examples have {self.engine.target}.")
        expected = () if engine.target == "values" else known.labels
        choices = Choices(settings=engine.settings(settings, {}), keep=True, expected=expected)
        skill = Skill(engine, choices)
        return skill._taught(known.x, known.spec, kept.y)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the skill, with its learner, to one `.qs` file."""
        known = self._checked()
        self._target.check_savable(known.labels)
        self.engine.save(path, Learned(known, self.choices))

    def _taught(self, x: Arrays, spec: InputSpec, y: Sequence[Any]) -> Skill:
        """Return the skill after examples in another learner's stored form."""
        first = next(iter(x.values()))
        reader = self.engine.reader_for(first)
        if len(x) > 1 and reader.layout() != spec.layout():
            raise ConfigError(
                f"the examples have the parts {', '.join(x)}, which {self.engine.name} stores otherwise; adapt it anew."
            )
        # what may be said of things that are read (the ink of images) is a field of the spec that stored them
        said = {name: getattr(spec, name) for name in reading_options(reader) if hasattr(spec, name)}
        self.choices = dataclasses.replace(self.choices, reading=said)
        self.add(first, y, least=1)
        self.choices = dataclasses.replace(self.choices, reading={})
        return self

    def _checked(self) -> Known:
        if self.known is None:
            raise TaskError("the skill has learned nothing yet; add examples first.")
        return self.known

    def _read(self, x: Any) -> tuple[InputSpec, Arrays]:
        spec = self.engine.reader_for(x) if self.known is None else self.known.spec
        return spec, spec.read_all(x, **self.choices.reading)

    def _compare(self, spec: InputSpec, stored: Arrays) -> None:
        """Warn once if examples are far from those of the learner's training."""
        if self._warned or not self.engine.statistics:
            return
        said = spec.unlike(self.engine.statistics, stored, **self.choices.reading)
        if said is not None:
            self._warned = True
            warnings.warn(f"{self.engine.name}: {said}", UnlikeTrainingWarning, stacklevel=3)

    def _outputs(self, x: Any) -> tuple[np.ndarray, Known]:
        known = self._checked()
        spec, stored = self._read(x)
        self._compare(spec, stored)
        parts = []
        for at in range(0, _count(stored), BATCH):
            inputs = spec.to_network({name: value[at : at + BATCH] for name, value in stored.items()})
            parts.append(self.engine.predict(known.state, inputs))
        return self._checked_prediction(np.concatenate(parts), known), known

    def _checked_prediction(self, found: np.ndarray, known: Known) -> np.ndarray:
        finite = np.isfinite(found).all(-1)
        if not finite.all():
            raise DataError(
                f"the prediction for example {int(finite.argmin())} is no number; scale the examples as in training, or adapt again "
                "with a smaller inner_lr."
            )
        return found

    def _strange(self, outputs: np.ndarray) -> np.ndarray:
        threshold = self.engine.threshold
        if threshold is None:
            raise ConfigError(
                "this learner has no calibrated threshold for unknown classes; export it with --data, which measures one."
            )
        return outputs.max(-1) < threshold

    def _learned(self, stored: Arrays, rows: np.ndarray, labels: tuple[Any, ...], spec: InputSpec) -> Known:
        """Return what is known after these examples too. A learner that would forget adapts to all examples again."""
        earlier, engine = self.known, self.engine
        self._check_ways(rows.shape[1], labels)
        keeps = self.choices.keep or not engine.continues
        if keeps and earlier is not None and not earlier.x:
            raise ConfigError(
                "the earlier examples of this skill were not kept, so keep=True is too late; adapt to all of them."
            )
        if keeps and earlier is not None:
            y = self._target.together(earlier.y, rows)
            x = {name: np.concatenate([earlier.x[name], value]) for name, value in stored.items()}
        else:
            x, y = stored, rows
        if earlier is not None and engine.continues:
            found = engine.update(spec.to_network(stored), rows, earlier.state, self.settings)
        else:
            found = engine.adapt(spec.to_network(x), y, self.settings)
        x, y = ({name: value.copy() for name, value in x.items()}, y) if keeps else ({}, y[:0])
        return Known(self._adapted(found), labels, x, y, spec)

    def _adapted(self, state: Arrays) -> Arrays:
        """Return a state if all of it are numbers."""
        diverged = states.first_not_finite(state)
        if diverged is None:
            return state
        said, rate = f"gave a {diverged} that is no number any more; what was learned before stays.", self.engine.rate
        if rate in self.settings:
            raise ConfigError(
                f"adapting with {rate}={self.settings[rate].item():g} {said} Try a smaller {rate}, or scale the examples "
                "as in training."
            )
        raise DataError(f"adapting {said} The examples' values are too large: scale them as in training.")

    def _check_ways(self, outputs: int, labels: Sequence[Any]) -> None:
        fixed = self.engine.ways
        if fixed is not None and outputs != fixed:
            what = f"{outputs} ways" if labels else f"{outputs} values per example"
            raise TaskError(f"the task has {what}, but this learner's head is fixed to {fixed}; give it tasks of {fixed} ways.")


def reading_options(spec: InputSpec) -> set[str]:
    """Return the names of what may be said about examples when they are read, such as `ink` of images."""
    code = type(spec).read_all.__code__
    return set(code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount])


def _files() -> ModuleType:
    """Return the module that opens files and finds engines; it needs the engines, and these need skills."""
    return importlib.import_module("quickstudy.runtime.skill_file")


def _count(stored: Arrays) -> int:
    return len(next(iter(stored.values())))
