"""Pool of tables: data sets of different columns as one. Every table is a group of classes, and every task is drawn from one table."""

from __future__ import annotations

import dataclasses
import pathlib
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from quickstudy.data import splits
from quickstudy.data.arrays import from_arrays
from quickstudy.data.dataset import Dataset, DataWarning, joined
from quickstudy.data.places import data_root, find
from quickstudy.errors import DataError
from quickstudy.inputs.table import TableSpec

Table = tuple[str, Any, Sequence[str]]
"""Type of a table: its name, its rows as `TableSpec.read_all` takes them, and the label of each."""
OPTIONS = splits.SplitOptions(by="groups")
"""Way in which tables are shared out among splits: whole."""


def pooled(tables: Iterable[Table], spec: TableSpec, name: str, least: int = 1) -> Dataset:
    """Return the classes of several tables, called `table/label`, in groups called as the tables.

    Args:
        tables: the tables; numbers of each are scaled to mean 0 and standard deviation 1 over its rows.
        spec: spec of any table.
        name: shown in results.
        least: classes with fewer rows are left out, and so are tables of which fewer than two classes are left.

    >>> tables = [("birds", {"wing": [1.0, 2.0]}, ["gull", "finch"]), ("cars", {"doors": [3, 5]}, ["small", "large"])]
    >>> found = pooled(tables, TableSpec(width=2, scaling="task"), "both")
    >>> found.classes, found.groups
    (('birds/finch', 'birds/gull', 'cars/large', 'cars/small'), ('birds', 'birds', 'cars', 'cars'))

    Raises:
        DataError: no table is left.
    """
    parts = []
    for table, rows, labels in tables:
        stored = _read(table, rows, spec)
        found = from_arrays(stored, [f"{table}/{label}" for label in labels], spec=spec, name=table)
        large = np.flatnonzero(found.counts >= least)
        if len(large) >= 2:
            part = found if len(large) == len(found.counts) else found.select(large.tolist()).compact()
            parts.append(dataclasses.replace(part, groups=(table,) * len(part.groups)))
    if not parts:
        raise DataError(f"{name} has no table with two classes of {least} rows or more; give tables with a column of classes.")
    return joined(parts, name)


def _read(table: str, rows: Any, spec: TableSpec) -> np.ndarray:
    """Return the stored rows of one table, by whose name errors and warnings begin."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            stored = spec.read_all(rows)["table"]
    except DataError as error:
        raise DataError(f"{table}: {error}") from error
    for said in dict.fromkeys((str(one.message), one.category) for one in caught):
        warnings.warn(f"{table}: {said[0]}", said[1], stacklevel=3)
    return stored


def split_of(dataset: Dataset) -> list[str] | None:
    """Return the split of each class of a pool, whole tables apart; None if there are too few tables for three splits."""
    if len(set(dataset.groups)) < 3:
        warnings.warn(
            f"{dataset.name} has {len(set(dataset.groups))} tables with two classes or more, too few to share out among train, val and "
            "test; use split='all', or add tables.",
            DataWarning,
            stacklevel=2,
        )
        return None
    return splits.assigned(dataset.classes, dataset.groups, OPTIONS)


def local(folder: str, file: str, data_dir: str | pathlib.Path | None, source: str) -> pathlib.Path:
    """Return a file of a known set that is not downloaded.

    Raises:
        DataError: it is not there; the message says where it comes from and where it belongs.
    """
    found = find(folder, file, data_dir)
    if found is None:
        place = data_root(data_dir) / folder / file
        raise DataError(
            f"{folder} is not downloaded by quickstudy: put {str(place)!r} there, from {source}.", subject=str(place)
        )
    return found
