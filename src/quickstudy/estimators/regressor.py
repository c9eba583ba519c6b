"""FewShotRegressor: a learner as a scikit-learn regressor, for numbers that are to be predicted from rows or images."""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np

from quickstudy.errors import ConfigError
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
        n_features_in_: length of a row, on rows of numbers or of a table.
        feature_names_in_: names of the columns, on a table of pandas.
        skill_: the learned task.

    >>> regressor = FewShotRegressor().fit([[0.0], [1.0], [2.0], [3.0]], [0.0, 1.0, 2.0, 3.0])
    >>> regressor.predict([[1.5]]).round(1).tolist()
    [1.5]
    """

    target = "values"

    def partial_fit(self, X: Any, y: Any) -> FewShotRegressor:
        """Learn from more examples."""
        return self._learn(X, y, not hasattr(self, "skill_"), ())

    @overload
    def predict(self, X: Any, return_std: Literal[False] = False) -> np.ndarray: ...

    @overload
    def predict(self, X: Any, return_std: Literal[True]) -> tuple[np.ndarray, np.ndarray]: ...

    def predict(self, X: Any, return_std: bool = False) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return the value of each example, `[example]`, or its values, `[example, output]`, if it has several.

        Args:
            X: examples, as `fit` takes them.
            return_std: return the standard deviation of each value too, of the same shape, as the learner predicts it.

        Raises:
            ConfigError: `return_std` is asked of a learner that predicts values alone.
        """
        found = {name: value[:, 0] if value.shape[1] == 1 else value for name, value in self._outputs(X).items()}
        if not return_std:
            return found["prediction"]
        if "spread" not in found:
            raise ConfigError(
                f"{self.skill_.engine.facts.name.removeprefix('_')} predicts values without their standard deviations; leave out "
                "return_std, or take a learner that predicts both, such as a neural process."
            )
        return found["prediction"], found["spread"]

    def _default(self, X: Any) -> Engine:
        return skill_file.torch_engine("without a learner, FewShotRegressor computes with PyTorch").ridge(X)
