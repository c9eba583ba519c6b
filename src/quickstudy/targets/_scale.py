"""ValueScale: names of values, and the scale at which a learner sees them, so that predictions come back in the unit of their owner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Self

import annotated_types
import numpy as np
import pydantic

from quickstudy.errors import DataError

Positive = Annotated[float, annotated_types.Gt(0)]


class ValueScale(pydantic.BaseModel):
    """The values that an example has: a learner sees each as `(value - location) / spread`.

    Args:
        names: name of each value, such as that of its column.
        location: what is subtracted from each value, in its own unit.
        spread: by what each is divided then, in its own unit.

    >>> scale = ValueScale.of(["glucose"], np.array([[80.0], [120.0]]))
    >>> scale.scaled(np.array([[100.0], [140.0]])).tolist()
    [[0.0], [2.0]]
    >>> print(scale)
    (glucose - 100) / 20
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    names: Annotated[tuple[str, ...], annotated_types.MinLen(1)]
    location: tuple[float, ...]
    spread: tuple[Positive, ...]

    def __str__(self) -> str:
        parts = zip(self.names, self.location, self.spread, strict=True)
        return ", ".join(f"({name} - {location:.4g}) / {spread:.4g}" for name, location, spread in parts)

    @pydantic.model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if not len(self.names) == len(self.location) == len(self.spread):
            raise ValueError("names, location and spread differ in length; expected one of each for every value")
        return self

    @classmethod
    def of(cls, names: Sequence[str], values: np.ndarray) -> Self:
        """Return the scale by which these values have mean 0 and standard deviation 1.

        Args:
            names: name of each value.
            values: finite numbers, `[example, value]`.

        Raises:
            DataError: a value is the same in all examples, or too large to be measured.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused by name
            location, spread = values.mean(0), values.std(0)
        for place, name in enumerate(names):
            column = values[:, place]
            if column.min() == column.max():
                raise DataError(
                    f"{name!r} is {column[0]:g} in all {len(column)} rows of training, so there is nothing to learn; name another "
                    "column of values, or add rows.",
                    subject=name,
                )
            if not np.isfinite(location[place]) or not np.isfinite(spread[place]) or spread[place] == 0:
                raise DataError(
                    f"{name!r} has values from {column.min():g} to {column.max():g}, too large or too close together to be scaled; "
                    "give them in another unit.",
                    subject=name,
                )
        return cls(names=tuple(names), location=tuple(location.tolist()), spread=tuple(spread.tolist()))

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """Return values as a learner sees them, float64 `[example, value]`."""
        return (values - np.array(self.location)) / np.array(self.spread)

    def restored(self, rows: np.ndarray) -> np.ndarray:
        """Return what a learner sees or predicts as values in their own unit, float64 `[example, value]`."""
        return rows * np.array(self.spread) + np.array(self.location)

    def outputs(self, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return all that a learner predicts in the unit of the values: its `prediction`, and the `spread` of it if there is one."""
        spreads = {name: rows * np.array(self.spread) for name, rows in found.items() if name != "prediction"}
        return {"prediction": self.restored(found["prediction"]), **spreads}
