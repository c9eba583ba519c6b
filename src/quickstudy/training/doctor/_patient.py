"""Patient and Finding: what a check is given, and what it returns."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from quickstudy.data.dataset import Dataset
from quickstudy.errors import check_at_least
from quickstudy.learner import Learner
from quickstudy.task import Task
from quickstudy.tasks.source import TaskSource
from quickstudy.training.evaluate import Result, evaluate
from quickstudy.training.measures import MEASURES
from quickstudy.training.saving import SavedLearner

Verdict = Literal["good", "look", "bad", "does not apply"]
"""Judgement of a check: `look` asks for a look at something that may be as it should be."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """Answer of one check.

    Args:
        verdict: the judgement.
        found: what was measured, in words; of a check that does not apply, the reason.
        advice: what to do; empty if there is nothing to do.
        figures: what was measured, as plain values.
    """

    verdict: Verdict
    found: str
    advice: str = ""
    figures: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def does_not_apply(why: str) -> Finding:
    """Return the finding of a check that does not apply."""
    return Finding("does not apply", why)


@dataclasses.dataclass(frozen=True)
class Patient:
    """A trained learner, and tasks that it has not seen.

    Args:
        saved: the learner.
        tasks: tasks as it will meet them.
        count: number of tasks that are looked at.
        splits: data of each split of the run, by what it is for; empty if tasks are drawn from no data.
    """

    saved: SavedLearner
    tasks: TaskSource
    count: int = 100
    splits: Mapping[str, Dataset] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        check_at_least("tasks", self.count, 1)

    @property
    def learner(self) -> Learner:
        """Return the learner itself."""
        return self.saved.learner

    @functools.cached_property
    def result(self) -> Result:
        """Return how the learner does on the tasks."""
        return evaluate(self.saved, self.tasks, self.count)

    def each(self, count: int | None = None, batch: int = 16) -> Iterator[Task]:
        """Yield the first tasks, all of them or `count`, one by one; they are drawn `batch` at a time."""
        count = min(self.count, count or self.count)
        for begin in range(0, count, batch):
            drawn = self.tasks.batch(range(begin, min(begin + batch, count)))
            yield from (self.learner.matched(drawn[index]) for index in range(drawn.count))

    def scores(self, predict: Callable[[Task], Tensor]) -> np.ndarray:
        """Return the score of each task, `[task]`, of another way to predict its queries."""
        measure = MEASURES[self.tasks.target]
        with torch.no_grad():
            return np.array([float(measure.score(predict(task), task.query)) for task in self.each()])
