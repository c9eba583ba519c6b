"""What the verbs print: tables to read on a terminal, or JSON for machines; errors in one shape."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import rich.box
import rich.console
import rich.markup
import rich.table

from quickstudy.errors import QuickstudyError


def text(value: str) -> None:
    """Plain text on stdout."""
    sys.stdout.write(value + "\n")


def as_json(value: Any) -> None:
    """One JSON document on stdout."""
    text(json.dumps(value, indent=2, default=str))


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str | None = None) -> None:
    """A table on stdout; numbers to the right."""
    if title is not None:
        text(title)  # not the table's own, which would break a long path into lines as wide as the table
    drawn = rich.table.Table(box=rich.box.SIMPLE_HEAD)
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        drawn.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(rich.markup.escape(str(value)) for value in row))
    rich.console.Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(drawn)


def error(problem: QuickstudyError, as_json: bool) -> None:
    """An error on stderr; as JSON `{"error": {"type", "message"}}` where that was asked for."""
    kind = type(problem).__name__
    if as_json:
        sys.stderr.write(json.dumps({"error": {"type": kind, "message": str(problem)}}) + "\n")
    else:
        console = rich.console.Console(stderr=True, highlight=False)
        console.print(f"[bold red]{kind}[/]: {rich.markup.escape(str(problem))}", soft_wrap=True)
