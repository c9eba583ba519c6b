"""TaskSource: what training, evaluation and export need of a source of tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

from quickstudy.inputs import InputSpec
from quickstudy.targets import ValueScale
from quickstudy.task import Task


class TaskSource(Protocol):
    """Tasks by number: each is a pure function of the source and its index, so that workers and later runs draw the same ones."""

    @property
    def input(self) -> InputSpec:
        """Return what an example's input is; travels with the learners that are trained on these tasks."""
        ...

    target: ClassVar[str]
    """Kind of answers: a name of `quickstudy.objectives`."""

    def batch(self, indices: Sequence[int] | np.ndarray) -> Task:
        """Return the tasks of these indices, stacked: every tensor has one more leading axis."""
        ...

    def __getitem__(self, index: int) -> Task:
        """Return the task of this index."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return the protocol, named beside every result."""
        ...

    def fingerprint(self, count: int) -> str:
        """Return a hash of the first `count` tasks: equal hashes, equal examples in equal order."""
        ...


def scale_of(tasks: TaskSource) -> ValueScale | None:
    """Return the scale of the values that tasks ask for; None if they are given as they are, or if the source says nothing of it."""
    return getattr(tasks, "scale", None)
