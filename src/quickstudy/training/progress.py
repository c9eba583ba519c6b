"""Progress of long work: a line that is redrawn on a terminal; elsewhere a line of text, at most every ten seconds."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import rich.console
import rich.progress

from quickstudy.training.measures import MEASURES


class Progress(Protocol):
    """Who is told how far a training is."""

    def update(self, done: float, row: Mapping[str, float]) -> None:
        """Hear how much is done, in [0, 1], and the metrics of the latest step."""
        ...

    def note(self, text: str) -> None:
        """Hear something that is worth knowing once."""
        ...


class Silent:
    """Tells nobody."""

    def update(self, done: float, row: Mapping[str, float]) -> None:
        del done, row

    def note(self, text: str) -> None:
        del text


silent = Silent()


class Line:
    """Progress of a training: one line on a terminal, redrawn in place; elsewhere lines of text.

    Args:
        console: where to write.
        bar: the bar that is drawn, None away from a terminal.
        pause: seconds between two lines of text, away from a terminal.
    """

    def __init__(self, console: rich.console.Console, bar: rich.progress.Progress | None, pause: float = 10.0) -> None:
        self._console, self._bar, self._pause = console, bar, pause
        self._task = bar.add_task("training", total=1.0, text="") if bar else None
        self._loss: float | None = None
        self._validation = ""
        self._start: float | None = None
        self._written = self._began = time.monotonic()

    def update(self, done: float, row: Mapping[str, float]) -> None:
        self._loss = row["loss"] if self._loss is None else 0.95 * self._loss + 0.05 * row["loss"]
        for measure in MEASURES.values():
            if (mean := row.get(f"validation_{measure.key}")) is not None:
                self._validation = f"  validation {measure.shown(mean, row['validation_ci95'])}"
        speed = row["tasks_per_second"]
        text = f"loss {self._loss:.3f}{self._validation}  {speed:.{0 if speed >= 10 else 1}f} tasks/s"
        now = time.monotonic()
        if self._start is None:  # the first part of a resumed run was done before
            self._start, self._began, self._written = done, now, now
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, text=text)
        elif now - self._written > self._pause or done >= 1:
            self._written = now
            left = (now - self._began) * (1 - done) / max(done - self._start, 1e-9)
            self._console.print(f"{100 * done:3.0f} %  {text}  {left / 60:.1f} min left", highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


@contextlib.contextmanager
def progress_line(console: rich.console.Console | None = None) -> Iterator[Line]:
    """Yield a `Line` on stderr, for `fit(..., progress=line)`."""
    console = console or rich.console.Console(stderr=True)
    if not console.is_terminal:
        yield Line(console, None)
        return
    columns = (
        rich.progress.BarColumn(20),
        rich.progress.TaskProgressColumn(),
        rich.progress.TextColumn("{task.fields[text]}"),
        rich.progress.TimeRemainingColumn(),
    )
    with rich.progress.Progress(*columns, console=console) as bar:
        yield Line(console, bar)


@contextlib.contextmanager
def counted(
    what: str, total: int, console: rich.console.Console | None = None, pause: float = 10.0
) -> Iterator[Callable[[int], None]]:
    """Yield a function that is told how many of `total` pieces of work were done since its last call, and shows it on stderr.

    Args:
        what: the work in words, such as `evaluating`.
        total: number of pieces.
        console: where to write instead.
        pause: seconds between two lines of text, away from a terminal.
    """
    console = console or rich.console.Console(stderr=True)
    if console.is_terminal:
        with rich.progress.Progress(console=console, transient=True) as progress:
            bar = progress.add_task(what, total=total)
            yield lambda count: progress.advance(bar, count)
        return
    done, began = 0, time.monotonic()
    written = began

    def advance(count: int) -> None:
        nonlocal done, written
        done += count
        now = time.monotonic()
        if now - written > pause:
            written = now
            left = (now - began) * (total - done) / max(done, 1)
            line = f"{what}: {done} of {total} tasks, {left / 60:.1f} min left"
            console.print(line, highlight=False, markup=False, soft_wrap=True)

    yield advance
