"""Random numbers as a pure function of (seed, index, position): any task can be drawn alone, in any order, on any machine.

SplitMix64 (Steele et al. 2014, "Fast Splittable Pseudorandom Number Generators", figure 17): number `p` of a stream is a mix of the
stream's key plus `p` times a constant, so that streams have no state and no end.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt64

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_LOW = np.uint64(2**32 - 1)
_HALF = np.uint64(32)


def keys(seed: int, index: Int[np.ndarray, " task"], stream: int = 0, lanes: int = 1) -> UInt64[np.ndarray, "task lane"]:
    """Return the key of each task's streams of random numbers, uint64 `[task, lane]`.

    Args:
        seed: any integer.
        index: position of each task in its stream of tasks, `[task]`.
        stream: what the numbers are for (classes, images, augmentation, ...).
        lanes: independent streams for each task, such as one for each way.
    """
    task = _mix(_key(seed, stream) ^ _mix(index.astype(np.uint64) + _GOLDEN))
    return task[:, None] + (np.arange(lanes, dtype=np.uint64) << _HALF) * _GOLDEN  # 2^32 numbers until the next lane


def task_keys(seed: int, index: Int[np.ndarray, " task"]) -> Int[np.ndarray, " task"]:
    """Return `Task.key` of each task, int64 `[task]`: the stream of random numbers that a learner's loss may use.

    >>> task_keys(seed=0, index=np.array([3, 7])).tolist()[1] == task_keys(seed=0, index=np.array([7])).tolist()[0]
    True
    """
    return np.ascontiguousarray(keys(seed, index, stream=20)[:, 0]).view(np.int64)


def bits(keys: UInt64[np.ndarray, " *stream"], count: int) -> UInt64[np.ndarray, " *stream number"]:
    """Return the first `count` numbers of each stream, each of 64 random bits, `[..., count]` for keys `[...]`."""
    return _mix(keys[..., None] + np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN)


def uniform(seed: int, index: Int[np.ndarray, " task"], count: int, stream: int = 0) -> Float[np.ndarray, "task number"]:
    """Return uniform numbers in [0, 1), float64 `[task, count]`: row `i` depends on `seed`, `index[i]` and `stream` alone.

    Args:
        seed: any integer.
        index: position of each task in its stream of tasks, `[task]`.
        count: numbers per task.
        stream: what the numbers are for.

    >>> a = uniform(seed=0, index=np.array([3, 7]), count=4)
    >>> b = uniform(seed=0, index=np.array([7]), count=4)
    >>> bool((a[1] == b[0]).all())
    True
    """
    return (bits(keys(seed, index, stream)[:, 0], count) >> np.uint64(11)) * 2.0**-53


def distinct(keys: UInt64[np.ndarray, " row"], below: Int[np.ndarray, " row"], count: int) -> Int[np.ndarray, "row count"]:
    """Return `count` different whole numbers in random order, int64 `[row, count]`: a draw without replacement from `range(below[row])`.

    The time for a row grows with `count`, not with `below`. Every ordered draw is equally likely, up to a total variation of
    `count * below / 2^64`. Row `i` depends on `keys[i]`, `below[i]` and `count` alone.

    Args:
        keys: of each row's stream, `[row]`.
        below: how many numbers there are, `[row]`, from `count` to 2^32.
        count: how many are drawn.

    >>> distinct(keys(seed=0, index=np.arange(3))[:, 0], below=np.array([4, 4, 10**6]), count=4)
    array([[     1,      2,      0,      3],
           [     1,      0,      2,      3],
           [681548,  64136,  60593, 523632]])
    """
    crowded = count * count > below
    drawn = np.empty((len(keys), count), dtype=np.int64)
    for rows, draw in ((crowded, _shuffled), (~crowded, _first_different)):
        if rows.any():
            drawn[rows] = draw(keys[rows], below[rows], count)
    return drawn


def _shuffled(keys: np.ndarray, below: np.ndarray, count: int) -> np.ndarray:
    """Return the first of all numbers in the order of their random bits; of at most `count**2` numbers."""
    most = int(below.max())
    order = bits(keys, most)
    order[np.arange(most) >= below[:, None]] = np.iinfo(np.uint64).max
    return order.argsort(axis=-1)[:, :count]


def _first_different(keys: np.ndarray, below: np.ndarray, count: int) -> np.ndarray:
    """Return the first `count` different numbers of each row's stream; most rows have no repetition, the others are drawn one by one."""
    drawn = _below(bits(keys, count), below[:, None])
    ordered = np.sort(drawn, axis=-1)
    for row in np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=-1)):
        length, different = count, ()
        while len(different) < count:
            length *= 2
            different = tuple(dict.fromkeys(_below(bits(keys[row], length), below[row]).tolist()))
        drawn[row] = different[:count]
    return drawn


def _below(numbers: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return `floor(numbers * below / 2^64)`, exactly, for `below` up to 2^32: uniform up to a relative `below / 2^64`."""
    below = below.astype(np.uint64)
    return (((numbers >> _HALF) * below + ((numbers & _LOW) * below >> _HALF)) >> _HALF).astype(np.int64)


@functools.lru_cache
def _key(seed: int, stream: int) -> np.uint64:
    with np.errstate(over="ignore"):
        return _mix(_mix(np.uint64(seed % 2**64)) + np.uint64(stream) * _GOLDEN)


def _mix(z: Any) -> Any:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
