"""PooledTasks: batches of examples of all training classes at once, for learners whose training is ordinary classification.

A batch has the form of a task: an empty support set, and a query set whose right answers are classes of the whole data set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch.utils._pytree import tree_map

from quickstudy.data.dataset import Dataset
from quickstudy.errors import TaskError, check_at_least
from quickstudy.inputs import InputSpec
from quickstudy.objectives.classes import OneHot
from quickstudy.task import Examples, Task
from quickstudy.tasks._draw import EVENLY, Draw
from quickstudy.tasks._inputs import Inputs, check_has_classes
from quickstudy.tasks._random import distinct, keys, task_keys, uniform


class PooledTasks:
    """Batches of examples in which every class of a data set comes up equally often, each a pure function of (seed, index).

    Batch after batch goes through all classes in random order, and then through them again in another order; so the numbers of visits of
    two classes never differ by more than 1. Each visit draws one example of the class, all of which are equally likely.

    Args:
        dataset: labelled examples.
        batch_size: examples of a batch.
        draw: how examples are changed (`augment`); its other choices are of few-shot tasks, and change nothing here.
        seed: which stream of batches.

    Raises:
        TaskError: the data set has fewer than 2 classes, or inputs that each task's own examples scale.

    >>> from quickstudy import load_data
    >>> task = PooledTasks(load_data("digits", "train"), batch_size=4)[0]
    >>> task.support.count, task.query.y.rows.shape
    (0, torch.Size([4, 6]))
    """

    target: ClassVar[str] = "classes"

    def __init__(self, dataset: Dataset, batch_size: int = 64, draw: Draw = EVENLY, seed: int = 0) -> None:
        check_at_least("batch_size", batch_size, 1)
        check_has_classes(dataset)
        if len(dataset.classes) < 2:
            raise TaskError(f"{dataset.name} has {len(dataset.classes)} class; expected at least 2, to tell them apart.")
        if dataset.spec.scaled_by_task:
            raise TaskError(
                f"{dataset.name} holds {dataset.spec}, but batches have no support set; train with scaling='training', or choose "
                "another learner."
            )
        if draw.hide_from_queries:
            raise TaskError(
                f"hide_from_queries is {draw.hide_from_queries!r}, but batches of all classes have no support set to show what it hides; "
                "leave it out, or choose another learner."
            )
        if draw.same_style:
            raise TaskError("same_style is for tasks, but batches of all classes have no support set; leave it out.")
        self.dataset, self.batch_size, self.draw, self.seed = dataset, int(batch_size), draw, int(seed)
        self._inputs = Inputs(dataset, draw.augment, self.seed)
        self._starts, self._rows = dataset.starts, dataset.rows

    def __getitem__(self, index: int) -> Task:
        """Return the batch of this index, as a task."""
        return self.batch([index])[0]

    def batch(self, indices: Sequence[int] | np.ndarray) -> Task:
        """Return the batches of these indices, stacked: every tensor has one more leading axis."""
        index = np.asarray(indices, dtype=np.int64)
        classes, rows = self._draw(index)
        y = torch.zeros(*classes.shape, len(self.dataset.classes)).scatter_(-1, torch.from_numpy(classes).unsqueeze(-1), 1.0)
        query = Examples(self._inputs(index, torch.from_numpy(rows), stream=11), OneHot(y))
        return Task(tree_map(lambda leaf: leaf[:, :0], query), query, torch.from_numpy(task_keys(self.seed, index)))

    @property
    def input(self) -> InputSpec:
        """Return what an example's input is; travels with the learners that are trained on these batches."""
        return self.dataset.spec

    def fingerprint(self, count: int) -> str:
        """Return a hash of the first `count` batches: equal hashes, equal examples in equal order."""
        digest = hashlib.sha256(f"pooled {self.dataset.fingerprint} {self.draw.augment} {self.seed}".encode())
        for begin in range(0, count, 64):  # in parts, so that memory does not grow with the number of batches
            _, rows = self._draw(np.arange(begin, min(begin + 64, count)))
            digest.update(repr(rows.shape).encode() + rows.tobytes())
        return digest.hexdigest()[:16]

    def describe(self) -> dict[str, Any]:
        """Return the protocol, named beside every result."""
        augment = self.draw.augment
        return {
            "source": "pooled",
            "dataset": self.dataset.name,
            "classes": len(self.dataset.classes),
            "batch_size": self.batch_size,
            "input": str(self.dataset.spec),
            "seed": self.seed,
            **({} if augment == "none" else {"augment": augment}),
        }

    def _draw(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the class and the stored row of each example of these batches, int64 `[task, example]` both."""
        count = len(self.dataset.classes)
        visit = index[:, None] * self.batch_size + np.arange(self.batch_size)
        rounds, within = np.unique(visit // count, return_inverse=True)
        orders = distinct(keys(self.seed, rounds, stream=0)[:, 0], np.full(len(rounds), count), count)
        classes = orders[within.reshape(visit.shape), visit % count]
        chance = uniform(self.seed, index, self.batch_size, stream=1)
        return classes, self._rows[self._starts[classes] + (chance * self.dataset.counts[classes]).astype(np.int64)]
