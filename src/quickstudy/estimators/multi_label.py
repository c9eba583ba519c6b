"""FewShotMultiLabelClassifier: a learner as a scikit-learn classifier of examples that have any number of labels each."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from quickstudy.errors import ConfigError, DataError
from quickstudy.estimators import _sklearn
from quickstudy.estimators._labelled import Labelled
from quickstudy.runtime.engines import Engine
from quickstudy.targets.labels import LabelTarget


class FewShotMultiLabelClassifier(_sklearn.ClassifierMixin, Labelled):
    """Learns sets of labels from a handful of examples, with PyTorch or without it.

    Args:
        learner: a `SavedLearner` that was trained on label sets, or a `Learner` that can learn them; the path of a bundle, of a learner's
            file or of a run.
        reading: how examples are read, if it is not the learner's own way; see `FewShotClassifier`.

    Attributes:
        classes_: the labels, sorted if they can be; the order of the columns of predictions.
        n_features_in_: length of a row, on rows of numbers or of a table.
        feature_names_in_: names of the columns, on a table of pandas.
        skill_: the learned task.

    >>> from quickstudy.learners.anil import ANIL
    >>> from quickstudy.nets.identity import Identity
    >>> classifier = FewShotMultiLabelClassifier(ANIL(Identity(2), inner_lr=1.0, inner_steps=20))
    >>> classifier = classifier.fit([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]], [["b"], ["a"], ["a", "b"], []])
    >>> classifier.predict([[0.9, 0.1], [0.8, 0.9]]).tolist()
    [[1, 0], [1, 1]]
    """

    target = "labels"

    def fit(self, X: Any, y: Any) -> Self:
        """Learn the task from the examples `X`, forgetting what was learned before.

        Args:
            X: examples, as `FewShotClassifier.fit` takes them.
            y: ones and zeros `[example, label]`, as an array or a table, whose columns' names are then the labels; or for each example a
                list of labels, or a text such as `red;round`.
        """
        return super().fit(X, y)

    def partial_fit(self, X: Any, y: Any) -> FewShotMultiLabelClassifier:
        """Learn from more examples, with known or new labels; of new ones, earlier examples have none."""
        return self._learn(X, y, not hasattr(self, "skill_"), ())

    def predict(self, X: Any) -> np.ndarray:
        """Return ones and zeros, int64 `[example, label]` in the order of `classes_`: whether a label's probability is above 1/2."""
        return (self._outputs(X)["prediction"][:, self._order] > 0).astype(np.int64)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the fraction of the examples of which all labels are right, as scikit-learn scores label sets.

        Args:
            X: examples, as `fit` takes them.
            y: label sets as `fit` takes them; columns without names are in the order of `classes_`, as `predict` returns them.
            sample_weight: weight of each example.

        Raises:
            DataError: a label is one that `fit` has not seen, or there are more or fewer examples than label sets.
        """
        found, known, target = self.predict(X), self.classes_.tolist(), LabelTarget()
        answers = target.read(y)
        if answers.nameless and len(answers.named) == len(known):  # the columns of `predict`
            expected = np.asarray(y)
        else:
            target.joined(known, answers)
            expected = target.rows(answers, known)
        if len(found) != len(expected):
            raise DataError(f"there are {len(found)} examples but {len(expected)} label sets; expected one for each.")
        right = (found == expected).all(-1)
        return float(np.average(right, weights=None if sample_weight is None else np.asarray(sample_weight)))

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn has to know: each example has a column for every label."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label, tags.target_tags.two_d_labels = True, True
        return tags

    def _check_answers(self, y: Any) -> None:
        """Accept a single column, which is a single label that examples have or lack."""

    def _default(self, X: Any) -> Engine:
        raise ConfigError(
            "FewShotMultiLabelClassifier was given no learner, and nothing learns label sets without one; give a learner that was trained "
            "on them (quickstudy train --labels COLUMN), or one that can learn them, such as maml or anil."
        )
