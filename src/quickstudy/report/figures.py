"""Figures of a saved learner beside its accuracy: seconds to adapt, bytes in ONNX, and how well it tells classes that it was not shown."""

from __future__ import annotations

import dataclasses
import pathlib
import statistics
import tempfile
import time
from typing import Any

import numpy as np
from torch.utils._pytree import tree_map

from quickstudy.errors import QuickstudyError
from quickstudy.export.bundle import to_bundle
from quickstudy.export.calibrate import separation
from quickstudy.runtime import bundle as bundles
from quickstudy.runtime.engines import Engine
from quickstudy.runtime.onnx_engine import OnnxEngine
from quickstudy.runtime.skill_file import engine_of
from quickstudy.task import Task
from quickstudy.tasks.classes import ClassTasks
from quickstudy.tasks.source import TaskSource
from quickstudy.training.exported import arrays
from quickstudy.training.saving import SavedLearner

PASSES = 20
"""Number of times that a task is adapted to; the seconds are their median, because other processes slow some of them down."""


@dataclasses.dataclass(frozen=True)
class Figures:
    """Figures of one learner, for tasks of one size. What could not be measured is None.

    Args:
        adapt_seconds: seconds to adapt to one task in PyTorch.
        onnx_bytes: size of the learner's file for `quickstudy.runtime`.
        onnx_adapt_seconds: seconds to adapt to one task in onnxruntime.
        not_exported: why there is no such file; empty if there is one.
        auroc: area under the ROC curve by which queries of classes that were shown are told from other queries, in [0, 1].
        no_auroc: why there is none; empty if there is one.
    """

    adapt_seconds: float
    onnx_bytes: int | None = None
    onnx_adapt_seconds: float | None = None
    not_exported: str = ""
    auroc: float | None = None
    no_auroc: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; reasons only where a figure is lacking."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value != ""}


def measure(saved: SavedLearner, tasks: TaskSource, count: int = 200) -> Figures:
    """Measure a learner.

    Args:
        saved: the learner.
        tasks: tasks as it will meet them; the first one is adapted to.
        count: number of tasks by which unknown classes are told.
    """
    task = tasks.batch([0])[0]
    auroc, no_auroc = _auroc(saved, tasks, count)
    figures = Figures(_seconds(engine_of(saved), task), auroc=auroc, no_auroc=no_auroc)
    try:
        bundle = to_bundle(saved)
    except QuickstudyError as error:
        return dataclasses.replace(figures, not_exported=str(error))
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "learner.qs"
        bundles.write(file, bundle)
        size = file.stat().st_size
    return dataclasses.replace(figures, onnx_bytes=size, onnx_adapt_seconds=_seconds(OnnxEngine(bundle), task))


def _seconds(engine: Engine, task: Task) -> float:
    """Return the median seconds of adapting to a task; the first pass warms up and does not count."""
    real = task.support.weight > 0
    name = next(iter(engine.reader_for(None).layout()))
    shown = arrays(tree_map(lambda part: part[real], task.support.x), name)
    y, settings, passes = task.support.y.rows[real].numpy(), engine.defaults, []
    for _ in range(PASSES + 1):
        begin = time.perf_counter()
        engine.adapt(shown, y, settings)
        passes.append(time.perf_counter() - begin)
    return statistics.median(passes[1:])


def _auroc(saved: SavedLearner, tasks: TaskSource, count: int) -> tuple[float | None, str]:
    """Return the area under the ROC curve, or why there is none. As many other classes are asked for as are shown."""
    if not isinstance(tasks, ClassTasks):
        return None, "the tasks have no classes"
    known, classes = tasks.ways[0], tasks.dataset.most_ways(tasks.draw.within_groups)
    ways = min(2 * known, classes)
    if ways <= known:
        return None, f"{tasks.dataset.name} has {classes} classes; expected more than the {known} that are shown"
    queries = int(min(tasks.queries, np.min(tasks.dataset.counts) - tasks.shots[1]))
    with_others = ClassTasks(tasks.dataset, ways, tasks.shots, queries, tasks.draw, tasks.seed)
    return separation(saved, with_others, known, count), ""
