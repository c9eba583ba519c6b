"""Tracker: the metrics of a run as `metrics.csv` and TensorBoard events; rows beyond a resumed step are dropped first."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import os
import pathlib
import platform
import time
from collections.abc import Iterator, Mapping
from typing import Any

from quickstudy.errors import StorageError
from quickstudy.storage import write_atomically
from quickstudy.training.folder import EVENTS
from quickstudy.training.measures import MEASURES

COLUMNS: tuple[str, ...] = (
    *("step", "seconds", "loss", "lr", "tasks_per_second"),
    *dict.fromkeys(f"validation_{one.key}" for measure in MEASURES.values() for one in measure.measures),
    "validation_ci95",
)


class Tracker:
    """Appends one row per step to `out/metrics.csv` and to TensorBoard's events; does nothing without a folder.

    Args:
        out: folder of the run, or None.
        step: where the run goes on; later rows of an interrupted run are dropped.
    """

    def __init__(self, out: pathlib.Path | None, step: int) -> None:
        self._file = self._events = None
        if out is None:
            return
        self._out = out
        path = out / "metrics.csv"
        kept = [row for row in read_metrics(path) if int(row["step"]) <= step] if step and path.exists() else []
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows(kept)
        write_atomically(path, text.getvalue().encode())
        with self._writing():
            self._file = path.open("a", newline="", buffering=1)
            self._writer = csv.DictWriter(self._file, COLUMNS)
            self._events = Events(out / EVENTS, step)

    def log(self, step: int, row: Mapping[str, float]) -> None:
        """Write one row of metrics.

        Raises:
            StorageError: the disk is full.
        """
        if self._file is None or self._events is None:
            return
        with self._writing():
            self._writer.writerow({"step": step} | {name: f"{value:.6g}" for name, value in row.items()})
            self._events.add(step, row)
            if "validation_ci95" in row:
                self._events.flush()

    def close(self) -> None:
        """Flush and close both files."""
        if self._file is None or self._events is None:
            return
        with self._writing():
            self._file.close()
            self._events.close()

    def _give_up(self) -> None:
        """Close both files, whatever the system says, and write no more."""
        for file in filter(None, (self._file, self._events)):
            with contextlib.suppress(OSError):
                file.close()
        self._file = self._events = None

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn the system's error about a file that cannot be written any more into ours, and never write it again."""
        try:
            yield
        except OSError as error:
            self._give_up()
            raise StorageError(
                f"could not write the metrics in {self._out}: {error.strerror or error}; the last checkpoint is unchanged. "
                "Free some space and resume."
            ) from error


class Events:
    """TensorBoard's file of events, written in this thread: tensorboardX's own writes in another one, and a full disk stops it for ever.

    Args:
        folder: made where it is missing.
        step: where the run goes on; TensorBoard hides what earlier files hold beyond it.
    """

    def __init__(self, folder: pathlib.Path, step: int) -> None:
        # imported late: it takes most of a second
        from tensorboardX.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]
        from tensorboardX.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
        from tensorboardX.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        self._make_event, self._make_summary = Event, Summary
        begun = f"{time.time():.0f}.{platform.node()}.{os.getpid()}"
        self._file = RecordWriter(str(folder / f"events.out.tfevents.{begun}.{step}"))
        self._write(file_version="brain.Event:2")
        if step:
            self._write(step=step + 1, session_log=SessionLog(status=SessionLog.START))

    def add(self, step: int, row: Mapping[str, float]) -> None:
        """Write one number for each name; NaN and infinity have no place in a plot."""
        numbers = {name: value for name, value in row.items() if math.isfinite(value)}
        values = [self._make_summary.Value(tag=name, simple_value=value) for name, value in numbers.items()]
        self._write(step=step, summary=self._make_summary(value=values))

    def flush(self) -> None:
        """Write what waits to the disk."""
        self._file.flush()

    def close(self) -> None:
        """Flush and close."""
        self._file.close()

    def _write(self, **fields: Any) -> None:
        self._file.write(self._make_event(wall_time=time.time(), **fields).SerializeToString())


def read_metrics(path: pathlib.Path) -> list[dict[str, str]]:
    """Return the rows of a `metrics.csv`."""
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if (row.get("step") or "").isdigit()]
