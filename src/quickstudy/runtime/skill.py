"""Skill: a task that a learner has learned, whichever engine runs the learner. It learns more, forgets, predicts, is saved and moved."""

from __future__ import annotations

import dataclasses
import os
import reprlib
import threading
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from quickstudy import targets
from quickstudy.errors import ConfigError, DataError, TaskError, UnlikeTrainingWarning, check_at_least
from quickstudy.inputs import InputSpec
from quickstudy.runtime import skill_file
from quickstudy.runtime import state as states
from quickstudy.runtime.bundle import Arrays
from quickstudy.runtime.engines import Choices, Engine, Kept, Known, Learned, settings_of
from quickstudy.targets.labels import LabelTarget
from quickstudy.targets.sequences import SequenceTarget, check_frames


class Skill:
    """A learned task. `Learner.adapt` makes it and `Skill.load` reads it; `predict` may run while another thread adds.

    Args:
        engine: runs the learner.
        choices: how the task was begun; None if nothing was chosen.
        known: what it knows; None for nothing yet.
    """

    batch: ClassVar[int] = 256
    """Number of queries that are predicted at once, so that memory does not grow with their number."""

    def __init__(self, engine: Engine, choices: Choices | None = None, known: Known | None = None) -> None:
        self.engine, self.choices, self.known = engine, choices or Choices(), known
        self._target = targets.find(engine.facts.target, engine.facts.scale)
        self._warned = False
        self._changing = threading.Lock()

    @classmethod
    def load(cls, path: str | os.PathLike[str], **own: Any) -> Self:
        """Read a skill that `save` wrote, with its learner.

        Args:
            path: a `.qs` file.
            own: `net=` and `learner=` of your own, as `load_learner` takes them, for a skill whose learner runs with PyTorch.

        Raises:
            NotFoundError: there is no such file.
            FileFormatError: the file is damaged, foreign, older, newer, or holds a learner that has learned no task yet.
        """
        engine, learned = skill_file.load(path, **own)
        return cls(engine, learned.choices, learned.known)

    def __repr__(self) -> str:
        facts = self.engine.facts
        return f"<Skill of {facts.name}: {reprlib.repr(self.labels) if self.labels else facts.target}>"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_changing"}

    def __setstate__(self, found: dict[str, Any]) -> None:
        vars(self).update(found, _changing=threading.Lock())

    @property
    def labels(self) -> list[Any]:
        """Return what each way stands for, in the order of the columns of `predict_proba`; values have none."""
        return list(self.known.labels if self.known is not None else self.choices.expected or self.engine.facts.symbols)

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
        """Return the number by which logits are divided to become probabilities; it may follow the number of classes."""
        facts = self.engine.facts
        return facts.temperature * max(len(self.labels), 1) ** facts.temperature_power

    @property
    def examples(self) -> Kept | None:
        """Return the examples in their stored form, and their labels or values; None if they were not kept."""
        known = self.known
        if known is None or not known.x:
            return None
        x = next(iter(known.x.values())) if len(known.x) == 1 else dict(known.x)
        return Kept(x, self._target.given(known.y, known.labels))

    def add(self, x: Any, y: Any, least: int = 2) -> Self:
        """Learn from more examples, of known or of new classes; return the skill itself, changed.

        Args:
            x: a list of images (paths, encoded bytes, Pillow images, arrays) or of texts, or rows of numbers `[example, feature]`.
            y: one label per example; or one value, or row of values.
            least: number of classes below which they are refused.

        Raises:
            DataError: examples or labels cannot be used.
            TaskError: there is a single class, or the learner's head has other ways.
            ConfigError: the learner diverges with its settings.
        """
        spec, stored = self._read(x)
        self._compare(spec, stored)
        return self._add(spec, stored, y, least)

    def _add(self, spec: InputSpec, stored: Arrays, y: Any, least: int) -> Self:
        """Learn from more examples in their stored form; return the skill itself, changed."""
        answers = self._target.read(y)
        count = _count(stored)
        if count != len(answers):
            raise DataError(f"there are {count} examples but {len(answers)} labels; expected one label per example.")
        with self._changing:
            labels = self._target.joined(self.labels, answers)
            self._check_sequences(answers, labels)
            if least > 1:
                self._target.check_several(labels)
            rows = self._target.rows(answers, labels)
            if self.known is None and isinstance(self._target, LabelTarget):
                self._target.warn_of_unshown(rows, labels)
            self.known = self._learned(stored, rows, labels, spec)
        return self

    def forget(self, label: Any) -> Self:
        """Unlearn a class; return the skill itself, changed.

        Raises:
            DataError: the skill does not know the label.
            TaskError: fewer than two classes would be left (of label sets, no label), or the learner's head has other ways.
        """
        if self._target.axes:
            raise ConfigError(
                f"{self.engine.facts.name} learned {self.engine.facts.target}, and unlearns no symbol; adapt it again."
            )
        with self._changing:
            known = self.known
            if known is None or label not in known.labels:
                raise DataError(f"label {label!r} is not known; the skill knows {', '.join(map(repr, self.labels)) or 'none'}.")
            several = isinstance(self._target, LabelTarget)  # whose examples stay, without the label
            if len(known.labels) < (2 if several else 3):
                left = "no label" if several else "a single class"
                raise TaskError(f"without {label!r} {left} would be left; add another {'label' if several else 'class'} first.")
            way = known.labels.index(label)
            labels = tuple(other for other in known.labels if other != label)
            self._check_ways(len(labels), labels)
            rest = (known.y[:, way] == 0) | several
            x = {name: value[rest] for name, value in known.x.items()} if known.x else {}
            y = np.delete(known.y[rest], way, axis=1)
            if self.engine.facts.continues:
                state = self.engine.without(known.state, way, known.spec)
            else:
                state = self._adapted(self.engine.adapt(known.spec.to_network(x), y, self.settings))
            self.known = dataclasses.replace(known, state=state, labels=labels, x=x, y=y)
        return self

    def predict(self, x: Any, unknown: Any = None, beam: int = 0) -> list[Any]:
        """Return the most likely label of each example, its values, what it says, or the list of its labels (of a probability above 1/2).

        Args:
            x: examples, as `add` takes them.
            unknown: answer for an example that belongs to no class, by the learner's calibrated threshold; None: always name a class.
            beam: for sequences, width of a search for the one that is most likely; 0 reads the most likely path, which is faster.

        Raises:
            ConfigError: `unknown` is given, but the learner has no threshold; or `beam` for answers that are no sequences.
            DataError: examples cannot be used, or their prediction is no number.
        """
        if beam and not isinstance(self._target, SequenceTarget):
            raise ConfigError(
                f"beam is {beam}, but {self.engine.facts.name} predicts {self.engine.facts.target}; leave it out."
            )
        check_at_least("beam", beam, 0)
        outputs, known = self._outputs(x)
        prediction = outputs["prediction"]
        if isinstance(self._target, SequenceTarget):
            return self._target.answers(prediction, known.labels, beam)
        found = self._target.answers(prediction, known.labels)
        if unknown is None:
            return found
        return [unknown if strange else label for label, strange in zip(found, self._strange(prediction), strict=True)]

    def unknown(self, x: Any) -> np.ndarray:
        """Return whether each example belongs to no class, by the learner's calibrated threshold, bool `[example]`."""
        return self._strange(self.logits(x))

    def predict_proba(self, x: Any) -> np.ndarray:
        """Return the probability of each class, `[example, class]`, in the order of `labels`: softmax of logits / temperature.

        Of label sets, it is the probability of each label on its own: the sigmoid of logits / temperature.
        """
        facts = self.engine.facts
        if isinstance(self._target, LabelTarget):
            return 0.5 * (1 + np.tanh(0.5 * self.logits(x) / self.temperature))
        if facts.target != "classes":
            raise ConfigError(f"{facts.name} predicts {facts.target}, which have no probabilities; call predict.")
        logits = self.logits(x) / self.temperature
        powers = np.exp(logits - logits.max(-1, keepdims=True))
        return powers / powers.sum(-1, keepdims=True)

    def logits(self, x: Any) -> np.ndarray:
        """Return the outputs of the learner, `[example, way]`, `[example, frame, symbol]` or, of values, `[example, output]`."""
        return self.outputs(x)["prediction"]

    def outputs(self, x: Any) -> dict[str, np.ndarray]:
        """Return all that the learner predicts: its `prediction`, as `logits`, and for values perhaps their `spread`.

        The spread is the standard deviation of each value that the learner expects, `[example, output]`; few learners predict one. Values
        and spreads are in the unit of the values that were learned.
        """
        found, scale = self._outputs(x)[0], self.engine.facts.scale
        return found if scale is None else scale.outputs(found)

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
        engine = skill_file.engine_of(other)
        theirs, ours = engine.facts, self.engine.facts
        if theirs.target != ours.target:
            raise ConfigError(f"{theirs.name} learns {theirs.target}, but the skill's examples have {ours.target}.")
        if theirs.symbols and theirs.symbols[: len(known.labels)] != tuple(known.labels):
            raise ConfigError(
                f"{theirs.name} knows the symbols {''.join(theirs.symbols)!r} alone, in this order, but the skill's are "
                f"{''.join(map(str, known.labels))!r}; adapt it to the examples anew."
            )
        choices = Choices(settings=settings_of(engine, settings, {}), keep=True, expected=known.labels)
        return Skill(engine, choices)._taught(known, self.choices.reading, kept.y)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the skill, with its learner, to one `.qs` file."""
        known = self._checked()
        self._target.check_savable(known.labels)
        skill_file.write(path, self.engine.packed(known.spec), Learned(known, self.choices))

    def _taught(self, known: Known, reading: Mapping[str, Any], y: Sequence[Any]) -> Skill:
        """Return the skill after the examples that another skill keeps; later ones are read as that skill reads them.

        Args:
            known: what the other skill knows.
            reading: how the other skill reads examples, if it is not the way of its spec.
            y: answers of the kept examples.
        """
        x, spec, first = known.x, known.spec, next(iter(known.x.values()))
        reader = self.engine.reader_for(first).fitted_to(spec)
        if len(x) > 1 and reader.layout() != spec.layout():
            raise ConfigError(
                f"the examples have the parts {', '.join(x)}, which {self.engine.facts.name} stores in another way; adapt it to them again."
            )
        stored_as = spec.as_read() if spec.kind == reader.kind else {}
        stored = x if len(x) > 1 else reader.read_all(first, **stored_as)
        self.choices = dataclasses.replace(self.choices, reading=stored_as)
        self._compare(reader, stored)
        self._add(reader, stored, y, least=1)
        self.choices = dataclasses.replace(self.choices, reading={**stored_as, **reading} if stored_as else {})
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
        statistics = self.engine.facts.statistics
        if self._warned or not statistics:
            return
        said = spec.unlike(statistics, stored, **self.choices.reading)
        if said is not None:
            self._warned = True
            warnings.warn(said, UnlikeTrainingWarning, stacklevel=3)

    def _outputs(self, x: Any) -> tuple[dict[str, np.ndarray], Known]:
        known = self._checked()
        spec, stored = self._read(x)
        self._compare(spec, stored)
        parts = []
        for at in range(0, _count(stored), self.batch):
            inputs = spec.to_network({name: value[at : at + self.batch] for name, value in stored.items()})
            parts.append(self.engine.outputs(known.state, inputs))
        found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return {name: self._checked_prediction(value) for name, value in found.items()}, known

    def _checked_prediction(self, found: np.ndarray) -> np.ndarray:
        """Return a prediction if all of it are numbers."""
        finite = np.isfinite(found).reshape(len(found), -1).all(-1)
        if not finite.all():
            rate = self.engine.facts.rate
            again = f", or adapt again with a smaller {rate}" if rate in self.settings else ""
            raise DataError(
                f"the prediction for example {int(finite.argmin())} is no number; scale the examples as in training{again}."
            )
        return found

    def _strange(self, outputs: np.ndarray) -> np.ndarray:
        threshold = self.engine.facts.threshold
        if self.engine.facts.target != "classes":
            raise ConfigError(
                f"this learner answers with {self.engine.facts.target}, of which none is unknown; leave unknown out."
            )
        if threshold is None:
            raise ConfigError(
                "this learner has no calibrated threshold for unknown classes; export it with --data, which measures one, and use "
                "the exported learner."
            )
        return outputs.max(-1) < threshold

    def _learned(self, stored: Arrays, rows: np.ndarray, labels: tuple[Any, ...], spec: InputSpec) -> Known:
        """Return what is known after these examples too. A learner that would forget adapts to all examples again."""
        earlier, engine = self.known, self.engine
        self._check_ways(rows.shape[-1], labels)
        keeps = self.choices.keep or not engine.facts.continues
        if keeps and earlier is not None and not earlier.x:
            raise ConfigError(
                "the earlier examples of this skill were not kept, so keep=True is too late; adapt to all of them."
            )
        if keeps and earlier is not None:
            y = self._target.together(earlier.y, rows)
            x = {name: np.concatenate([earlier.x[name], value]) for name, value in stored.items()}
        else:
            x, y = stored, rows
            if earlier is not None and not labels and earlier.y.shape[-1]:
                self._target.together(earlier.y, rows)  # which refuses another number of values
        if earlier is not None and engine.facts.continues:
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
        said, rate = f"gave a {diverged} that is no number any more; what was learned before stays.", self.engine.facts.rate
        if rate in self.settings:
            raise ConfigError(
                f"adapting with {rate}={self.settings[rate].item():g} {said} Try a smaller {rate}, or scale the examples "
                "as in training."
            )
        raise DataError(f"adapting {said} The examples' values are too large: scale them as in training.")

    def _check_sequences(self, answers: Any, labels: Sequence[Any]) -> None:
        """Raise a DataError for a symbol that a fixed alphabet lacks, or for a sequence that is too long for its example."""
        facts = self.engine.facts
        if facts.symbols and len(labels) > len(facts.symbols):
            raise DataError(
                f"the transcripts have {labels[len(facts.symbols)]!r}, which is not in the learner's alphabet "
                f"{''.join(facts.symbols)!r}; spell it with these symbols, or leave such examples out."
            )
        for place, answer in enumerate(answers if facts.frames else ()):
            check_frames(f"transcript {place}, {answer!r},", answer, facts.frames)

    def _check_ways(self, outputs: int, labels: Sequence[Any]) -> None:
        fixed, most = self.engine.facts.ways, self.engine.facts.most
        if most is not None and not labels and outputs > most:
            raise TaskError(
                f"the task has {outputs} values per example, but this learner takes {most} at most; ask for fewer values."
            )
        if fixed is not None and outputs != fixed:
            what = "ways" if labels else "values per example"
            raise TaskError(
                f"the task has {outputs} {what}, but this learner's head is fixed to {fixed}; give it tasks with {fixed} {what}."
            )


def _count(stored: Arrays) -> int:
    return len(next(iter(stored.values())))
