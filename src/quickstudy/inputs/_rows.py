"""Rows: what specs of rows of numbers share, whatever the precision in which they keep the numbers."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import annotated_types
import numpy as np

from quickstudy.errors import DataError
from quickstudy.inputs._layout import InputSpec, TensorLayout, as_array, check_several

UNLIKE = {"spreads": 5.0, "fewest": 10}
"""Spreads of the training rows between two means, and ratio of two spreads, beyond which rows are called far from those of training;
numbers from which rows can be called too narrow. Fewer lie close together by chance, and a single number has no spread at all."""


class Rows(InputSpec, abc.ABC, frozen=True):
    """Rows of numbers, all of one length.

    Args:
        features: numbers per row.
        columns: names of the columns in their order; None if they have none.
    """

    nouns: ClassVar[str] = "rows"

    kind: Literal["rows"] = "rows"
    features: Annotated[int, annotated_types.Interval(ge=1, le=2**24)]
    columns: tuple[str, ...] | None = None

    def __init__(self, features: int, columns: tuple[str, ...] | None = None, **fields: Any) -> None:
        names = columns if columns is None or isinstance(columns, str) else tuple(columns)
        super().__init__(features=features, columns=names, **fields)
        if self.columns is not None and len(self.columns) != self.features:
            raise DataError(
                f"columns names {len(self.columns)} columns, but features is {self.features}; expected as many names."
            )

    def __str__(self) -> str:
        return f"rows of {self.features} numbers"

    @classmethod
    def takes(cls, array: np.ndarray) -> bool:
        """Return whether an array is a table of numbers, `[example, feature]`."""
        return array.ndim == 2 and array.dtype.kind in "biuf"

    @classmethod
    def own(cls, array: np.ndarray | None = None, **wishes: Any) -> Self:
        """Return the spec of a table's rows.

        Raises:
            DataError: there is no table, or a wish was made: rows have none.
        """
        if array is None or array.ndim != 2:
            raise DataError("rows of numbers come as a table [example, feature]; files cannot hold one row each.")
        _refuse(wishes)
        return cls(array.shape[1])

    def how(self, **wishes: Any) -> dict[str, Any]:
        """Return no options, as rows have none.

        Raises:
            DataError: a wish was made.
        """
        _refuse(wishes)
        return {}

    @staticmethod
    @abc.abstractmethod
    def precision() -> type[np.floating]:
        """Return the type in which the numbers are kept."""

    def layout(self) -> dict[str, TensorLayout]:
        """Return the layout of the one part, `rows`: float32, as it is."""
        return {"rows": TensorLayout(axes=(self.features,), order=(0,), dtype="float32")}

    def read(self, thing: Any, **how: Any) -> dict[str, np.ndarray]:
        """Return one row, `[feature]`.

        Raises:
            DataError: it is no row of finite numbers of the spec's length.
        """
        return {name: rows[0] for name, rows in self.read_all([thing], **how).items()}

    def read_all(self, things: Any, **how: Any) -> dict[str, np.ndarray]:
        """Return the rows, `[example, feature]`; a table whose columns have names is read by the spec's names.

        Raises:
            DataError: they are no table of finite numbers with the spec's columns.
        """
        _refuse(how)
        check_several(things)
        rows = self._numbers(self._ordered(things))
        if rows.ndim != 2 or rows.shape[1] != self.features:
            raise DataError(f"the rows have shape {list(rows.shape)}; expected [example, {self.features}].")
        strange = int((~np.isfinite(rows)).sum())
        if strange:
            raise DataError(f"the rows hold {strange} values that are NaN or infinite; replace or drop them.")
        return {"rows": rows}

    def statistics(self, stored: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return location and scale of all numbers together."""
        rows = stored["rows"].astype(np.float64)
        return {"location": float(rows.mean()), "scale": float(rows.std())}

    def unlike(self, statistics: Mapping[str, float], stored: Mapping[str, np.ndarray], **how: Any) -> str | None:
        """Return a warning if the rows lie elsewhere than those of training, or are spread far more widely or narrowly."""
        here, scale, most = self.statistics(stored), max(statistics["scale"], np.finfo(np.float32).tiny), UNLIKE["spreads"]
        far = abs(here["location"] - statistics["location"]) > most * scale
        narrow = here["scale"] < scale / most and stored["rows"].size >= UNLIKE["fewest"]
        if not far and not narrow and here["scale"] <= scale * most:
            return None
        return (
            f"the rows have mean {here['location']:.4g} and spread {here['scale']:.4g}, but this learner was trained on rows with "
            f"mean {statistics['location']:.4g} and spread {statistics['scale']:.4g}; scale them as its training data was."
        )

    def fitted_to(self, things: Any) -> Self:
        """Return the spec with the names of a table's columns, or of another spec's, if all are texts and the spec has none."""
        names = things.columns if isinstance(things, Rows) else column_names(things)
        return self if names is None or self.columns or len(names) != self.features else self.changed(columns=names)

    def _ordered(self, things: Any) -> Any:
        """Return a table with its columns in the spec's order; other things as they are."""
        if self.columns is None or not hasattr(things, "columns"):
            return things
        lacking = [name for name in self.columns if name not in list(things.columns)]
        if lacking:
            raise DataError(f"the table has no column {lacking[0]!r}; expected the columns {', '.join(self.columns)}.")
        return things[list(self.columns)]

    def _numbers(self, things: Any) -> np.ndarray:
        """Return a copy in the spec's precision. Text is no number, even if it reads like one."""
        expected = f"[example, {self.features}]"
        try:
            if isinstance(things, list | tuple):
                things = [row.detach().cpu().numpy() if hasattr(row, "detach") else row for row in things]
            found = as_array(things, "a table of rows", expected)
            if found.dtype.kind not in "biufO":
                raise TypeError(f"they are {found.dtype}")
            with np.errstate(over="ignore"):  # the infinity that it gives is refused by name
                return found.astype(self.precision(), order="C")
        except (TypeError, ValueError) as error:
            raise DataError(f"the rows are no table of numbers ({error}); expected {expected}.") from error


def _refuse(wishes: Mapping[str, Any]) -> None:
    """Raise a DataError if anything was said of rows, which have no options."""
    said = [name for name, value in wishes.items() if value is not None]
    if said:
        raise DataError(f"{', '.join(said)} was given, but rows of numbers have no such option; leave it out.")


def column_names(things: Any) -> tuple[str, ...] | None:
    """Return the names of a table's columns; None if it is no table, or if a name is no text."""
    names = [*getattr(things, "columns", ())] if hasattr(things, "to_numpy") else []
    return tuple(map(str, names)) if names and all(isinstance(name, str) for name in names) else None
