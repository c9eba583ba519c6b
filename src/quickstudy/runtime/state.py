"""States along their ways: zeros where a task gets new classes, one taken out where it forgets a class."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from quickstudy.runtime.bundle import Arrays
from quickstudy.runtime.manifest import TensorLayout


def padded(state: Arrays, layout: Mapping[str, TensorLayout], ways: int) -> Arrays:
    """With zeros for ways that are new."""
    return {
        name: np.pad(
            value,
            [(0, ways - size if axis == "way" else 0) for axis, size in zip(layout[name].shape, value.shape, strict=True)],
        )
        for name, value in state.items()
    }


def without(state: Arrays, layout: Mapping[str, TensorLayout], way: int) -> Arrays:
    """Without one way."""
    return {
        name: np.delete(value, way, axis=layout[name].shape.index("way")) if "way" in layout[name].shape else value
        for name, value in state.items()
    }


def first_not_finite(state: Arrays) -> str | None:
    """The name of a tensor that holds NaN or infinity, None where all are numbers."""
    return next((name for name, value in state.items() if not np.isfinite(value).all()), None)
