"""FewShotClassifier: a learner as a scikit-learn classifier, for images (files, PIL, arrays), rows of numbers or tables."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from quickstudy import targets
from quickstudy.errors import DataError
from quickstudy.estimators import _sklearn
from quickstudy.estimators._labelled import Labelled
from quickstudy.runtime import skill_file
from quickstudy.runtime.engines import Engine
from quickstudy.targets.classes import as_array


class FewShotClassifier(_sklearn.ClassifierMixin, Labelled):
    """Learns classes from a handful of labelled examples, with PyTorch or without it.

    Args:
        learner: a `SavedLearner` or a `Learner`; the path of a bundle, of a learner's file or of a run; the name of a shipped learner
            (`"omniglot"`); or None for prototypes of the rows themselves (nearest class mean), which needs PyTorch.
        reading: how examples are read, if it is not the learner's own way. Of images: `ink="dark"` for dark strokes on a light ground,
            `ink="light"` for light ones on a dark ground.

    Attributes:
        classes_: the labels, sorted if they can be; the order of the columns of `predict_proba`.
        n_features_in_: length of a row, on rows of numbers or of a table.
        feature_names_in_: names of the columns, on a table of pandas.
        skill_: the learned task.

    >>> import numpy as np
    >>> classifier = FewShotClassifier().fit([[0.0, 0.0], [1.0, 1.0]], ["low", "high"])
    >>> classifier.predict([[0.9, 0.8]]).tolist()
    ['high']
    >>> classifier.partial_fit([[5.0, 5.0]], ["huge"]).predict([[4.0, 6.0]]).tolist()
    ['huge']
    """

    target = "classes"

    def partial_fit(self, X: Any, y: Any, classes: Sequence[Hashable] | None = None) -> FewShotClassifier:
        """Learn from more examples, of known or of new classes.

        Args:
            X: examples, as `fit` takes them.
            y: one hashable label per example.
            classes: all labels that will come; may be given in the first call.
        """
        first = not hasattr(self, "skill_")
        expected = [] if classes is None or not first else targets.find(self.target).read(classes)
        if len(set(expected)) < len(expected):
            raise DataError(f"classes is {expected}, which names a class twice; expected each once.")
        return self._learn(X, y, first, expected)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most likely label of each example, `[example]`."""
        best = self._outputs(X)["prediction"].argmax(-1)
        return as_array(self.skill_.labels)[best]

    def unknown(self, X: Any) -> np.ndarray:
        """Return whether each example belongs to no class, by the learner's calibrated threshold, bool `[example]`."""
        _sklearn.check_fitted(self)
        return self.skill_.unknown(self._examples(self.skill_, X, reset=False))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the fraction of the examples whose label is predicted.

        Raises:
            DataError: a label is one that `fit` has not seen, so that no prediction could be right.
        """
        found = self._outputs(X)["prediction"].argmax(-1)
        labels, known = targets.find(self.target).read(y), self.skill_.labels
        position = {label: way for way, label in enumerate(known)}
        strange = [label for label in dict.fromkeys(labels) if label not in position]
        if strange:
            raise DataError(
                f"label {strange[0]!r} is in y, but was not in fit ({len(strange)} such labels); learn it first, with partial_fit."
            )
        if len(found) != len(labels):
            raise DataError(f"there are {len(found)} examples but {len(labels)} labels; expected one label per example.")
        right = found == np.array([position[label] for label in labels])
        return float(np.average(right, weights=None if sample_weight is None else np.asarray(sample_weight)))

    def _check_answers(self, y: Any) -> None:
        _sklearn.check_column(y)
        _sklearn.check_classes(y)

    def _default(self, X: Any) -> Engine:
        return skill_file.torch_engine("without a learner, FewShotClassifier computes with PyTorch").prototypes(X)
