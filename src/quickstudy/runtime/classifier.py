"""FewShotClassifier without PyTorch and scikit-learn, on a bundle: what `quickstudy.FewShotClassifier` is where torch is absent."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from quickstudy.errors import DataError, TaskError
from quickstudy.inputs.image import Ink
from quickstudy.runtime.learner import Learner, Task
from quickstudy.targets.classes import as_array


class FewShotClassifier:
    """Learns classes from a handful of labelled examples.

    Args:
        learner: a `Learner`; the path of a bundle; or the name of a shipped learner (`"omniglot"`).
        ink: polarity of the images given, where it differs from the training data's.

    >>> drawings = np.random.default_rng(0).random((4, 28, 28))
    >>> classifier = FewShotClassifier("omniglot").fit(drawings, ["a", "a", "b", "b"])
    >>> classifier.score(drawings, ["a", "a", "b", "b"])
    1.0
    """

    def __init__(self, learner: Learner | str | os.PathLike[str], ink: Ink | None = None) -> None:
        self.learner = learner if isinstance(learner, Learner) else Learner.load(learner)
        self.ink: Ink | None = ink
        self.task: Task | None = None

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str], ink: Ink | None = None) -> FewShotClassifier:
        """A classifier on a shipped learner, or on a bundle."""
        return cls(name, ink)

    @classmethod
    def load(cls, path: str | os.PathLike[str], ink: Ink | None = None) -> FewShotClassifier:
        """A classifier that goes on from a task that `save` or `quickstudy adapt` wrote."""
        task = Task.load(path)
        task.ink = ink or task.ink
        classifier = cls(task.learner, task.ink)
        classifier.task = task
        return classifier

    def fit(self, X: Any, y: Sequence[Any]) -> FewShotClassifier:
        """Learn the classes in `y` from images, or rows `[example, feature]`, forgetting what was learned before."""
        self.task = self.learner.adapt(X, y, ink=self.ink)
        return self

    def partial_fit(self, X: Any, y: Sequence[Any]) -> FewShotClassifier:
        """Learn from more examples, of known or of new classes."""
        if self.task is None:
            return self.fit(X, y)
        self.task.add(X, y)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The most likely label of each example, `[example]`."""
        return self.classes_[self._learned().logits(X).argmax(-1)]

    def is_unknown(self, X: Any) -> np.ndarray:
        """True for each example that belongs to no class, by the bundle's calibrated threshold, `[example]`."""
        unknown = object()
        return np.array([label is unknown for label in self._learned().predict(X, unknown=unknown)])

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each class, `[example, class]`, in the order of `classes_`."""
        return self._learned().predict_proba(X)

    def score(self, X: Any, y: Sequence[Any]) -> float:
        """Fraction of the examples whose label is predicted."""
        found = self._learned().predict(X)
        if len(found) != len(y):
            raise DataError(f"there are {len(found)} examples but {len(y)} labels; expected one label per example.")
        return float(np.mean([label == right for label, right in zip(found, y, strict=True)]))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what was learned, with the learner, to one bundle."""
        self._learned().save(path)

    @property
    def classes_(self) -> np.ndarray:
        """The labels, in the order of the columns of `predict_proba`."""
        return as_array(self._learned().labels)

    def _learned(self) -> Task:
        if self.task is None:
            raise TaskError("the classifier has learned nothing yet; call fit first.")
        return self.task
