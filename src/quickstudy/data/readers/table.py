"""Tables: a csv, tsv, jsonl or parquet file of texts, paths of files, or numbers and categories, with a column of classes or of values."""

from __future__ import annotations

import dataclasses
import pathlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from quickstudy.data.arrays import from_arrays, from_label_sets
from quickstudy.data.dataset import DataWarning
from quickstudy.data.readers import Found, Wanted, _several, _values
from quickstudy.data.readers._cells import (
    beginning,
    check_column,
    label_columns,
    labels_of,
    listed_names,
    plain_text,
    said_of_file,
    structured,
    table_of,
    warn_of_twins,
    whole_places,
)
from quickstudy.data.readers._label_sets import label_sets_of
from quickstudy.data.readers._listed import read_listed
from quickstudy.data.tree import printable
from quickstudy.errors import DataError, NotFoundError
from quickstudy.inputs import InputSpec, kinds
from quickstudy.inputs.several import SeveralSpec
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
    "labels": "your own table: column of label sets, such as red;round, in place of classes",
    "separator": "your own table: sign between the labels of a cell of that column; null: ;",
    "group": "your own table: column of groups: of classes, or of the rows of one task of values, such as a patient; null: there are none",
    "columns": "your own table: columns of numbers, categories or dates; null: all but those of labels, values and groups",
}
"""Explanation of what is said of a table alone: the names of its columns, each its own name unless something else is said."""
SEVERAL = frozenset(["value", "columns"])
"""Names among these of which several columns may be named."""
SETTLES = {**{name: name for name in COLUMNS}, "value": "table", "columns": "table"}
"""Kind of input that a table holds if this is said of it."""
ANSWERS = {"value": "values", "labels": "labels"}
"""Kind of answer that a table holds if this is said of it."""


def recognises(path: pathlib.Path) -> bool:
    """Return whether a path ends as a table does."""
    return path.suffix.lower() in ENDINGS and path.is_file()


def kind(path: pathlib.Path) -> str:
    """Return the kind of input that a table holds: the one whose files its first rows name, or whose column it has; else rows."""
    names, rows = beginning(path)
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
    """Return the kind of input of the column that somebody names, or of several; else the one that the table seems to hold."""
    named = [name for name in COLUMNS if said.get(name) is not None]
    if len(named) + bool(said.get("columns")) > 1:
        return SeveralSpec
    if named:
        return COLUMNS[named[0]]
    found = TableSpec if said.get("columns") else kinds()[kind(path)]
    labelled = (said.get("label") or "label") in beginning(path)[0]
    return TextSpec if found is TableSpec and not labelled else found  # reading says which column is missing


def read(path: pathlib.Path, wanted: Wanted) -> Found:
    """Return the classes or groups of a table; rows that lack something are left out, and counted, and so are files that cannot be read.

    Raises:
        DataError: a column is missing or holds no texts, or no row is left.
    """
    said, others = {name: wanted.wishes.get(name) for name in WISHES}, wanted.without(WISHES)
    if said["value"]:
        return _read_values(path, said, others)
    if said["labels"]:
        return _read_label_sets(path, said, others)
    if said["separator"]:
        raise DataError("separator is given without labels; name the column of label sets with labels='COLUMN' (--labels).")
    found = kind_said(path, said)
    if found is SeveralSpec or isinstance(wanted.spec, SeveralSpec):
        return _several.read_several(path, said, others, COLUMNS)
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
        rows, spec, how = _as_wanted(wanted, TableSpec, rows)
        found = from_arrays(rows, labels, spec=spec, how=how, name=printable(path.name))
    if spec.by_group and not said["group"]:
        found = dataclasses.replace(found, groups=(found.name,) * len(found.classes))
    return Found(found)


def _as_wanted(
    wanted: Wanted, kind: type[InputSpec], examples: np.ndarray, measured: np.ndarray | None = None
) -> tuple[np.ndarray, InputSpec, dict[str, Any]]:
    """Return examples without the columns of a table that say nothing, their spec, and the options with which they are read.

    Args:
        wanted: what the examples must become.
        kind: their kind of input.
        examples: the examples; rows of a table as a structured array.
        measured: which of them decide a new spec, bool `[example]`; None: all.
    """
    spec, how = wanted.of_kind(kind, examples if measured is None else examples[measured])
    if wanted.spec is None and isinstance(spec, TableSpec) and spec.columns:
        examples = examples[[*spec.names]]  # a new spec has said which columns it leaves out; reading them would say it again
    return examples, spec, how


def rows_of(path: pathlib.Path, said: Mapping[str, Any], strict: bool = False) -> tuple[np.ndarray, list[str]]:
    """Return the rows of a table as a structured array, and their labels, with the group in front if a column of groups is named.

    Args:
        path: a file of the endings above.
        said: what is said of it, by the names of `WISHES`.
        strict: True: a row without a label is an error; False: it is left out, with a `DataWarning`.

    Raises:
        DataError: a column is missing, or nothing is left.
    """
    table, names = table_of(path), label_columns(said)
    for option, name in zip(("label", "group"), names, strict=False):
        check_column(list(table), name, option, path)
    columns = listed_names(said.get("columns")) or [name for name in table if name not in names]
    for name in columns:
        check_column(list(table), name, "columns", path)
    if not columns:
        raise DataError(
            f"{str(path)!r} has no column beside {' and '.join(names)}; expected numbers or categories to learn from."
        )
    labels, kept = labels_of(table, said, path, strict)
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
    scale = ValueScale.of(listed_names(said["value"]), values[training])
    with said_of_file(path):
        rows, spec, how = _as_wanted(wanted, TableSpec, rows, training)
        stored = spec.read_all(rows, **how)
    return Found(_values.dataset_of(stored, values, scale, (names, counts), (spec, printable(path.name))))


def _read_label_sets(path: pathlib.Path, said: Mapping[str, Any], wanted: Wanted) -> Found:
    """Return the examples of a table with a column of label sets."""
    found = TableSpec if isinstance(wanted.spec, TableSpec) else _kind_of_labelled(path, said)
    examples, sets = label_sets_of(path, said, found, wanted.strict)
    with said_of_file(path):
        examples, spec, how = _as_wanted(wanted, found, examples)
        return Found(from_label_sets(examples, sets, spec=spec, how=how, name=printable(path.name)))


def _kind_of_labelled(path: pathlib.Path, said: Mapping[str, Any]) -> type[InputSpec]:
    """Return the kind of input of a table with a column of label sets: of the column that is named, or else rows.

    Raises:
        DataError: columns of several kinds are named, or one of paths.
    """
    if not any(said.get(name) for name in COLUMNS):
        return TableSpec if said.get("columns") else kinds()[kind(path)]
    return kind_said(path, said)


def values_of(path: pathlib.Path, said: Mapping[str, Any], strict: bool = False) -> _values.Grouped:
    """Return the rows of a table with numbers to predict, those that are whole.

    Args:
        path: a file of the endings above.
        said: what is said of it, by the names of `WISHES`; `value` names one column or several.
        strict: True: a row that lacks something is an error; False: it is left out, with a `DataWarning`.

    Raises:
        DataError: a column is missing, a value is no number, or nothing is left.
    """
    for name in ("label", "labels", *COLUMNS):
        if said.get(name):
            raise DataError(f"value and {name} are both given for {str(path)!r}; rows with values are told by --columns alone.")
    table, values, group = table_of(path), listed_names(said.get("value")), said.get("group")
    for option, name in [*(("value", name) for name in values), *([("group", group)] if group else [])]:
        check_column(list(table), name, option, path)
    columns = listed_names(said.get("columns")) or [name for name in table if name not in (*values, group)]
    for name in columns:
        check_column(list(table), name, "columns", path)
    twice = [name for name in columns if name in (*values, group)]
    if twice or not columns:
        wrong = f"{twice[0]!r} is both learned from and predicted" if twice else f"{str(path)!r} has no column to learn from"
        raise DataError(f"{wrong}; name other columns with --columns.")
    return _values.whole_rows(table, columns, values, group, path, strict)


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
        check_column(list(table), name, option, path)
    rows = list(zip(*([plain_text(value) for value in table[name]] for name in names), strict=True))
    whole = [rows[place] for place in whole_places(rows, names, path, strict)]
    cut = next((row[1] for row in whole if "/" in row[1]), None) if group else None
    if cut is not None:
        raise DataError(
            f"{str(path)!r}: the label {cut!r} holds '/', which separates groups from labels; write it otherwise, or name no --group."
        )
    labels = [f"{row[2]}/{row[1]}" if group else row[1] for row in whole]
    warn_of_twins(labels, path)
    return [row[0] for row in whole], labels


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
