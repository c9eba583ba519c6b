"""Tasks whose classes are of unequal size: numbers of examples that follow the data, and support sets that are evened out again."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int

from quickstudy.tasks._random import distinct


def apportioned(
    total: int, sizes: Int[np.ndarray, "task way"], most: Int[np.ndarray, "task way"]
) -> Int[np.ndarray, "task way"]:
    """Return how many of `total` examples each way of a task gets, in proportion to its size: at least 1, and no more than it has.

    What is over or lacking after rounding goes, one by one, to the way that is furthest below its share, or from the one furthest above.

    Args:
        total: number of examples of each task, from the number of ways to the sum of `most`.
        sizes: number of examples that the class of each way has, at least 1.
        most: number of examples that each way can give, at least 1.

    >>> apportioned(10, np.array([[80, 15, 5]]), np.array([[80, 15, 5]])).tolist()
    [[8, 1, 1]]
    """
    share = total * sizes / sizes.sum(1, keepdims=True)
    found = np.clip(np.rint(share).astype(np.int64), 1, most)
    while (lacking := total - found.sum(1)).any():
        below, above = np.where(found < most, share - found, -np.inf), np.where(found > 1, found - share, -np.inf)
        task = np.arange(len(found))
        found[task, below.argmax(1)] += lacking > 0
        found[task, above.argmax(1)] -= lacking < 0
    return found


def positions(
    keys: np.ndarray, sizes: Int[np.ndarray, "task way"], counts: Int[np.ndarray, "task way"], room: int
) -> Int[np.ndarray, "task way room"]:
    """Return different examples of each way's class, as positions inside the class; 0 beyond the number that the way draws.

    Args:
        keys: of the stream of random numbers of each way, `[task, way]`.
        sizes: number of examples of each class.
        counts: how many are drawn of each.
        room: length of the last axis.
    """
    found = np.zeros((*counts.shape, room), dtype=np.int64)
    for count in np.unique(counts):
        chosen = counts == count
        found[chosen, :count] = distinct(keys[chosen], sizes[chosen], int(count))
    return found


def evened(
    rows: Int[np.ndarray, "task shot way"], mask: Bool[np.ndarray, "task shot way"], how: str
) -> tuple[Int[np.ndarray, "task shot way"], Bool[np.ndarray, "task shot way"]]:
    """Return support sets of which every way that a task has is as large: as the largest one, or as the smallest one.

    Args:
        rows: examples, of which those of each way come first.
        mask: False for padding.
        how: `over` repeats the examples of smaller ways, in turn; `under` leaves examples of larger ways out.
    """
    counts = mask.sum(1)
    there = counts > 0
    fewest = np.where(there, counts, rows.shape[1]).min(1)
    each = (counts.max(1) if how == "over" else fewest)[:, None] * there
    place = np.arange(rows.shape[1])[None, :, None] % np.maximum(counts, 1)[:, None, :]
    return np.take_along_axis(rows, place, axis=1), np.arange(rows.shape[1])[None, :, None] < each[:, None, :]


def listed(
    rows: Int[np.ndarray, "task shot way"], mask: Bool[np.ndarray, "task shot way"], total: int
) -> tuple[Int[np.ndarray, "task example"], Int[np.ndarray, "task example"]]:
    """Return the examples that are no padding, and the way of each; every task has `total` of them."""
    tasks, _, ways = rows.shape
    order = np.argsort(~mask.reshape(tasks, -1), axis=1, kind="stable")[:, :total]
    return np.take_along_axis(rows.reshape(tasks, -1), order, axis=1), order % ways
