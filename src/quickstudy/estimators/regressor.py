"""FewShotRegressor: a learner as a scikit-learn regressor, for numbers that are to be predicted from rows or images."""

from __future__ import annotations

from typing import Any

import numpy as np

from quickstudy.estimators import _sklearn
from quickstudy.estimators._estimator import Estimator
from quickstudy.runtime import skill_file
from quickstudy.runtime.engines import Engine


class FewShotRegressor(_sklearn.RegressorMixin, Estimator):
    """Learns to predict numbers from a handful of examples, with PyTorch or without it.

    Args:
        learner: a `SavedLearner` or a `Learner` that was trained on values; the path of a bundle, of a learner's file or of a run; or
            None for kernel ridge regression on the rows themselves, which needs PyTorch.
        reading: how examples are read, if it is not the learner's own way. Of images: `ink="dark"` for dark strokes on a light ground,
            `ink="light"` for light ones on a dark ground.

    Attributes:
        n_features_in_: length of a row, on rows of numbers.
        skill_: the learned task.

    >>> regressor = FewShotRegressor().fit([[0.0], [1.0], [2.0], [3.0]], [0.0, 1.0, 2.0, 3.0])
    >>> regressor.predict([[1.5]]).round(1).tolist()
    [1.5]
    """

    target = "values"

    def partial_fit(self, X: Any, y: Any) -> FewShotRegressor:
        """Learn from more examples."""
        return self._learn(X, y, not hasattr(self, "skill_"), ())

    def predict(self, X: Any) -> np.ndarray:
        """Return the value of each example, `[example]`, or its values, `[example, output]`, if it has several."""
        found = self._outputs(X)
        return found[:, 0] if found.shape[1] == 1 else found

    def _default(self, X: Any) -> Engine:
        return skill_file.torch_engine("without a learner, FewShotRegressor computes with PyTorch").ridge(X)
