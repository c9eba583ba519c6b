"""Shares of train, val and test: how many units of something each split gets, and which rows, so that every class has its share in each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quickstudy.data.dataset import Dataset, encoded
from quickstudy.data.tree import shortened
from quickstudy.errors import DataError


def shared_out(units: int, fractions: Sequence[float]) -> list[int]:
    """Return the number of a split for each of `units`, in proportion; the largest split makes up for the rounding.

    >>> shared_out(6, (0.64, 0.16, 0.20))
    [0, 0, 0, 0, 1, 2]
    """
    counts = [max(1, round(units * fraction)) if fraction > 0 else 0 for fraction in fractions]
    counts[fractions.index(max(fractions))] += units - sum(counts)
    return [split for split, count in enumerate(counts) for _ in range(count)]


def rows_assigned(dataset: Dataset, fractions: Sequence[float], seed: int) -> np.ndarray:
    """Return the number of the split of each example, int64 `[example]`: every class, or every label, has its share in each.

    Raises:
        DataError: a class, or a label, has fewer examples than there are splits.
    """
    wanted = sum(fraction > 0 for fraction in fractions)
    names = dataset.classes if dataset.label_sets is None else dataset.label_names
    small = [name for name, size in zip(names, dataset.sizes.tolist(), strict=True) if size < wanted]
    if small:
        raise DataError(
            f"{len(small)} {dataset.nouns} ({shortened(small)}) have fewer than {wanted} rows, so that not each of {wanted} splits can "
            "have some; add rows, leave such out, or share out classes with split_by='classes'."
        )
    if dataset.label_sets is not None:
        assigned = _of_label_sets(dataset.label_sets[dataset.rows], np.array(fractions), seed)
        _check_shares(dataset, assigned, fractions)
        return assigned
    found = []
    for name, count in zip(dataset.classes, dataset.counts.tolist(), strict=True):
        order = np.random.default_rng([seed, *encoded(name)]).permutation(count)
        found.append(np.array(shared_out(count, fractions), dtype=np.int64)[order])
    return np.concatenate(found)


def _check_shares(dataset: Dataset, assigned: np.ndarray, fractions: Sequence[float]) -> None:
    """Raise a DataError for a label that has no row in a split, as rare labels of the same rows may."""
    assert dataset.label_sets is not None  # it is called for them alone
    sets = dataset.label_sets[dataset.rows]
    wanted = [split for split, fraction in enumerate(fractions) if fraction > 0]
    everywhere = np.all([sets[assigned == split].any(0) for split in wanted], axis=0)
    if not everywhere.all():
        label = int(everywhere.argmin())
        raise DataError(
            f"{dataset.label_names[label]!r} has {int(dataset.sizes[label])} rows, and not each of {len(wanted)} splits gets some, as "
            "they have other rare labels too; add rows, leave it out, or share out labels with split_by='classes'."
        )


def _of_label_sets(sets: np.ndarray, fractions: np.ndarray, seed: int) -> np.ndarray:
    """Return the number of the split of each row by its labels, bool `[row, label]`.

    The rarest label that still has rows gives them to the splits that lack most of it, one by one; rows without labels come last (Sechidis,
    Tsoumakas and Vlahavas 2011, "On the Stratification of Multi-label Data", algorithm 1).
    """
    totals = [*sets.sum(0).tolist(), len(sets)]  # the last one is of rows
    lacking = np.stack([np.bincount(shared_out(total, [*fractions]), minlength=3) for total in totals], axis=1).astype(float)
    lacking[fractions == 0] = -np.inf
    with_all = np.concatenate([sets, np.ones_like(sets[:, :1])], axis=1)
    split = np.full(len(sets), -1, dtype=np.int64)
    order = np.random.default_rng(seed).permutation(len(sets))
    while (left := order[split[order] < 0]).size:
        counts = with_all[left].sum(0)
        label = int(np.where(counts > 0, counts, len(sets) + 1).argmin())
        for row in left[with_all[left, label]]:
            best = max(range(len(fractions)), key=lambda one, label=label: (lacking[one, label], lacking[one, -1]))
            split[row] = best
            lacking[best] -= with_all[row]
    return split
