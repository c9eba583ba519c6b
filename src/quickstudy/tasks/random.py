"""Random numbers as a pure function of (seed, index, position): any task can be drawn alone, in any order, on any machine."""

from __future__ import annotations

from typing import Any

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def uniform(seed: int, index: np.ndarray, count: int, stream: int = 0) -> np.ndarray:
    """Uniform numbers in [0, 1), float64 `[task, count]`: row `i` depends on `seed`, `index[i]` and `stream` alone.

    SplitMix64 (Steele et al. 2014, "Fast Splittable Pseudorandom Number Generators", figure 17) over a key for each row.

    Args:
        seed: any integer.
        index: position of each task in its stream of tasks, `[task]`.
        count: numbers per task.
        stream: which independent stream of numbers (classes, images, augmentation, ...).

    >>> a = uniform(seed=0, index=np.array([3, 7]), count=4)
    >>> b = uniform(seed=0, index=np.array([7]), count=4)
    >>> bool((a[1] == b[0]).all())
    True
    """
    with np.errstate(over="ignore"):
        key = _mix(_mix(np.uint64(seed % 2**64)) + np.uint64(stream) * _GOLDEN)
        rows = _mix(key ^ _mix(np.asarray(index).astype(np.uint64) + _GOLDEN))
        values = _mix(rows[:, None] + np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN)
    return (values >> np.uint64(11)) * 2.0**-53


def _mix(z: Any) -> Any:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
