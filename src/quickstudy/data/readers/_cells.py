"""Cells of tables: csv, tsv, jsonl and parquet files as columns by name."""

from __future__ import annotations

import collections
import contextlib
import csv
import itertools
import json
import math
import pathlib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

import numpy as np

from quickstudy.data.dataset import DataWarning
from quickstudy.data.tree import shortened
from quickstudy.errors import ConfigError, DataError, InputWarning, QuickstudyError


def table_of(path: pathlib.Path) -> dict[str, list[Any]]:
    """Return the columns of a table by name. Cells of csv and tsv are texts as they are written: "NA" is no missing value.

    Raises:
        ConfigError: a parquet file, and pandas or what it reads them with is not installed.
        DataError: the file cannot be read, or a row has more or fewer cells than there are columns.
    """
    ending = path.suffix.lower()
    try:
        if ending == ".parquet":
            return _parquet(path)
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            found = _lines_of_json(stream, path) if ending == ".jsonl" else separated(stream, _separator(path), path)
        _warn_of_replaced(found, path)
        return found
    except QuickstudyError:  # says more already
        raise
    except (OSError, ValueError) as error:
        raise DataError(
            f"{str(path)!r} cannot be read as a table ({error}); save it as csv with a line of column names."
        ) from error


@contextlib.contextmanager
def _wide_cells() -> Iterator[None]:
    """Let cells of csv files be as long as they like; the limit belongs to the whole process, which gets its own back."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _separator(path: pathlib.Path) -> str:
    """Return the character between the cells of a file."""
    return "\t" if path.suffix.lower() == ".tsv" else ","


def separated(stream: TextIO, separator: str, path: pathlib.Path) -> dict[str, list[Any]]:
    """Return the columns of a csv or tsv file.

    Raises:
        DataError: quotes are not closed, or a row has more or fewer cells than there are columns.
    """
    reader = csv.reader(stream, delimiter=separator, strict=True)
    try:
        with _wide_cells():
            head, *rows = [(reader.line_num, row) for row in reader] or [(0, [])]
    except csv.Error as error:
        raise DataError(
            f"{str(path)!r} cannot be read as a table (line {reader.line_num}: {error}); save it as csv with a line of column names."
        ) from error
    columns: list[list[Any]] = [[] for _ in head[1]]
    for line, row in rows:
        if row and len(row) != len(head[1]):
            raise DataError(
                f"{str(path)!r}: line {line} has {len(row)} cells, but there are {len(head[1])} columns; put texts with "
                f"{separator!r} in them into quotes."
            )
        for column, cell in zip(columns, row, strict=False):
            column.append(cell)
    return _named(head[1], columns, path)


def _lines_of_json(stream: Iterable[str], path: pathlib.Path) -> dict[str, list[Any]]:
    """Return the columns of a file with one JSON object in each line; what an object lacks is None."""
    rows = []
    for number, line in enumerate(stream, 1):
        found = json.loads(line) if line.strip() else {}
        if not isinstance(found, dict):
            raise DataError(
                f'{str(path)!r}: line {number} is no JSON object; expected lines such as {{"text": ..., "label": ...}}.'
            )
        rows += [found] if found else []
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _parquet(path: pathlib.Path) -> dict[str, list[Any]]:
    """Return the columns of a parquet file."""
    try:
        import pandas

        table = pandas.read_parquet(path).astype(object)
    except ImportError as error:
        raise ConfigError(f"parquet files are read by pandas and pyarrow ({error}); install them, or save a csv.") from None
    return _named(
        [str(name) for name in table.columns],
        [column.where(column.notna(), None).tolist() for _, column in table.items()],
        path,
    )


def _named(names: list[str], columns: list[list[Any]], path: pathlib.Path) -> dict[str, list[Any]]:
    """Return columns by name.

    Raises:
        DataError: two have one name.
    """
    twins = [name for name, count in collections.Counter(names).items() if count > 1]
    if twins:
        raise DataError(f"{str(path)!r} has several columns {twins[0]!r}; give each a name of its own.")
    named = {name: column for name, column in zip(names, columns, strict=True) if name.strip()}
    if len(named) < len(names):
        warnings.warn(
            f"{str(path)!r}: a column without a name, as pandas writes row numbers, is left out.", DataWarning, stacklevel=4
        )
    return named


def check_column(names: list[str], name: str, option: str, path: pathlib.Path) -> None:
    """Raise a DataError unless a table has a column of this name."""
    if name not in names:
        remedy = f"--{option} {next(iter(names), 'NAME')}"
        rows = " If it holds numbers and categories instead, name the column of classes with --label." * (option == "text")
        raise DataError(
            f"{str(path)!r} has no column {name!r}; it has {shortened(names) or 'none'}. Name the one that holds the "
            f"{option.removesuffix('s')}s, such as {remedy}.{rows}",
            subject=option,
            expected=", ".join(names),
        )


def plain_text(value: Any) -> str:
    """Return a cell as text without blanks around it; nothing for one that is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if not isinstance(value, str | int | float):
        raise DataError(f"a cell holds {str(value)[:80]!r}, a {type(value).__name__}; expected a text.")
    return str(value).strip()


def _warn_of_replaced(columns: Mapping[str, Sequence[Any]], path: pathlib.Path) -> None:
    """Warn of cells with signs that stand for bytes that are no UTF-8."""
    rows = list(zip(*columns.values(), strict=True))
    count = sum(any(isinstance(cell, str) and "\ufffd" in cell for cell in row) for row in rows)
    if count:
        warnings.warn(
            f"{str(path)!r}: {count} of {len(rows)} rows hold bytes that are no UTF-8, which were replaced; save the file as UTF-8.",
            DataWarning,
            stacklevel=3,
        )


def beginning(path: pathlib.Path, count: int = 20) -> tuple[list[str], list[tuple[str, ...]]]:
    """Return the names of a table's columns, and its first rows; nothing if the table cannot be read."""
    with (
        contextlib.suppress(QuickstudyError, OSError, ValueError, csv.Error),
        contextlib.ExitStack() as stack,
    ):  # reading says what is wrong
        ending = path.suffix.lower()
        if ending == ".parquet":
            columns = _parquet(path)
            return list(columns), list(
                zip(*([str(cell) for cell in column[:count]] for column in columns.values()), strict=True)
            )
        stream = stack.enter_context(path.open(encoding="utf-8-sig", errors="replace", newline=""))
        stack.enter_context(_wide_cells())
        if ending == ".jsonl":
            columns = _lines_of_json(itertools.islice(stream, count), path)
            return list(columns), list(zip(*([str(cell) for cell in column] for column in columns.values()), strict=True))
        reader = csv.reader(stream, delimiter=_separator(path))
        return next(reader, []), [tuple(row) for row in itertools.islice(reader, count) if row]
    return [], []


def structured(columns: Mapping[str, Sequence[Any]], kept: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
    """Return columns as a structured array of cells; only these rows if some are named.

    >>> structured({"age": [3, 4], "colour": ["red", "blue"]})["colour"].tolist()
    ['red', 'blue']
    """
    rows = range(len(next(iter(columns.values()), ()))) if kept is None else kept
    found = np.empty(len(rows), dtype=[(name, object) for name in columns])
    for name, cells in columns.items():
        found[name] = [cells[row] for row in rows]
    return found


def listed_names(said: str | Sequence[str] | None) -> list[str]:
    """Return names of columns, each once, that were given as one or several."""
    return [*dict.fromkeys([said] if isinstance(said, str) else said or ())]


def whole_places(rows: Sequence[tuple[str, ...]], names: Sequence[str], path: pathlib.Path, strict: bool) -> list[int]:
    """Return the places of rows whose cells of these columns are all there; the others are counted.

    Raises:
        DataError: there is none, or `strict` and one lacks something.
    """
    whole = [place for place, row in enumerate(rows) if all(row)]
    if len(whole) < len(rows):
        first = next(place for place, row in enumerate(rows, 1) if not all(row))
        said = f"{str(path)!r}: {len(rows) - len(whole)} of {len(rows)} rows have no {' or no '.join(names)}"
        if strict:
            raise DataError(f"{said} (row {first} first); fill them in, or read with strict=False.")
        warnings.warn(f"{said}, and are left out (row {first} first).", DataWarning, stacklevel=4)
    if not whole:
        raise DataError(f"{str(path)!r} has no row with a {' and a '.join(names)}.")
    return whole


def labels_of(
    table: Mapping[str, Sequence[Any]], said: Mapping[str, Any], path: pathlib.Path, strict: bool
) -> tuple[list[str], list[int]]:
    """Return the labels of the rows of a table that have one, with the group in front if a column of groups is named, and their places.

    Args:
        table: cells by the names of their columns.
        said: what is said of it; `label` and `group` are names of columns.
        path: where the table was read, for messages.
        strict: True: a row without a label is an error; False: it is left out, with a `DataWarning`.

    Raises:
        DataError: a column is missing, or nothing is left.
    """
    names = label_columns(said)
    for option, name in zip(("label", "group"), names, strict=False):
        check_column(list(table), name, option, path)
    found = list(zip(*([plain_text(value) for value in table[name]] for name in reversed(names)), strict=True))
    kept = whole_places(found, [*reversed(names)], path, strict)
    labels = ["/".join(found[place]) for place in kept]
    warn_of_twins(labels, path)
    return labels, kept


def label_columns(said: Mapping[str, Any]) -> list[str]:
    """Return the names of the columns of labels and, if one is named, of groups."""
    return [said.get("label") or "label", *([said["group"]] if said.get("group") else [])]


def located(columns: Mapping[str, list[Any]], paths: Sequence[str], folder: pathlib.Path) -> dict[str, list[Any]]:
    """Return columns of cells, of which some hold paths that are relative to a folder; an empty cell becomes None.

    >>> located({"picture": ["a.png", ""], "caption": ["owl", ""]}, ["picture"], pathlib.Path("birds"))
    {'picture': ['birds/a.png', None], 'caption': ['owl', '']}
    """

    def path_in(cell: Any) -> str | None:
        word = plain_text(cell)
        return str(folder / word) if word else None

    return {name: [path_in(cell) for cell in column] if name in paths else column for name, column in columns.items()}


@contextlib.contextmanager
def said_of_file(path: pathlib.Path) -> Iterator[None]:
    """Turn warnings about the rows of a file into those about the file, each said once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for said in dict.fromkeys((str(one.message), one.category) for one in caught):
        message = f"{str(path)!r}: {said[0]}" if issubclass(said[1], InputWarning) else said[0]
        warnings.warn(message, DataWarning if issubclass(said[1], InputWarning) else said[1], stacklevel=4)


def warn_of_twins(labels: list[str], path: pathlib.Path) -> None:
    """Warn of labels that differ in case or blanks alone."""
    spelled = collections.defaultdict(set)
    for label in set(labels):
        spelled["".join(label.split()).casefold()].add(label)
    twins = sorted(str(sorted(names)) for names in spelled.values() if len(names) > 1)
    if twins:
        warnings.warn(
            f"{str(path)!r}: labels that differ in case or blanks alone are different classes: {shortened(twins)}. If they are the same, "
            "write them alike.",
            DataWarning,
            stacklevel=3,
        )
