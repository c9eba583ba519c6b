"""Tracker: the metrics of a run as `metrics.csv` and TensorBoard events; rows beyond a resumed step are dropped first."""

from __future__ import annotations

import csv
import io
import pathlib
from collections.abc import Mapping

from quickstudy.storage import write_atomically

COLUMNS: tuple[str, ...] = ("step", "seconds", "loss", "lr", "tasks_per_second", "validation_accuracy", "validation_ci95")


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
        import tensorboardX  # imported late: it takes most of a second

        path = out / "metrics.csv"
        kept = [row for row in read_metrics(path) if int(row["step"]) <= step] if step and path.exists() else []
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows(kept)
        write_atomically(path, text.getvalue().encode())
        self._file = path.open("a", newline="", buffering=1)
        self._writer = csv.DictWriter(self._file, COLUMNS)
        self._events = tensorboardX.SummaryWriter(str(out / "tensorboard"), purge_step=step + 1 if step else None)

    def log(self, step: int, row: Mapping[str, float]) -> None:
        """One row of metrics."""
        if self._file is None or self._events is None:
            return
        self._writer.writerow({"step": step} | {name: f"{value:.6g}" for name, value in row.items()})
        for name, value in row.items():
            self._events.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close both files."""
        if self._file is not None and self._events is not None:
            self._file.close()
            self._events.close()


def read_metrics(path: pathlib.Path) -> list[dict[str, str]]:
    """The rows of a `metrics.csv`."""
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if (row.get("step") or "").isdigit()]
