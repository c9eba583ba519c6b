"""Tables: a csv, tsv, jsonl or parquet file of texts, paths of files, or numbers and categories, with a column of classes or of values."""

from __future__ import annotations

import collections
import contextlib
import csv
import dataclasses
import itertools
import json
import math
import pathlib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

import numpy as np

from quickstudy.data.arrays import from_arrays
from quickstudy.data.dataset import DataWarning
from quickstudy.data.readers import Found, Wanted, _values
from quickstudy.data.readers._listed import read_listed
from quickstudy.data.tree import printable, shortened
from quickstudy.errors import ConfigError, DataError, InputWarning, NotFoundError, QuickstudyError
from quickstudy.inputs import InputSpec, kinds
from quickstudy.inputs.table import TableSpec
from quickstudy.inputs.text import TextSpec
from quickstudy.targets import ValueScale

EXPECTED = ".csv, .tsv, .jsonl or .parquet of paths of sounds, of texts, of molecules (SMILES), or of numbers and categories"
ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet")
COLUMNS = {kind.column: kind for kind in kinds().values() if kind.column}
"""Kinds of input that tables hold, by the name of their column."""
WISHES = {
    **{
        name: f"your own table: column of the {'paths of ' if kind.paths_in_tables else ''}{kind.nouns}; null: {name}"
        for name, kind in COLUMNS.items()
    },
    "label": "your own table: column of their classes; null: label",
    "value": "your own table: columns of numbers to be predicted, in place of classes",
    "group": "your own table: column of groups: of classes, or of the rows of one task of values, such as a patient; null: there are none",
    "columns": "your own table: columns of numbers, categories or dates; null: all but those of labels, values and groups",
}
"""Explanation of what is said of a table alone: the names of its columns, each its own name unless something else is said."""
SEVERAL = frozenset(["value", "columns"])
"""Names among these of which several columns may be named."""
SETTLES = {**{name: name for name in COLUMNS}, "value": "table", "columns": "table"}
"""Kind of input that a table holds if this is said of it."""
ANSWERS = {"value": "values"}
"""Kind of answer that a table holds if this is said of it."""


def recognises(path: pathlib.Path) -> bool:
    """Return whether a path ends as a table does."""
    return path.suffix.lower() in ENDINGS and path.is_file()


def kind(path: pathlib.Path) -> str:
    """Return the kind of input that a table holds: the one whose files its first rows name, or whose column it has; else rows."""
    names, rows = _beginning(path)
    named = [kind for name, kind in COLUMNS.items() if name in names]
    listed = [kind for kind in COLUMNS.values() if kind.paths_in_tables and _any_column_ends(rows, tuple(kind.suffixes()))]
    return _word([*named, *listed, TableSpec][0])


def _word(kind: type[InputSpec]) -> str:
    """Return the name of a kind of input."""
    return next(word for word, chosen in kinds().items() if chosen is kind)


def _any_column_ends(rows: Sequence[tuple[str, ...]], endings: tuple[str, ...]) -> bool:
    """Return whether all cells of some column end in one of these endings."""
    return any(all(cell.strip().lower().endswith(endings) for cell in column) for column in zip(*rows, strict=False))


def kind_said(path: pathlib.Path, said: Mapping[str, Any]) -> type[InputSpec]:
    """Return the kind of input of the column that somebody names, or else the one that the table seems to hold.

    Raises:
        DataError: columns of several kinds are named.
    """
    named = [name for name in COLUMNS if said.get(name) is not None]
    if len(named) > 1:
        raise DataError(f"{' and '.join(named)} are both given for {str(path)!r}; name one column of examples.")
    if named and said.get("columns"):
        raise DataError(
            f"{named[0]} and columns are both given for {str(path)!r}; name one column of examples, or those of rows."
        )
    if named:
        return COLUMNS[named[0]]
    found = TableSpec if said.get("columns") else kinds()[kind(path)]
    labelled = (said.get("label") or "label") in _beginning(path)[0]
    return TextSpec if found is TableSpec and not labelled else found  # reading says which column is missing


def read(path: pathlib.Path, wanted: Wanted) -> Found:
    """Return the classes or groups of a table; rows that lack something are left out, and counted, and so are files that cannot be read.

    Raises:
        DataError: a column is missing or holds no texts, or no row is left.
    """
    said, others = {name: wanted.wishes.get(name) for name in WISHES}, wanted.without(WISHES)
    if said["value"]:
        return _read_values(path, said, others)
    found = kind_said(path, said)
    if isinstance(wanted.spec, TableSpec) and any(said[name] for name in COLUMNS):
        others.of_kind(found)  # which says that the data holds something else
    if isinstance(wanted.spec, TableSpec) or (wanted.spec is None and found is TableSpec):
        return _read_rows(path, said, others)
    found = TextSpec if isinstance(wanted.spec, TextSpec) and found is TableSpec else found
    spec, how = others.of_kind(found)
    texts, labels = columns_of(path, said[found.column], said["label"], said["group"], wanted.strict, found)
    if found.paths_in_tables:
        return read_listed(path, texts, labels, spec, how, wanted.strict)
    return Found(from_arrays(np.array(texts, dtype=object), labels, spec=spec, how=how, name=printable(path.name)))


def _read_rows(path: pathlib.Path, said: Mapping[str, Any], wanted: Wanted) -> Found:
    """Return the classes of a table of numbers and categories."""
    rows, labels = rows_of(path, said, wanted.strict)
    with said_of_file(path):
        spec, how = wanted.of_kind(TableSpec, rows)
        if wanted.spec is None and isinstance(spec, TableSpec) and spec.columns:
            rows = rows[[*spec.names]]  # without those of which it was said that they are left out
        found = from_arrays(rows, labels, spec=spec, how=how, name=printable(path.name))
    if spec.by_group and not said["group"]:
        found = dataclasses.replace(found, groups=(found.name,) * len(found.classes))
    return Found(found)


def rows_of(path: pathlib.Path, said: Mapping[str, Any], strict: bool = False) -> tuple[np.ndarray, list[str]]:
    """Return the rows of a table as a structured array, and their labels, with the group in front if a column of groups is named.

    Args:
        path: a file of the endings above.
        said: what is said of it, by the names of `WISHES`.
        strict: True: a row without a label is an error; False: it is left out, with a `DataWarning`.

    Raises:
        DataError: a column is missing, or nothing is left.
    """
    table = table_of(path)
    names = [said.get("label") or "label", *([said["group"]] if said.get("group") else [])]
    for option, name in zip(("label", "group"), names, strict=False):
        _check_column(list(table), name, option, path)
    columns = _listed_names(said.get("columns")) or [name for name in table if name not in names]
    for name in columns:
        _check_column(list(table), name, "columns", path)
    if not columns:
        raise DataError(
            f"{str(path)!r} has no column beside {' and '.join(names)}; expected numbers or categories to learn from."
        )
    found = list(zip(*([_plain(value) for value in table[name]] for name in reversed(names)), strict=True))
    kept = _whole(found, [*reversed(names)], path, strict)
    labels = ["/".join(found[place]) for place in kept]
    _warn_of_twins(labels, path)
    return structured({name: table[name] for name in columns}, kept), labels


def _read_values(path: pathlib.Path, said: Mapping[str, Any], wanted: Wanted) -> Found:
    """Return the groups of a table with values; the spec and the scale of values are those of the groups of training."""
    if not said["group"]:
        words = f"{str(path)!r}: no column of groups is named, with group=COLUMN, so that all rows are one task."
        warnings.warn(words, DataWarning, stacklevel=4)
    found = values_of(path, said, wanted.strict)
    order, names, counts = _values.in_groups(found, path)
    rows, values = structured(found.columns, found.kept[order]), found.values[order]
    training = np.repeat(_values.in_training(names), counts)
    scale = ValueScale.of(_listed_names(said["value"]), values[training])
    with said_of_file(path):
        spec, how = wanted.of_kind(TableSpec, rows[training])
        if wanted.spec is None and isinstance(spec, TableSpec) and spec.columns:
            rows = rows[[*spec.names]]  # without those of which it was said that they are left out
        stored = spec.read_all(rows, **how)
    return Found(_values.dataset_of(stored, values, scale, (names, counts), (spec, printable(path.name))))


def values_of(path: pathlib.Path, said: Mapping[str, Any], strict: bool = False) -> _values.Grouped:
    """Return the rows of a table with numbers to predict, those that are whole.

    Args:
        path: a file of the endings above.
        said: what is said of it, by the names of `WISHES`; `value` names one column or several.
        strict: True: a row that lacks something is an error; False: it is left out, with a `DataWarning`.

    Raises:
        DataError: a column is missing, a value is no number, or nothing is left.
    """
    for name in ("label", *COLUMNS):
        if said.get(name):
            raise DataError(f"value and {name} are both given for {str(path)!r}; rows with values are told by --columns alone.")
    table, values, group = table_of(path), _listed_names(said.get("value")), said.get("group")
    for option, name in [*(("value", name) for name in values), *([("group", group)] if group else [])]:
        _check_column(list(table), name, option, path)
    columns = _listed_names(said.get("columns")) or [name for name in table if name not in (*values, group)]
    for name in columns:
        _check_column(list(table), name, "columns", path)
    twice = [name for name in columns if name in (*values, group)]
    if twice or not columns:
        wrong = f"{twice[0]!r} is both learned from and predicted" if twice else f"{str(path)!r} has no column to learn from"
        raise DataError(f"{wrong}; name other columns with --columns.")
    return _values.whole_rows(table, columns, values, group, path, strict)


def _listed_names(said: str | Sequence[str] | None) -> list[str]:
    """Return names of columns, each once, that were given as one or several."""
    return [*dict.fromkeys([said] if isinstance(said, str) else said or ())]


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


@contextlib.contextmanager
def said_of_file(path: pathlib.Path) -> Iterator[None]:
    """Turn warnings about the rows of a file into those about the file, each said once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for said in dict.fromkeys((str(one.message), one.category) for one in caught):
        message = f"{str(path)!r}: {said[0]}" if issubclass(said[1], InputWarning) else said[0]
        warnings.warn(message, DataWarning if issubclass(said[1], InputWarning) else said[1], stacklevel=4)


def columns_of(
    path: pathlib.Path,
    example: str | None = None,
    label: str | None = None,
    group: str | None = None,
    strict: bool = False,
    kind: type[InputSpec] = TextSpec,
) -> tuple[list[str], list[str]]:
    """Return the texts or paths of a table, and their labels, with the group in front if a column of groups is named.

    Args:
        path: a file of the endings above.
        example: column of texts or paths; None: the one called as the kind says, such as `text`.
        label: column of labels; None: the one called `label`.
        group: column of groups of labels; None for none.
        strict: True: a row that lacks something is an error; False: it is left out, with a `DataWarning`.
        kind: kind of input of the examples.

    Raises:
        DataError: the file cannot be read, or has no such column, or nothing is left.
    """
    table = table_of(path)
    names = [example or kind.column, label or "label", *([group] if group else [])]
    for option, name in zip((kind.column, "label", "group"), names, strict=False):
        _check_column(list(table), name, option, path)
    rows = list(zip(*([_plain(value) for value in table[name]] for name in names), strict=True))
    whole = [rows[place] for place in _whole(rows, names, path, strict)]
    cut = next((row[1] for row in whole if "/" in row[1]), None) if group else None
    if cut is not None:
        raise DataError(
            f"{str(path)!r}: the label {cut!r} holds '/', which separates groups from labels; write it otherwise, or name no --group."
        )
    labels = [f"{row[2]}/{row[1]}" if group else row[1] for row in whole]
    _warn_of_twins(labels, path)
    return [row[0] for row in whole], labels


def _whole(rows: Sequence[tuple[str, ...]], names: Sequence[str], path: pathlib.Path, strict: bool) -> list[int]:
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


def existing(path: str | pathlib.Path) -> pathlib.Path:
    """Return the path of a table that is there.

    Raises:
        NotFoundError: there is no such file.
        DataError: it does not end as a table does.
    """
    found = pathlib.Path(path)
    if not found.is_file():
        raise NotFoundError(f"there is no table {str(path)!r}; check the path.", subject=str(path))
    if not recognises(found):
        raise DataError(f"{str(path)!r} is no table; expected a file that ends in {', '.join(ENDINGS)}.", subject=str(path))
    return found


def examples_of(
    path: pathlib.Path, example: str | None, label: str | None, kind: type[InputSpec]
) -> tuple[list[Any], list[str]]:
    """Return the examples of a table as the kind reads them, and their labels; paths are relative to the table's folder.

    Args:
        path: a file of the endings above.
        example: column of texts or paths; None: the one called as the kind says.
        label: column of labels; None: the one called `label`.
        kind: kind of input of the examples.
    """
    found, labels = columns_of(path, example, label, kind=kind)
    return [str(path.parent / cell) for cell in found] if kind.paths_in_tables else found, labels


def _beginning(path: pathlib.Path, count: int = 20) -> tuple[list[str], list[tuple[str, ...]]]:
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


def _check_column(names: list[str], name: str, option: str, path: pathlib.Path) -> None:
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


def _plain(value: Any) -> str:
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


def _warn_of_twins(labels: list[str], path: pathlib.Path) -> None:
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
