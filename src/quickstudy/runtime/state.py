"""States along their ways: new classes get zeros, and a forgotten class is taken out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from quickstudy.runtime.bundle import Arrays
from quickstudy.runtime.manifest import StateTensor


def padded(state: Arrays, layout: Mapping[str, StateTensor], ways: int) -> Arrays:
    """Return the state with zeros for ways that are new; a tensor without ways, such as a single number, stays as it is."""
    return {
        name: np.pad(
            value,
            [(0, ways - size if axis == "way" else 0) for axis, size in zip(layout[name].shape, value.shape, strict=True)],
        )
        if "way" in layout[name].shape
        else value
        for name, value in state.items()
    }


def ways_of(state: Arrays, layout: Mapping[str, StateTensor]) -> int | None:
    """Return how many ways (of values: numbers per example) a state knows; None if nobody says which axes of its tensors they are.

    >>> ways_of({"weights": np.zeros(3)}, {}) is None
    True
    """
    sizes = (
        state[name].shape[about.shape.index("way")] for name, about in layout.items() if name in state and "way" in about.shape
    )
    return next(sizes, None)


def without(state: Arrays, layout: Mapping[str, StateTensor], way: int) -> Arrays:
    """Return the state without one way."""
    return {
        name: np.delete(value, way, axis=layout[name].shape.index("way")) if "way" in layout[name].shape else value
        for name, value in state.items()
    }


def first_not_finite(state: Arrays) -> str | None:
    """Return the name of a tensor that holds NaN or infinity, None if all are numbers."""
    return next((name for name, value in state.items() if not np.isfinite(value).all()), None)
