"""Ranges from which the sources of tasks draw: a number, or the least and the most, as users give them and as results show them."""

from __future__ import annotations

import numpy as np

from quickstudy.errors import ConfigError
from quickstudy.tasks._random import uniform

Range = int | tuple[int, int]
Interval = float | tuple[float, float]


def whole(name: str, value: Range) -> tuple[int, int]:
    """Return the least and the most of a whole number or a range of such numbers, each at least 1.

    >>> whole("ways", 5), whole("ways", (3, 10))
    ((5, 5), (3, 10))
    """
    least, most = (int(one) for one in ((value, value) if isinstance(value, int | np.integer) else value))
    if least < 1 or most < least:
        raise ConfigError(f"{name} is {value}; expected a number of at least 1, or a range (least, most) of such numbers.")
    return least, most


def positive(name: str, value: Interval) -> tuple[float, float]:
    """Return the least and the most of a number or a range of numbers, all above 0 and finite.

    >>> positive("frequency", 2), positive("frequency", (0.8, 1.2))
    ((2.0, 2.0), (0.8, 1.2))
    """
    least, most = (float(one) for one in ((value, value) if isinstance(value, int | float | np.number) else value))
    if not 0 < least <= most < np.inf:
        raise ConfigError(f"{name} is {value}; expected a number above 0, or a range (least, most) of such numbers.")
    return least, most


def between(seed: int, index: np.ndarray, bounds: tuple[float, float], stream: int) -> np.ndarray:
    """Return a uniform number between the bounds for each task, `[task, 1]`."""
    least, most = bounds
    return least + uniform(seed, index, 1, stream) * (most - least)


def shown(bounds: tuple[float, float]) -> float | str:
    """Return a range as results show it: the number alone if there is one only.

    >>> shown((5, 5)), shown((0.8, 1.2))
    (5, '0.8-1.2')
    """
    return bounds[0] if bounds[0] == bounds[1] else f"{bounds[0]}-{bounds[1]}"
