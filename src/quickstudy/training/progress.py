"""Progress of long work: one line with loss, validation accuracy, tasks per second and time left; a log line now and then in a pipe."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Protocol

import rich.console
import rich.progress

from quickstudy.training.measures import MEASURES


class Progress(Protocol):
    """Who is told how far a training is."""

    def update(self, done: float, row: Mapping[str, float]) -> None:
        """`done` in [0, 1], and the metrics of the latest step."""
        ...

    def note(self, text: str) -> None:
        """Something worth knowing once."""
        ...


class Silent:
    """Tells nobody."""

    def update(self, done: float, row: Mapping[str, float]) -> None:
        del done, row

    def note(self, text: str) -> None:
        del text


silent = Silent()


class Line:
    """One line on a terminal, redrawn in place; elsewhere a line of text every 30 seconds.

    Args:
        console: where to write.
        bar: the bar that is drawn, None away from a terminal.
    """

    def __init__(self, console: rich.console.Console, bar: rich.progress.Progress | None) -> None:
        self._console, self._bar = console, bar
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
        text = f"loss {self._loss:.3f}{self._validation}  {row['tasks_per_second']:.0f} tasks/s"
        now = time.monotonic()
        if self._start is None:  # of a resumed run, the first part was done before
            self._start, self._began, self._written = done, now, now
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, text=text)
        elif now - self._written > 30 or done >= 1:
            self._written = now
            left = (now - self._began) * (1 - done) / max(done - self._start, 1e-9)
            self._console.print(f"{100 * done:3.0f} %  {text}  {left / 60:.1f} min left", highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


@contextlib.contextmanager
def progress_line(console: rich.console.Console | None = None) -> Iterator[Line]:
    """A `Line` on stderr, for `fit(..., progress=line)`."""
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
