"""FewShotClassifier: a learner as a scikit-learn classifier, for images (files, PIL, arrays) or plain rows of numbers."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d, validate_data
from torch import Tensor

from quickstudy.errors import DataError
from quickstudy.inputs.image import Ink
from quickstudy.learner import Learner
from quickstudy.learners.protonet import ProtoNet
from quickstudy.nets.identity import Identity
from quickstudy.objectives.classes import OneHot, one_hot
from quickstudy.targets.classes import as_array, checked, extended
from quickstudy.task import Examples, concatenate
from quickstudy.tasks._inputs import to_input
from quickstudy.training.saving import SavedLearner, SavedTask, load_learner, load_task, save_task

BATCH = 256
"""Images predicted at once, so that memory does not grow with the number of images."""


class FewShotClassifier(ClassifierMixin, BaseEstimator):
    """Learns classes from a handful of labelled examples.

    Args:
        learner: a `SavedLearner`; the path of a learner's file or of a run; the name of a shipped learner (`"omniglot"`); a `Learner`
            on rows of numbers; or None for prototypes of the rows themselves (nearest class mean).
        ink: polarity of the images given, where it differs from the training data's: `"dark"` on light or `"light"` on dark.

    Attributes:
        classes_: the labels, sorted where they can be; classes that `partial_fit` adds come after them.
        n_features_in_: length of a row, on rows of numbers.
        state_: what the learner knows about the task.

    >>> import numpy as np
    >>> classifier = FewShotClassifier().fit([[0.0, 0.0], [1.0, 1.0]], ["low", "high"])
    >>> classifier.predict([[0.9, 0.8]]).tolist()
    ['high']
    >>> classifier.partial_fit([[5.0, 5.0]], ["huge"]).predict([[4.0, 6.0]]).tolist()
    ['huge']
    """

    ink: Ink | None
    n_features_in_: int

    def __init__(self, learner: SavedLearner | Learner | str | os.PathLike[str] | None = None, ink: Ink | None = None) -> None:
        self.learner = learner
        self.ink = ink

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str], ink: Ink | None = None) -> FewShotClassifier:
        """A classifier on a learner that ships with quickstudy (`"omniglot"`, `"glyphs"`), or on a saved one.

        >>> import numpy as np
        >>> drawings = np.random.default_rng(0).random((4, 28, 28))
        >>> classifier = FewShotClassifier.from_pretrained("omniglot").fit(drawings, ["a", "a", "b", "b"])
        >>> classifier.score(drawings, ["a", "a", "b", "b"])
        1.0
        """
        return cls(load_learner(name), ink)

    def fit(self, X: Any, y: Any) -> FewShotClassifier:
        """Learn the classes in `y` from the examples `X`, forgetting what was learned before.

        Args:
            X: images (paths, PIL images or arrays, of any size), or rows `[example, feature]`.
            y: one hashable label per example.
        """
        self._forget()
        return self._learn(X, y, reset=True)

    def partial_fit(self, X: Any, y: Any, classes: Sequence[Hashable] | None = None) -> FewShotClassifier:
        """Learn from more examples, of known or of new classes.

        Args:
            X: as in `fit`.
            y: one hashable label per example.
            classes: labels to expect, in the order of `classes_`; may be given the first time.
        """
        first = not hasattr(self, "state_")
        if first:
            self._forget()
            self._ways = _labels(classes) if classes is not None else []
            if len(set(self._ways)) < len(self._ways):
                raise DataError(f"classes is {list(self._ways)}, which names a class twice; expected each once.")
        return self._learn(X, y, reset=first)

    def predict(self, X: Any) -> np.ndarray:
        """The most likely label of each example, `[example]`."""
        best = self._logits(X).argmax(-1).numpy()
        return self.classes_[best]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each class, `[example, class]`, in the order of `classes_`; the softmax of the learner's logits."""
        return torch.softmax(self._logits(X), dim=-1).numpy()

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Fraction of the examples whose label is predicted.

        Raises:
            DataError: a label that `fit` has not seen, so that no prediction could be right.
        """
        best = self._logits(X).argmax(-1).tolist()
        labels = _labels(y)
        seen = set(self._ways)
        unknown = [label for label in dict.fromkeys(labels) if label not in seen]
        if unknown:
            raise DataError(
                f"label {unknown[0]!r} is in y, but was not in fit ({len(unknown)} such labels); learn it first, with partial_fit."
            )
        if len(best) != len(labels):
            raise DataError(f"there are {len(best)} examples but {len(labels)} labels; expected one label per example.")
        right = [self._ways[way] == label for way, label in zip(best, labels, strict=True)]
        return float(np.average(right, weights=None if sample_weight is None else np.asarray(sample_weight)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what was learned, with the learner, to one file."""
        check_is_fitted(self, "state_")
        labels = tuple(self._ways)
        save_task(
            path, SavedTask(self._saved, self.state_, labels, self._support, self.ink, getattr(self, "n_features_in_", None))
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str], ink: Ink | None = None) -> FewShotClassifier:
        """A classifier that goes on from a file that `save` or `quickstudy adapt` wrote."""
        task = load_task(path)
        classifier = cls(task.saved, ink or task.ink)
        classifier._saved, classifier.state_, classifier._ways = task.saved, dict(task.state), list(task.labels)
        classifier._support = task.support
        if task.features is not None:
            classifier.n_features_in_ = task.features
        return classifier

    @property
    def classes_(self) -> np.ndarray:
        """The labels, in the order of the columns of `predict_proba`."""
        if not hasattr(self, "_ways"):
            raise AttributeError("classes_ is known after fit")
        return as_array(self._ways)

    def _logits(self, X: Any) -> Tensor:
        check_is_fitted(self, "state_")
        x = self._inputs(X, reset=False)
        with torch.no_grad():
            return torch.cat([self._saved.learner.predict(self.state_, part) for part in x.split(BATCH)])

    def _forget(self) -> None:
        for name in ("state_", "_saved", "_ways", "_support"):
            if hasattr(self, name):
                delattr(self, name)

    def _learn(self, X: Any, y: Any, reset: bool) -> FewShotClassifier:
        labels = _labels(y)
        if reset:
            self._saved = self._resolve(X)
        x = self._inputs(X, reset)
        if len(x) != len(labels):
            raise DataError(f"there are {len(x)} examples but {len(labels)} labels; expected one label per example.")
        ways = getattr(self, "_ways", [])
        ways = extended(ways, labels)
        position = {label: way for way, label in enumerate(ways)}
        support = Examples(x, one_hot(torch.tensor([position[label] for label in labels]), len(ways), x.dtype))
        learner, state = self._saved.learner, None if reset else self.state_
        if not learner.continues:  # it would forget earlier examples: adapt to all of them
            support, state = support if reset else _joined(self._support, support), None
        with torch.no_grad():
            self.state_ = dict(learner.adapt(support, state))
        self._ways, self._support = ways, None if learner.continues else support
        return self

    def _resolve(self, X: Any) -> SavedLearner:
        if isinstance(self.learner, SavedLearner):
            return self.learner
        if isinstance(self.learner, Learner):
            return SavedLearner(self.learner)
        if self.learner is not None:
            return load_learner(self.learner)
        features = check_array(X, dtype=np.float64).shape[1]  # pyright: ignore[reportArgumentType]
        return SavedLearner(ProtoNet(Identity(in_features=features)).double())

    def _inputs(self, X: Any, reset: bool) -> Tensor:
        spec = self._saved.spec
        if spec is None:
            rows = validate_data(self, X, reset=reset, dtype=np.float64)
            weight = next(self._saved.learner.parameters(), None)
            return torch.tensor(rows, dtype=torch.float64 if weight is None else weight.dtype)
        how = {} if self.ink is None else {"ink": self.ink}
        (name, layout), *_ = spec.layout().items()
        return to_input(torch.from_numpy(spec.read_all(X, **how)[name]), layout)


def _joined(earlier: Examples | None, more: Examples) -> Examples:
    """Both, with a column of `y` for every way of the later ones."""
    if earlier is None:
        return more
    rows = F.pad(earlier.y.rows, (0, more.y.outputs - earlier.y.outputs))
    return concatenate(Examples(earlier.x, OneHot(rows)), more)


def _labels(y: Any) -> list[Any]:
    if hasattr(y, "__array__"):
        array = column_or_1d(y, warn=True)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DataError("y contains NaN or infinity, which are no labels; leave these examples out.")
        check_classification_targets(array)
        y = array.tolist()
    if y is None:
        raise DataError("fit requires y to be passed, but the target y is None; give one label per example.")
    return checked(y)
