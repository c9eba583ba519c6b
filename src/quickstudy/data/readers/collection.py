"""Collection: several tables of different columns, as a folder of csv files and nothing else, or a pattern such as `folder/*.csv`."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from quickstudy.data.places import matching
from quickstudy.data.pool import Table, pooled, split_of
from quickstudy.data.readers import Found, Wanted, table
from quickstudy.data.tree import printable
from quickstudy.errors import DataError
from quickstudy.inputs.table import TableSpec

EXPECTED = "a folder of tables"
USUAL = TableSpec(width=32, scaling="task")
"""Spec of tables of which nothing is said."""


def recognises(path: pathlib.Path) -> bool:
    """Return whether a path is a pattern of tables, or a folder that holds tables and nothing else."""
    try:
        found = _files(path)
    except OSError:  # whoever reads the folder says what is wrong
        return False
    return bool(found) and all(table.recognises(file) for file in found)


def kind(path: pathlib.Path) -> str:
    """Return the kind of input of rows."""
    del path
    return "table"


def read(path: pathlib.Path, wanted: Wanted) -> Found:
    """Return the classes of all tables, each table a group; whole tables are shared out among the splits.

    Raises:
        DataError: a table has no column of labels, or texts are wished for.
    """
    said, others = {name: wanted.wishes.get(name) for name in table.WISHES}, wanted.without(table.WISHES)
    for name in (*table.COLUMNS, "value", "group"):
        if said[name]:
            raise DataError(f"{name} is given, but {str(path)!r} is a collection of tables, each a group; leave it out.")
    if wanted.spec is None:
        others = dataclasses.replace(others, wishes={"width": USUAL.width, **others.wishes})
    spec, _ = others.of_kind(TableSpec)
    assert isinstance(spec, TableSpec)
    if spec.columns:
        raise DataError(
            f"{str(path)!r} is a collection of tables, but this learner takes {spec}; give one table, or train with a width."
        )
    found = pooled([_read(file, said, wanted.strict) for file in _files(path)], spec, printable(path.name))
    return Found(found, split_of(found))


def _read(file: pathlib.Path, said: Mapping[str, Any], strict: bool) -> Table:
    """Return one table."""
    rows, labels = table.rows_of(file, said, strict)
    return printable(file.stem), rows, labels


def _files(path: pathlib.Path) -> list[pathlib.Path]:
    """Return the files that a pattern names, or that lie in a folder, without hidden ones."""
    found = path.iterdir() if path.is_dir() else matching(path)
    return sorted(file for file in found if not file.name.startswith("."))
