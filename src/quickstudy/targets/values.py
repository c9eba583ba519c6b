"""Values: numbers to be predicted, one or several per example. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from quickstudy.errors import DataError
from quickstudy.targets._reading import scalar, unwrapped


class ValueTarget:
    """Answers that are numbers. Rows are the numbers themselves, `[example, output]`; there are no labels."""

    name = "values"
    axes: ClassVar[tuple[str, ...]] = ()

    def read(self, y: Any) -> np.ndarray:
        """Return the values, float64 `[example, output]`.

        Args:
            y: a list of numbers or of rows of numbers, an array `[example]` or `[example, output]`, a tensor, or columns of a table.

        Raises:
            DataError: text, or numbers that are missing or infinite.
        """
        given = unwrapped(y, "values of y")
        if isinstance(given, list | tuple):
            given = [scalar(value) for value in given]
        try:
            found = np.asarray(given)
            if found.dtype.kind not in "biufO":
                raise TypeError(f"they are {found.dtype}")
            if found.ndim not in (1, 2):
                raise TypeError(f"they have shape {list(found.shape)}")
            values = found.astype(np.float64)
        except (TypeError, ValueError) as error:
            expected = "a number, or a row of numbers, per example"
            raise DataError(f"the values of y are no table of numbers ({error}); expected {expected}.") from error
        if not np.isfinite(values).all():
            raise DataError("y holds NaN or infinity; leave these examples out.")
        return values[:, None] if values.ndim == 1 else values

    def joined(self, known: Sequence[Any], answers: np.ndarray) -> tuple[Any, ...]:
        """Return no labels: values have none."""
        return ()

    def rows(self, answers: np.ndarray, labels: Sequence[Any]) -> np.ndarray:
        """Return the values as they are."""
        return answers

    def answers(self, rows: np.ndarray, labels: Sequence[Any]) -> list[Any]:
        """Return one row of numbers per example."""
        return rows.tolist()

    def given(self, rows: np.ndarray, labels: Sequence[Any]) -> list[Any]:
        """Return the answers that `rows` made these rows of."""
        return self.answers(rows, labels)

    def together(self, earlier: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return earlier values and later ones.

        Raises:
            DataError: the later ones have more or fewer numbers per example.
        """
        if earlier.shape[1] != rows.shape[1]:
            raise DataError(f"y has {rows.shape[1]} values per example; expected {earlier.shape[1]}, as earlier ones have.")
        return np.concatenate([earlier, rows])

    def check_savable(self, labels: Sequence[Any]) -> None:
        """Accept everything: numbers can be kept in a file."""

    def check_several(self, labels: Sequence[Any]) -> None:
        """Accept everything: there are no classes to be told apart."""
