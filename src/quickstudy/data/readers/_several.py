"""Tables whose rows have several parts, such as the path of a picture and a text; what a row lacks is counted, and the rest of it kept."""

from __future__ import annotations

import pathlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from quickstudy.data.arrays import from_stored
from quickstudy.data.dataset import DataWarning
from quickstudy.data.readers import Found, Wanted
from quickstudy.data.readers._cells import (
    check_column,
    labels_of,
    listed_names,
    located,
    plain_text,
    said_of_file,
    structured,
    table_of,
)
from quickstudy.data.readers._listed import rows_of_files
from quickstudy.data.tree import printable
from quickstudy.errors import DataError
from quickstudy.inputs import InputSpec
from quickstudy.inputs._columns import plain
from quickstudy.inputs.several import SeveralSpec, missing_in
from quickstudy.inputs.table import TableSpec

Kinds = Mapping[str, type[InputSpec]]
Cells = dict[str, list[Any]]


def read_several(path: pathlib.Path, said: Mapping[str, Any], wanted: Wanted, kinds: Kinds) -> Found:
    """Return the classes of a table of several parts; the parts are called as their columns, and those of a row `table`.

    A row without a label, or without any of its parts, is left out and counted. A part that is missing, or whose file cannot be had, is
    counted, and its row is kept.

    Args:
        path: the table.
        said: what is said of it, by the names of the columns' options.
        wanted: what examples must become, and what else is said of them.
        kinds: kind of input of each option that names a column of examples.

    Raises:
        DataError: a column is missing, two parts have one column, or no row is left.
    """
    table = table_of(path)
    labels, kept = labels_of(table, said, path, wanted.strict)
    if wanted.spec is None:
        columns, made = _columns_said(table, said, path, kinds)
        with said_of_file(path):
            spec = _spec_of(table, kept, columns, made, wanted.wishes)
    elif isinstance(wanted.spec, SeveralSpec):
        spec = wanted.spec
        columns = columns_for(spec, table, said, path, kinds)
    else:
        wanted.of_kind(SeveralSpec)  # which says that the data holds something else
        raise DataError(f"{str(path)!r} is read as several parts, but {wanted.spec} are expected; name one column.")
    how = spec.how(**wanted.wishes).get("parts", {}) if wanted.spec is not None else {}
    rows, there = {}, {}
    for name, part in spec.parts.items():
        cells = {column: [table[column][row] for row in kept] for column in columns[name]}
        rows[name], there[name] = _stored(path, cells, part, how.get(name, {}), wanted.strict)
    some = _with_a_part(there, path, wanted.strict)
    _say_missing({name: known[some] for name, known in there.items()}, path, wanted.strict)
    stored = {key: array for name in spec.parts for key, array in spec.spread(name, rows[name], there[name]).items()}
    chosen = {key: array[some] for key, array in stored.items()}
    kept_labels = [label for label, known in zip(labels, some, strict=True) if known]
    return Found(from_stored(chosen, kept_labels, spec, printable(path.name)))


def examples_of(path: pathlib.Path, said: Mapping[str, Any], spec: SeveralSpec, kinds: Kinds) -> tuple[Cells, list[str]]:
    """Return the cells of a table by the names of a spec's columns, as the spec reads them, and the labels of the rows.

    Args:
        path: the table, to whose folder paths are relative.
        said: what is said of it, by the names of the columns' options.
        spec: whose parts are looked for.
        kinds: kind of input of each option that names a column of examples.
    """
    table = table_of(path)
    labels, kept = labels_of(table, said, path, strict=False)
    found: Cells = {}
    for name, columns in columns_for(spec, table, said, path, kinds).items():
        for column in columns:
            found[column if spec.parts[name].tabular else name] = [table[column][row] for row in kept]
    return located(found, spec.paths, path.parent), labels


def columns_for(
    spec: SeveralSpec, table: Mapping[str, Any], said: Mapping[str, Any], path: pathlib.Path, kinds: Kinds
) -> dict[str, list[str]]:
    """Return the columns of a table that hold the parts of a spec: those named by options of their kinds, else those named as the parts.

    A part that has no column at all is missing everywhere.

    Raises:
        DataError: an option names a column for a kind of which the spec has no part, or several; or there is no column.
    """
    found = {name: list(part.names if isinstance(part, TableSpec) else [name]) for name, part in spec.parts.items()}
    for option, kind in kinds.items():
        if said.get(option):
            mine = [name for name, part in spec.parts.items() if type(part) is kind]
            if len(mine) != 1:
                raise DataError(
                    f"{option} is given for {str(path)!r}, but of the parts {', '.join(spec.parts)} {len(mine) or 'none'} "
                    f"{'is' if len(mine) < 2 else 'are'} of that kind; leave it out, and call the columns as the parts."
                )
            check_column(list(table), said[option], option, path)
            found[mine[0]] = [said[option]]
    there = {name: [column for column in columns if column in table] for name, columns in found.items()}
    if not any(there.values()):
        raise DataError(
            f"{str(path)!r} has none of the columns {', '.join(spec.names)}; it has {', '.join(table)}. Call its columns as the parts."
        )
    return there


def _columns_said(
    table: Mapping[str, list[Any]], said: Mapping[str, Any], path: pathlib.Path, kinds: Kinds
) -> tuple[dict[str, list[str]], Kinds]:
    """Return the columns of each part that somebody names, and the kind of each part.

    Raises:
        DataError: a column is missing, or named for two parts.
    """
    chosen = [(option, said[option], kind) for option, kind in kinds.items() if said.get(option)]
    own = listed_names(said.get("columns"))
    for option, name in [*((option, name) for option, name, _ in chosen), *(("columns", name) for name in own)]:
        check_column(list(table), name, option, path)
    parts = {name: [name] for _, name, _ in chosen} | ({"table": own} if own else {})
    if sum(len(columns) for columns in parts.values()) < len(chosen) + len(own) or set(own) & {name for _, name, _ in chosen}:
        raise DataError(
            f"a column of {str(path)!r} is named for two parts, or is called table beside --columns; name a column of its own for each."
        )
    return parts, {name: kind for _, name, kind in chosen} | ({"table": TableSpec} if own else {})


def _spec_of(
    table: Mapping[str, list[Any]], kept: list[int], columns: Mapping[str, list[str]], made: Kinds, wishes: Mapping[str, Any]
) -> SeveralSpec:
    """Return the spec of the rows that are kept, whose parts have these columns and kinds.

    Raises:
        DataError: a wish is impossible, or no part has it.
    """
    strange = [wish for wish in wishes if not any(wish in kind.wishes() for kind in made.values())]
    if strange:
        raise DataError(f"{strange[0]} is given, but none of the parts {', '.join(made)} has such an option; leave it out.")
    parts = {}
    for name, kind in made.items():
        own = {wish: value for wish, value in wishes.items() if wish in kind.wishes()}
        array = structured({column: table[column] for column in columns[name]}, kept) if kind is TableSpec else None
        parts[name] = kind.own(array, **own)
    return SeveralSpec(parts)


def _stored(
    path: pathlib.Path, cells: Cells, part: InputSpec, how: Mapping[str, Any], strict: bool
) -> tuple[np.ndarray | None, np.ndarray]:
    """Return what is stored of the rows that have a part, None if none has, and which have it, bool `[row]`."""
    if not cells:
        return None, np.zeros(0, bool)
    words = [plain_text(cell) for cell in next(iter(cells.values()))]
    if part.paths_in_tables:
        return rows_of_files(path, words, part, how, strict)
    table = isinstance(part, TableSpec)
    known = _any([[cell is not None for cell in plain(column)] for column in cells.values()] if table else [words])
    places = np.flatnonzero(known).tolist()
    if not places:
        return None, known
    with said_of_file(path):
        given: Any = structured(cells, places) if table else [words[place] for place in places]
        return next(iter(part.read_all(given, **how).values())), known


def _any(rows: Sequence[Any]) -> np.ndarray:
    """Return which places of lists of equal length hold something in some of the lists, bool `[place]`."""
    return np.array([any(cells) for cells in zip(*rows, strict=True)], dtype=bool)


def _with_a_part(there: dict[str, np.ndarray], path: pathlib.Path, strict: bool) -> np.ndarray:
    """Return which rows have some part, bool `[row]`, and warn of the others; parts without a column become missing everywhere.

    Raises:
        DataError: none has, or `strict` and one has not.
    """
    count = max(len(known) for known in there.values())
    for name, known in there.items():
        there[name] = known if len(known) else np.zeros(count, bool)
    some = _any(list(there.values()))
    said = f"{str(path)!r}: {int((~some).sum())} of {count} rows have none of the parts {', '.join(there)}"
    if not some.any() or (strict and not some.all()):
        raise DataError(f"{said}; mend them, or read with strict=False what has at least one part.")
    if not some.all():
        warnings.warn(f"{said}, and are left out.", DataWarning, stacklevel=5)
    return some


def _say_missing(there: Mapping[str, np.ndarray], path: pathlib.Path, strict: bool) -> None:
    """Warn of rows that lack some part, which are kept.

    Raises:
        DataError: `strict`, and a row lacks a part.
    """
    said = missing_in(there)
    if said and strict:
        raise DataError(f"{str(path)!r}: {said}; fill them in, or read with strict=False.")
    if said:
        warnings.warn(f"{str(path)!r}: {said}; the learner is told that these parts are missing.", DataWarning, stacklevel=5)
