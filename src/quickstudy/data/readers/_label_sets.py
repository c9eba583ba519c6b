"""Tables with a column of label sets, such as `red;round`: any subset of some labels for each example."""

from __future__ import annotations

import pathlib
import shlex
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from quickstudy.data.dataset import DataWarning
from quickstudy.data.readers._cells import check_column, listed_names, plain_text, structured, table_of, whole_places
from quickstudy.errors import DataError
from quickstudy.inputs import InputSpec
from quickstudy.inputs.several import SeveralSpec
from quickstudy.inputs.table import TableSpec
from quickstudy.targets.labels import SEPARATOR, split

SIGNS = ("|", ",", "/", ";")
"""Signs that stand between labels in many tables."""


def label_sets_of(
    path: pathlib.Path, said: Mapping[str, Any], kind: type[InputSpec], strict: bool = False
) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """Return the examples of a table as an array, and the labels of each. An empty cell says that an example has no label.

    Args:
        path: a file of the endings above.
        said: what is said of it, by the names of `WISHES`; `labels` names a column.
        kind: kind of input of the examples: rows of the table, or what a column holds.
        strict: True: a row without an example is an error; False: it is left out, with a `DataWarning`.

    Raises:
        DataError: a column is missing, the examples are files, or something else is said that cannot be together with label sets.
    """
    for name in ("label", "value", "group"):
        if said.get(name):
            raise DataError(f"labels and {name} are both given for {str(path)!r}; give one of them.")
    if kind is SeveralSpec:
        raise DataError(
            f"several columns of examples are named for {str(path)!r}; label sets are read beside one of them only."
        )
    if kind.paths_in_tables:
        raise DataError(
            f"{str(path)!r} lists {kind.nouns} as files, whose label sets are not read yet; in Python, from_label_sets takes arrays."
        )
    table, labels, separator = table_of(path), said["labels"], said.get("separator") or SEPARATOR
    column = None if kind is TableSpec else said.get(kind.column) or kind.column
    names = listed_names(said.get("columns")) or [name for name in table if name != labels] if column is None else [column]
    for option, name in [("labels", labels), *((column or "columns", name) for name in names)]:
        check_column(list(table), name, option, path)
    if labels in names or not names:
        raise DataError(f"{str(path)!r} has no column to learn from beside {labels!r}; name others with --columns.")
    sets = [_label_set(cell, separator, place, path) for place, cell in enumerate(table[labels], 1)]
    _warn_of_separator([cell for cell in table[labels] if isinstance(cell, str)], separator, path)
    if column is None:
        return structured({name: table[name] for name in names}), sets
    texts = [plain_text(cell) for cell in table[column]]
    kept = whole_places([(text,) for text in texts], [column], path, strict)
    return np.array([texts[place] for place in kept], dtype=object), [sets[place] for place in kept]


def _warn_of_separator(cells: list[str], separator: str, path: pathlib.Path) -> None:
    """Warn if no cell has the separator, but most have another sign that often stands between labels."""
    if any(separator in cell for cell in cells):
        return
    other = next((sign for sign in SIGNS if 2 * sum(sign in cell for cell in cells) > len(cells) > 0), None)
    if other is not None:
        warnings.warn(
            f"{str(path)!r}: no cell of labels has the separator {separator!r}, but most have {other!r}; if that stands between labels, "
            f"say --separator {shlex.quote(other)}.",
            DataWarning,
            stacklevel=5,
        )


def _label_set(cell: Any, separator: str, row: int, path: pathlib.Path) -> tuple[str, ...]:
    """Return the labels in a cell: a text, or a list of texts as jsonl and parquet hold them."""
    if isinstance(cell, list | tuple | np.ndarray):
        return tuple(dict.fromkeys(text for text in map(plain_text, cell) if text))
    if isinstance(cell, dict):
        raise DataError(f"{str(path)!r}: the labels in row {row} are {str(cell)[:80]}; expected a text, or a list of texts.")
    return split(plain_text(cell), separator)
