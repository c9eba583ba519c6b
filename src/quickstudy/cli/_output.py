"""Output of the verbs: tables to read on a terminal, or JSON for machines; errors in one shape; commands that can be pasted."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

import rich.box
import rich.console
import rich.markup
import rich.table


@contextlib.contextmanager
def streams() -> Iterator[None]:
    """Let stdout and stderr take every text, whatever they are: a pipe that knows few characters, or nothing at all.

    Characters that a stream cannot encode are written as escapes. Afterwards the streams are as they were.
    """
    with contextlib.ExitStack() as stack:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is None:  # a process without consoles, or started with `>&-`
                nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8", errors="backslashreplace"))
                stack.callback(setattr, sys, name, None)
                setattr(sys, name, nowhere)
            elif isinstance(stream, io.TextIOWrapper):
                stack.callback(_restore, stream, stream.errors)
                stream.reconfigure(errors="backslashreplace")
        yield


def _restore(stream: io.TextIOWrapper, errors: str | None) -> None:
    """Set how a stream treats characters that it cannot encode, unless it was closed meanwhile."""
    with contextlib.suppress(ValueError, OSError):
        stream.reconfigure(errors=errors)


def flush() -> None:
    """Write what waits in stdout.

    Raises:
        BrokenPipeError: nobody reads it any more.
    """
    sys.stdout.flush()


def hang_up() -> None:
    """Send what waits in stdout and stderr nowhere if their readers are gone, so that Python does not fail when it ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            _to_nowhere(stream)


def _to_nowhere(stream: IO[str]) -> None:
    """Let the file behind a stream be the null device."""
    with contextlib.suppress(OSError, ValueError):  # a stream without a file
        handle = os.open(os.devnull, os.O_WRONLY)
        os.dup2(handle, stream.fileno())
        os.close(handle)


def text(value: str) -> None:
    """Print plain text."""
    sys.stdout.write(value + "\n")


def note(value: str) -> None:
    """Print a line on stderr, beside the results."""
    sys.stderr.write(value + "\n")


def as_json(value: Any) -> None:
    """Print one JSON document; numbers that are not finite, which JSON does not have, become null."""
    text(json.dumps(_finite(value), indent=2, default=str))


def _finite(value: Any) -> Any:
    """Return plain values with None in place of numbers that are not finite.

    >>> _finite({"ci95": float("inf"), "mean": [0.5]})
    {'ci95': None, 'mean': [0.5]}
    """
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def pasted(*words: object) -> str:
    """Return a command as it can be pasted into a shell.

    >>> pasted("cc", "my file.c")
    "cc 'my file.c'"
    """
    return shlex.join(str(word) for word in words)


def command(*words: object) -> str:
    """Return a command of quickstudy as it can be pasted into a shell.

    >>> command("evaluate", "my run", "--ways", 5)
    "quickstudy evaluate 'my run' --ways 5"
    """
    return pasted("quickstudy", *words)


def following(*words: object) -> None:
    """Print the command that comes next."""
    text(f"next: {command(*words)}")


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str | None = None, width: int = 160) -> None:
    """Print a table, with numbers to the right.

    Args:
        columns: headlines.
        rows: cells.
        title: line above the table.
        width: characters in a line of a table that goes to a file or a pipe; on a terminal, lines are as wide as that.
    """
    if title is not None:
        text(title)  # not the table's own, which would break a long path into lines as wide as the table
    drawn = rich.table.Table(box=rich.box.SIMPLE_HEAD)
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        drawn.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(rich.markup.escape(str(value)) for value in row))
    rich.console.Console(highlight=False, width=None if sys.stdout.isatty() else width).print(drawn)


def error(problem: Mapping[str, Any], as_json: bool) -> None:
    """Print an error on stderr; as JSON `{"error": {"type", "message", "status", ...}}` if that was asked for.

    Args:
        problem: what `QuickstudyError.to_dict` returns.
        as_json: print JSON.
    """
    if as_json:
        note(json.dumps({"error": problem}))
    else:
        console = rich.console.Console(stderr=True, highlight=False)
        console.print(f"[bold red]{problem['type']}[/]: {rich.markup.escape(problem['message'])}", soft_wrap=True)
