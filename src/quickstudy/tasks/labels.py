"""LabelTasks: tasks in which an example has any of some labels, or none, each a pure function of (seed, index)."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Int

from quickstudy.data.dataset import Dataset, DataWarning
from quickstudy.data.tree import shortened
from quickstudy.errors import TaskError, check_at_least
from quickstudy.inputs import InputSpec
from quickstudy.objectives.labels import MultiHot
from quickstudy.task import Examples, Task
from quickstudy.tasks._draw import EVENLY, Draw
from quickstudy.tasks._inputs import Inputs
from quickstudy.tasks._random import distinct, keys, task_keys, uniform
from quickstudy.tasks._scaling import scaled_by_support


class LabelTasks:
    """Tasks of some labels of a data set. Indexing and `batch` give the same task for the same index, always.

    A support set has at least `shots` examples of each label. Together they are `shots` times the number of labels, and `shots` more:
    those with the fewest of the task's labels, none if there are such. The query set is made in the same way of other examples, as far as
    the data has enough of each label.

    Args:
        dataset: examples with label sets.
        ways: labels per task.
        shots: support examples of each label, at least.
        queries: query examples of each label, about.
        draw: how examples are changed (`augment`); its other choices are of tasks that tell classes apart, and change nothing here.
        seed: which stream of tasks.

    Raises:
        TaskError: the data set has no label sets, too few examples, or too few labels that enough examples have.

    >>> from quickstudy.data.arrays import from_label_sets
    >>> data = from_label_sets(np.eye(12, dtype=np.float32), ["red", "round", "red;round"] * 3 + [""] * 3)
    >>> task = LabelTasks(data, ways=2, shots=1, queries=1)[0]
    >>> task.support.y.rows.shape
    torch.Size([3, 2])
    """

    target: ClassVar[str] = "labels"

    def __init__(
        self, dataset: Dataset, ways: int = 5, shots: int = 5, queries: int = 5, draw: Draw = EVENLY, seed: int = 0
    ) -> None:
        for name, value in {"ways": ways, "shots": shots, "queries": queries}.items():
            if not isinstance(value, int | np.integer):
                raise TaskError(f"{name} is {value}; expected one number, because all tasks of labels are of one size.")
            check_at_least(name, value, 1)
        if draw != Draw(augment=draw.augment):
            raise TaskError(f"draw is {draw}, but tasks of labels know augment only; leave the other choices out.")
        self.dataset, self.ways, self.shots, self.queries = dataset, int(ways), int(shots), int(queries)
        self.draw, self.seed = draw, seed
        if dataset.label_sets is None:
            remedy = "Name their column with labels='COLUMN', or take tasks='classes'."
            raise TaskError(f"{dataset.name} has no label sets, but these tasks ask for them. {remedy}", remedy=remedy)
        self._rows = dataset.rows
        self._sets: Bool[np.ndarray, "row label"] = dataset.label_sets[self._rows]
        self._labels = self._frequent()
        self._inputs = Inputs(dataset, draw.augment, seed)

    def __repr__(self) -> str:
        return f"<LabelTasks of {self.dataset.name}: ways {self.ways}, shots {self.shots}, queries {self.queries}>"

    def __getitem__(self, index: int) -> Task:
        """Return the task of this index."""
        return self.batch([index])[0]

    def batch(self, indices: Sequence[int] | np.ndarray) -> Task:
        """Return the tasks of these indices, stacked: every tensor has one more leading axis."""
        index = np.asarray(indices, dtype=np.int64)
        labels = self._draw_labels(index)
        rows = self._draw_rows(index, labels)
        support, query = (
            self._examples(index, part, labels, stream)
            for part, stream in zip(np.split(rows, [(self.ways + 1) * self.shots], axis=1), (10, 11), strict=True)
        )
        if self.input.scaled_by_task:
            support, query = scaled_by_support(support, query)
        return Task(support, query, torch.from_numpy(task_keys(self.seed, index)))

    @property
    def input(self) -> InputSpec:
        """Return what an example's input is; travels with the learners that are trained on these tasks."""
        return self.dataset.spec

    def labels_of(self, index: int) -> list[str]:
        """Return the labels of a task, in the order of its columns."""
        return [self.dataset.label_names[label] for label in self._draw_labels(np.array([index]))[0]]

    def fingerprint(self, count: int) -> str:
        """Return a hash of the first `count` tasks: equal hashes, equal examples in equal order."""
        about = f"labels {self.dataset.fingerprint} {self.draw.augment} {self.ways} {self.shots} {self.seed}"
        digest = hashlib.sha256(about.encode())
        for begin in range(0, count, 64):  # in parts, so that memory does not grow with the number of tasks
            index = np.arange(begin, min(begin + 64, count))
            labels = self._draw_labels(index)
            digest.update(labels.tobytes() + self._draw_rows(index, labels).tobytes())
        return digest.hexdigest()[:16]

    def describe(self) -> dict[str, Any]:
        """Return the protocol, named beside every result."""
        return {
            "source": "labels",
            "dataset": self.dataset.name,
            "labels": len(self._labels),
            "ways": self.ways,
            "shots": self.shots,
            "queries": self.queries,
            "input": str(self.input),
            "seed": self.seed,
            **({} if self.draw.augment == "none" else {"augment": self.draw.augment}),
        }

    def _frequent(self) -> Int[np.ndarray, " label"]:
        """Return the labels that enough examples have, and some lack; the others are counted in a warning."""
        counts, total = self._sets.sum(0), len(self._sets)
        found = np.flatnonzero((counts > self.shots) & (counts < total))
        needed = (self.ways + 1) * (self.shots + self.queries)
        if total < needed:
            raise TaskError(
                f"{self.dataset.name} has {total} {self.input.nouns}, but a task of {self.ways} labels with {self.shots} shots and "
                f"{self.queries} queries of each needs {needed}. Lower ways, shots or queries."
            )
        if len(found) < self.ways:
            raise TaskError(
                f"{self.dataset.name} has {len(found)} labels that more than {self.shots} of its {self.input.nouns} have, and some have "
                f"not, but a task needs {self.ways}. Lower ways or shots, or add examples."
            )
        if len(found) < len(counts):
            lost = [self.dataset.label_names[label] for label in np.setdiff1d(np.arange(len(counts)), found)]
            warnings.warn(
                f"{self.dataset.name}: {len(lost)} of {len(counts)} labels are left out, which no more than {self.shots} of the "
                f"{self.input.nouns} have, or all of them ({shortened(lost)}).",
                DataWarning,
                stacklevel=4,
            )
        return found

    def _draw_labels(self, index: Int[np.ndarray, " task"]) -> Int[np.ndarray, "task way"]:
        """Return different labels for each task."""
        among = np.full(len(index), len(self._labels))
        return self._labels[distinct(keys(self.seed, index, stream=0)[:, 0], among, self.ways)]

    def _draw_rows(
        self, index: Int[np.ndarray, " task"], labels: Int[np.ndarray, "task way"]
    ) -> Int[np.ndarray, "task example"]:
        """Return different examples for each task, those of the support set first."""
        found = []
        for one, chosen in zip(index, labels, strict=True):
            order = np.argsort(uniform(self.seed, np.array([one]), len(self._sets), stream=1)[0], kind="stable")
            sets = self._sets[order][:, chosen]
            free = np.ones(len(order), dtype=bool)
            parts = [_part(sets, free, count) for count in (self.shots, self.queries)]
            found.append(order[np.concatenate(parts)])
        return np.stack(found)

    def _examples(self, index: np.ndarray, rows: np.ndarray, labels: np.ndarray, stream: int) -> Examples:
        """Return the examples of one part of each task."""
        y = self._sets[rows[:, :, None], labels[:, None, :]]
        x = self._inputs(index, torch.from_numpy(self._rows[rows]), stream)
        return Examples(x, MultiHot(torch.from_numpy(y).to(torch.get_default_dtype())))


def _part(sets: Bool[np.ndarray, "row way"], free: Bool[np.ndarray, " row"], each: int) -> Int[np.ndarray, " example"]:
    """Return `each` times (ways + 1) rows, the first ones that are free, with at least `each` of every label as far as there are so many.

    Args:
        sets: which labels of the task each row has, in the order in which rows are taken.
        free: rows that may be taken; those that are taken are struck out.
        each: number of examples of each label.
    """
    taken: list[int] = []
    for way in np.argsort(sets.sum(0), kind="stable"):  # rare labels first
        lacking = max(0, each - int(sets[taken, way].sum()))
        more = np.flatnonzero(sets[:, way] & free)[:lacking]
        taken += more.tolist()
        free[more] = False
    rest = np.flatnonzero(free)
    fewest = rest[np.argsort(sets[rest].sum(1), kind="stable")][: each * (sets.shape[1] + 1) - len(taken)]
    free[fewest] = False
    return np.array([*taken, *fewest.tolist()])
