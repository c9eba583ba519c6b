"""Tables with columns of numbers to predict: rows in groups, such as the points of each patient's curve."""

from __future__ import annotations

import pathlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from quickstudy.data import splits
from quickstudy.data.dataset import Dataset, DataWarning, content_fingerprint, derived
from quickstudy.data.tree import shortened
from quickstudy.errors import DataError
from quickstudy.inputs import InputSpec
from quickstudy.inputs._columns import NUMBER, Column, plain
from quickstudy.targets import ValueScale

LIMITS = {"mostly": 0.8, "least": 2}
"""Share of numbers among a column's cells from which a cell that is none is taken for a mistake, not for a category; rows below which a
group is left out, because there must be one to learn from and one to be asked for."""
REMEDY = " Mend it, or leave the cell empty."


class Grouped(NamedTuple):
    """Rows of a table that are whole.

    Attributes:
        columns: cells of the columns to learn from, by name.
        values: numbers to predict, float64 `[row, value]`.
        groups: name of each row's group.
        kept: place of each row in the table.
    """

    columns: Mapping[str, Sequence[Any]]
    values: np.ndarray
    groups: list[str]
    kept: np.ndarray


def whole_rows(
    table: Mapping[str, Sequence[Any]],
    columns: Sequence[str],
    values: Sequence[str],
    group: str | None,
    path: pathlib.Path,
    strict: bool = False,
) -> Grouped:
    """Return the rows that have all values, a group if there are any, and something to learn from; the others are counted in a warning.

    Args:
        table: cells by the names of their columns.
        columns: columns to learn from.
        values: columns to predict.
        group: column of groups; None if the whole table is one.
        path: where the table was read, for messages.
        strict: True: a row that lacks something is an error; False: it is left out.

    Raises:
        DataError: a value is no number or infinite, a cell among numbers is none, or no row is left.
    """
    numbers = np.stack([_numbers(name, table[name], path) for name in values], axis=1)
    cells = {name: plain(table[name]) for name in columns}
    for name in columns:
        _check_numbers(name, cells[name], path)
    groups = [path.stem] * len(numbers) if group is None else [_name(cell) for cell in plain(table[group])]
    lacks = {
        f"no {' or no '.join(values)}": np.isnan(numbers).any(axis=1),
        f"no {group}": np.array([not name for name in groups], dtype=bool),
        f"no {' and no '.join(columns)}": np.array(
            [all(cell is None for cell in row) for row in zip(*cells.values(), strict=True)], dtype=bool
        ),
    }
    left_out = np.zeros(len(numbers), dtype=bool)
    for what, lacking in lacks.items():
        if lacking.any():
            said = f"{str(path)!r}: {int(lacking.sum())} of {len(numbers)} rows have {what}"
            first = int(lacking.argmax()) + 1
            if strict:
                raise DataError(f"{said} (row {first} first); fill them in, or read with strict=False.")
            warnings.warn(f"{said}, and are left out (row {first} first).", DataWarning, stacklevel=4)
        left_out |= lacking
    kept = np.flatnonzero(~left_out)
    if not len(kept):
        raise DataError(
            f"{str(path)!r} has no row that holds {', '.join([*columns, *values])}{f' and {group}' if group else ''}."
        )
    return Grouped(cells, numbers[kept], [groups[place] for place in kept], kept)


def in_groups(found: Grouped, path: pathlib.Path) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Return the rows of `found` in the order of their groups, with the names and the numbers of rows of these.

    Groups of a single row are left out, and counted in a warning: there would be nothing to ask for.

    Raises:
        DataError: no group has two rows.
    """
    names, index, counts = np.unique(np.array(found.groups), return_inverse=True, return_counts=True)
    large = counts >= LIMITS["least"]
    if not large.all():
        lost = names[~large].tolist()
        warnings.warn(
            f"{str(path)!r}: {len(lost)} of {len(names)} groups have a single row, and are left out ({shortened(lost)}).",
            DataWarning,
            stacklevel=4,
        )
    if not large.any():
        raise DataError(
            f"{str(path)!r} has no group of two rows: one to learn from, and one to ask for. Name another column of groups."
        )
    order = np.argsort(index, kind="stable")
    return order[large[index[order]]], names[large].tolist(), counts[large]


def in_training(names: Sequence[str]) -> np.ndarray:
    """Return whether each group is one of training, bool `[group]`; all of them if there are too few to be shared out among splits."""
    if len(names) < len(splits.SPLITS) - 1:
        return np.ones(len(names), dtype=bool)
    return np.array(splits.assigned(names, names, splits.SplitOptions())) == "train"


def dataset_of(
    rows: Mapping[str, np.ndarray],
    values: np.ndarray,
    scale: ValueScale,
    groups: tuple[Sequence[str], np.ndarray],
    about: tuple[InputSpec, str],
) -> Dataset:
    """Return a dataset of rows that lie in the order of their groups.

    Args:
        rows: stored rows by the names of the layout.
        values: numbers to predict, `[row, value]`.
        scale: names of the values, and the scale at which learners see them.
        groups: names of the groups, and the number of rows of each.
        about: spec of the rows, and the name of the data.
    """
    (names, counts), (spec, name) = groups, about
    content = content_fingerprint(rows, counts, names, spec)
    fingerprint = derived(content, "values", *scale.names, np.ascontiguousarray(values).tobytes())
    found = tuple(names)
    return Dataset(rows, counts, found, found, spec, name, fingerprint, values=values, scale=scale)


def _name(cell: Any) -> str:
    """Return the name of a group; empty if there is none."""
    whole = isinstance(cell, float) and cell.is_integer()
    return "" if cell is None else str(int(cell) if whole else cell)


def _numbers(name: str, cells: Sequence[Any], path: pathlib.Path) -> np.ndarray:
    """Return the cells of a column as numbers, NaN for those that are missing.

    Raises:
        DataError: a cell is no number, or infinite.
    """
    try:
        return Column(name=name, type="number").numbers(cells)
    except DataError as error:
        read = plain(cells)
        bad = next((place for place, cell in enumerate(read) if cell is not None and not _is_number(cell)), None)
        said = f"{error}" if bad is None else f"{name!r} is {str(read[bad])[:80]!r} in row {bad + 1}; expected a number."
        raise DataError(f"{str(path)!r}: {said}{'' if bad is None else REMEDY}", subject=name) from error


def _check_numbers(name: str, cells: Sequence[Any], path: pathlib.Path) -> None:
    """Raise a DataError for a column of numbers in which some cell is none, so that it would be taken for categories, or is infinite."""
    read = [_is_number(cell) for cell in cells if cell is not None]
    if sum(read) >= LIMITS["mostly"] * len(read):
        _numbers(name, cells, path)


def _is_number(cell: Any) -> bool:
    """Return whether a plain cell is a number, or a text that reads as one."""
    if isinstance(cell, str):
        return NUMBER.fullmatch(cell) is not None
    return isinstance(cell, int | float) and not isinstance(cell, bool)
