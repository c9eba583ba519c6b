"""Parts of scikit-learn that the estimators need, or plain stand-ins if it is not installed."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from quickstudy.errors import DataError, TaskError
from quickstudy.inputs._rows import column_names

__all__ = [
    "BaseEstimator",
    "ClassifierMixin",
    "RegressorMixin",
    "check_classes",
    "check_column",
    "check_fitted",
    "checked_rows",
    "checked_table",
    "has_words",
]

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin  # pyright: ignore[reportAssignmentType]
    from sklearn.exceptions import DataConversionWarning
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ModuleNotFoundError:
    check_classification_targets = check_is_fitted = validate_data = None
    DataConversionWarning = UserWarning

    class BaseEstimator:
        """Stand-in for scikit-learn's class of the same name."""

    class ClassifierMixin:
        """Stand-in for scikit-learn's class of the same name."""

    class RegressorMixin:
        """Stand-in for scikit-learn's class of the same name."""

        def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
            """Return the coefficient of determination of the predictions, as scikit-learn defines it."""
            wanted, weight = np.asarray(y, float), np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight)
            wrong = weight @ (wanted - self.predict(X)) ** 2  # pyright: ignore[reportAttributeAccessIssue]
            total = weight @ (wanted - np.average(wanted, axis=0, weights=weight)) ** 2
            return float(np.mean(1 - wrong / total))


def check_fitted(estimator: Any) -> None:
    """Raise an error unless the estimator has learned something."""
    if check_is_fitted is not None:
        check_is_fitted(estimator, "skill_")
    if not hasattr(estimator, "skill_"):
        raise TaskError(f"this {type(estimator).__name__} has learned nothing yet; call fit first.")


def checked_rows(estimator: Any, X: Any, reset: bool) -> Any:
    """Return rows of numbers, checked as scikit-learn checks them: a table that names its columns, or an array."""
    if validate_data is None:
        return X
    try:
        rows = validate_data(estimator, X, reset=reset, dtype=np.float64)
    except ValueError as error:
        if "could not convert string" in str(error):
            hint = (
                " Texts need one: FewShotClassifier.from_pretrained('intents')." if hasattr(estimator, "predict_proba") else ""
            )
            raise DataError(f"{error}; without a learner, rows of numbers are expected.{hint}") from error
        raise
    return rows if column_names(X) is None else X


def checked_table(estimator: Any, X: Any, reset: bool) -> Any:
    """Return rows of a table as they are; at first their number of columns, and the names, are kept as scikit-learn keeps them.

    Later tables are checked by the learner's spec, which takes columns in any order and names those that are missing. Arrays, whose
    columns have no names, are checked as scikit-learn checks them, though values may be missing; later ones must be as wide as the first.
    """
    if validate_data is None:
        return X
    if _is_unnamed(X):
        return validate_data(estimator, X, reset=reset, dtype=None, ensure_all_finite="allow-nan")
    if reset:
        validate_data(estimator, X, reset=True, skip_check_array=True)
    return X


def _is_unnamed(X: Any) -> bool:
    """Return whether `X` is an array whose columns have no names, or can become one; rows as they are stored, with three axes, are none."""
    if isinstance(X, np.ndarray):
        return X.dtype.names is None and X.ndim < 3
    sparse = hasattr(X, "toarray")  # refused in scikit-learn's words
    return sparse or (hasattr(X, "__array__") and not hasattr(X, "columns"))


def has_words(X: Any) -> bool:
    """Return whether `X` is a table of pandas with columns that are no numbers, or have missing values."""
    if column_names(X) is None or not hasattr(X, "dtypes"):
        return False
    numbers = all(getattr(dtype, "kind", "O") in "biuf" for dtype in X.dtypes)
    return not numbers or bool(X.isna().to_numpy().any())


def check_column(y: Any) -> None:
    """Warn of answers `[example, 1]`, as scikit-learn does."""
    if getattr(y, "ndim", 1) == 2 and y.shape[1] == 1:
        said = "A column-vector y was passed when a 1d array was expected. Please change the shape of y to (n_samples,)."
        warnings.warn(said, DataConversionWarning, stacklevel=5)


def check_classes(y: Any) -> None:
    """Raise a ValueError if labels are numbers of which each is another, as values are."""
    if check_classification_targets is not None and getattr(getattr(y, "dtype", None), "kind", "") == "f":
        values = np.asarray(y).ravel()
        if np.isfinite(values).all():  # others are refused when they are read
            check_classification_targets(values)
