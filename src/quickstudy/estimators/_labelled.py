"""Base of the estimators whose answers are labels: their order, and their probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from quickstudy.estimators import _sklearn
from quickstudy.estimators._estimator import Estimator
from quickstudy.targets.classes import as_array


class Labelled(Estimator):
    """An estimator that knows labels, one or several for each example."""

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, or of each label on its own, `[example, class]`, in the order of `classes_`."""
        _sklearn.check_fitted(self)
        return self.skill_.predict_proba(self._examples(self.skill_, X, reset=False))[:, self._order]

    @property
    def classes_(self) -> np.ndarray:
        """Return the labels, in the order of the columns of `predict_proba`."""
        if not hasattr(self, "skill_"):
            raise AttributeError("classes_ is known after fit")
        labels = self.skill_.labels
        return as_array([labels[way] for way in self._order])

    @property
    def _order(self) -> list[int]:
        """Return the ways in the order of sorted labels; classes that were learned later lie last in the skill."""
        labels = self.skill_.labels
        try:
            return sorted(range(len(labels)), key=labels.__getitem__)
        except TypeError:  # labels that cannot be compared
            return [*range(len(labels))]
