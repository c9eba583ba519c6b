"""Source: the data set on which an export is calibrated and measured, as tasks: the learner's own or another one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from quickstudy import data
from quickstudy.data.dataset import Dataset
from quickstudy.errors import ConfigError, TaskError, UserError
from quickstudy.tasks.classes import ClassTasks
from quickstudy.training.saving import SavedLearner


@dataclasses.dataclass(frozen=True)
class Source:
    """Tasks of one data set, for one learner.

    Args:
        saved: the learner.
        name: a known set, or a path; None for the set that the learner was trained on.
        data_dir: folder that holds known sets.
        wishes: what is said of the data, as `load` takes it, such as the names of a table's columns.
        ways: classes of a task, for a learner that takes any number.
        seed: of the tasks to calibrate on, so that they are none of those to measure on.
    """

    saved: SavedLearner
    name: str | None = None
    data_dir: str | None = None
    ways: int = 5
    seed: int = 2_000_003
    wishes: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def tasks(self, split: str, shots: int | tuple[int, int], queries: int, seed: int = 0) -> ClassTasks:
        """Return tasks as `ClassTasks` makes them, with fewer ways, shots or queries if the split has fewer.

        Raises:
            ConfigError: the data cannot be loaded, or is not what the learner takes.
            TaskError: the split has fewer classes than the learner's head needs, or classes of a single example.
        """
        dataset = self.split(split)
        least, classes = int(dataset.counts.min()), dataset.most_ways()
        low, high = (shots, shots) if isinstance(shots, int) else shots
        high = max(1, min(high, least // 2))
        queries = max(1, min(queries, least - high))
        return ClassTasks(dataset, self.head or min(self.ways, classes), (min(low, high), high), queries, seed=seed)

    def tasks_with_others(self, split: str) -> tuple[ClassTasks, int]:
        """Return tasks to calibrate on that have classes which the learner is not shown, and how many it is shown.

        There are up to as many other classes as it is shown, and 1 to 5 shots.

        Raises:
            TaskError: the split has too few classes.
        """
        classes = self.split(split).most_ways()
        known = self.head or min(self.ways, classes // 2)
        if not 2 <= known < classes:
            raise TaskError(
                f"{split} has {classes} classes that can be compared; expected at least {max(4, known + 1)}, for known and for other ones."
            )
        found = self.tasks(split, (1, 5), 5)
        return ClassTasks(found.dataset, min(2 * known, classes), found.shots, found.queries, seed=self.seed), known

    @property
    def head(self) -> int | None:
        """Return the number of ways to which the learner's head is fixed; None if it takes any number."""
        return self.saved.learner.ways

    def split(self, split: str) -> Dataset:
        """Return the examples of a split.

        Raises:
            ConfigError: the data cannot be loaded, or is not what the learner takes.
        """
        spec, name = self.saved.spec, self.name or self._trained_on()
        if spec is None:
            raise ConfigError(
                "this learner is on rows of numbers, for which no tasks can be loaded. Export it without --int8 and --data, or in Python "
                "quantise it on tasks of your own (quickstudy.export.onnx.int8.to_int8)."
            )
        try:
            return data.load(name, split, spec=spec, data_dir=self.data_dir, **self.wishes)
        except UserError as error:
            raise ConfigError(
                f"{name} ({split}), on which to calibrate and measure, cannot be loaded: {error} Name the folder or file of that data with "
                "--data, or export in float32 without --data."
            ) from error

    def _trained_on(self) -> str:
        found = dict(self.saved.info.get("trained_on") or {}).get("dataset")
        if not found:
            raise ConfigError("this learner does not say what it was trained on; say with --data what to calibrate on.")
        return found.partition("/")[0]
