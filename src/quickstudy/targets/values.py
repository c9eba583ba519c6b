"""Values: numbers to be predicted, one or several per example. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from quickstudy.errors import DataError
from quickstudy.targets._reading import scalar, unwrapped
from quickstudy.targets._scale import ValueScale


class ValueTarget:
    """Answers that are numbers. Rows are the numbers as the learner sees them, `[example, output]`; there are no labels.

    Args:
        scale: scale at which the learner sees them; None: as they are.

    >>> from quickstudy.targets import ValueScale
    >>> target = ValueTarget(ValueScale(names=("glucose",), location=(100.0,), spread=(20.0,)))
    >>> target.rows(target.read([120, 80]), ()).tolist()
    [[1.0], [-1.0]]
    """

    name = "values"
    axes: ClassVar[tuple[str, ...]] = ()

    def __init__(self, scale: ValueScale | None = None) -> None:
        self.scale = scale

    def read(self, y: Any) -> np.ndarray:
        """Return the values, float64 `[example, output]`.

        Args:
            y: a list of numbers or of rows of numbers, an array `[example]` or `[example, output]`, a tensor, or columns of a table.

        Raises:
            DataError: text, numbers that are missing or infinite, or another number of values per example than the learner's.
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
        rows = values[:, None] if values.ndim == 1 else values
        if self.scale is not None and rows.shape[1] != len(self.scale.names):
            raise DataError(
                f"y has {rows.shape[1]} values per example; expected {len(self.scale.names)}: {', '.join(self.scale.names)}."
            )
        return rows

    def joined(self, known: Sequence[Any], answers: np.ndarray) -> tuple[Any, ...]:
        """Return no labels: values have none."""
        return ()

    def rows(self, answers: np.ndarray, labels: Sequence[Any]) -> np.ndarray:
        """Return the values as the learner sees them."""
        return answers if self.scale is None else self.scale.scaled(answers)

    def answers(self, rows: np.ndarray, labels: Sequence[Any]) -> list[Any]:
        """Return one row of numbers per example, in the unit of the answers."""
        return (rows if self.scale is None else self.scale.restored(rows)).tolist()

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
