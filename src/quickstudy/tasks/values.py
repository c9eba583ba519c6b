"""ValueTasks: tasks that predict numbers, such as one patient's curve from a few of its points, each a pure function of (seed, index)."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from quickstudy.data.dataset import Dataset, DataWarning
from quickstudy.errors import TaskError, check_at_least
from quickstudy.inputs import InputSpec
from quickstudy.objectives.values import Values
from quickstudy.targets import ValueScale
from quickstudy.task import Examples, Task
from quickstudy.tasks._inputs import Inputs
from quickstudy.tasks._random import distinct, keys, task_keys, uniform
from quickstudy.tasks._ranges import Range, shown, whole
from quickstudy.tasks._scaling import scaled_by_support


class _Drawn(NamedTuple):
    """Examples that make up each task; padding repeats the task's first one.

    Attributes:
        examples: places in the data set, those of the support set first, int64 `[task, shot + query]`.
        real: False for padding, bool `[task, shot + query]`.
    """

    examples: np.ndarray
    real: np.ndarray


class ValueTasks:
    """Tasks of one group of a data set each: some of its rows are learned from, and the values of others are to be predicted.

    A group with fewer rows than shots and queries keeps one row at least as a query, and gives as many shots and queries as it has; tasks
    are then padded to the most, with masks. All rows of a group are equally likely in both sets, and none is in both.

    Args:
        dataset: examples with values, in groups.
        shots: support examples of each task, or a range `(least, most)`.
        queries: query examples of each task, at most.
        seed: which stream of tasks.

    Raises:
        TaskError: the data set has no values, or all groups have too few rows.

    >>> import pathlib, tempfile
    >>> from quickstudy.data import load
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "heights.csv")
    ...     _ = file.write_text("child,age,height\\nann,2,86\\nann,4,102\\nann,6,115\\nbob,3,95\\nbob,5,109\\nbob,8,127")
    ...     data = load(file, "all", group="child", value="height")
    >>> task = ValueTasks(data, shots=2, queries=1)[0]
    >>> task.support.x.shape, task.query.y.rows.shape
    (torch.Size([2, 1, 1]), torch.Size([1, 1]))
    """

    target: ClassVar[str] = "values"

    def __init__(self, dataset: Dataset, shots: Range = (1, 10), queries: int = 10, seed: int = 0) -> None:
        self.dataset, self.queries, self.seed = dataset, int(queries), int(seed)
        self.shots = whole("shots", shots)
        check_at_least("queries", queries, 1)
        if dataset.values is None:
            remedy = "Name the column of values with value='COLUMN', or take tasks='classes'."
            raise TaskError(f"{dataset.name} holds classes, but these tasks ask for values. {remedy}", remedy=remedy)
        self._groups = self._large_enough()
        self._counts, self._starts, self._rows = dataset.counts[self._groups], dataset.starts[self._groups], dataset.rows
        self._padded = self.shots[0] < self.shots[1] or int(self._counts.min()) < self.shots[1] + self.queries
        self._inputs = Inputs(dataset, "none", self.seed)
        assert dataset.scale is not None  # it comes with values
        self._values = torch.from_numpy(dataset.scale.scaled(dataset.values)).to(torch.get_default_dtype())
        self._unit = torch.tensor(dataset.scale.spread)

    def __repr__(self) -> str:
        return f"<ValueTasks of {self.dataset.name}: shots {shown(self.shots)}, queries {self.queries}>"

    def __getitem__(self, index: int) -> Task:
        """Return the task of this index."""
        return self.batch([index])[0]

    def batch(self, indices: Sequence[int] | np.ndarray) -> Task:
        """Return the tasks of these indices, stacked: every tensor has one more leading axis."""
        index, shots = np.asarray(indices, dtype=np.int64), self.shots[1]
        drawn = self._draw(index)
        support = self._examples(index, drawn.examples[:, :shots], drawn.real[:, :shots])
        query = self._examples(index, drawn.examples[:, shots:], drawn.real[:, shots:])
        if self.input.scaled_by_task:
            support, query = scaled_by_support(support, query)
        return Task(support, query, torch.from_numpy(task_keys(self.seed, index)))

    @property
    def input(self) -> InputSpec:
        """Return what an example's input is; travels with the learners that are trained on these tasks."""
        return self.dataset.spec

    @property
    def scale(self) -> ValueScale | None:
        """Return the scale at which learners see the values; travels with the learners that are trained on these tasks."""
        return self.dataset.scale

    def group_of(self, index: int) -> str:
        """Return the name of the group that a task is made of."""
        return self.dataset.classes[self._groups[self._draw_groups(np.array([index]))[0]]]

    def fingerprint(self, count: int) -> str:
        """Return a hash of the first `count` tasks: equal hashes, equal examples in equal order."""
        digest = hashlib.sha256(f"values {self.dataset.fingerprint} {self.seed}".encode())
        for begin in range(0, count, 64):  # in parts, so that memory does not grow with the number of tasks
            for array in self._draw(np.arange(begin, min(begin + 64, count))):
                digest.update(repr(array.shape).encode() + array.tobytes())
        return digest.hexdigest()[:16]

    def describe(self) -> dict[str, Any]:
        """Return the protocol, named beside every result."""
        assert self.scale is not None
        return {
            "source": "values",
            "dataset": self.dataset.name,
            "values": ", ".join(self.scale.names),
            "groups": len(self._groups),
            "shots": shown(self.shots),
            "queries": self.queries,
            "input": str(self.dataset.spec),
            "seed": self.seed,
        }

    def _large_enough(self) -> np.ndarray:
        """Return the groups that have the least shots and a query, int64 `[group]`; the others are counted in a warning."""
        counts, needed = self.dataset.counts, self.shots[0] + 1
        found = np.flatnonzero(counts >= needed)
        if not len(found):
            most = int(counts.max())
            remedy = (
                "Lower shots, or add rows to the groups." if most > 1 else "Name another column of groups, or add rows to them."
            )
            raise TaskError(
                f"the largest group of {self.dataset.name} has {most} rows, but {self.shots[0]} shots and a query need {needed}. {remedy}",
                remedy=remedy,
            )
        if len(found) < len(counts):
            warnings.warn(
                f"{self.dataset.name}: {len(counts) - len(found)} of {len(counts)} groups have fewer than {needed} rows, which "
                f"{self.shots[0]} shots and a query need, and are left out.",
                DataWarning,
                stacklevel=4,
            )
        return found

    def _draw_groups(self, index: np.ndarray) -> np.ndarray:
        """Return the place of each task's group among those that are large enough, `[task]`."""
        return (uniform(self.seed, index, 1, stream=0)[:, 0] * len(self._groups)).astype(np.int64)

    def _draw(self, index: np.ndarray) -> _Drawn:
        """Return which examples make up these tasks."""
        (least, most), queries = self.shots, self.queries
        groups = self._draw_groups(index)
        counts = self._counts[groups]
        highest = np.minimum(most, counts - 1)
        shots = least + (uniform(self.seed, index, 1, stream=3)[:, 0] * (highest - least + 1)).astype(np.int64)
        order = self._orders(index, counts)
        asked = shots[:, None] + np.arange(queries)
        places = np.concatenate([np.broadcast_to(np.arange(most), (len(index), most)), asked], axis=1)
        real = np.concatenate([np.arange(most) < shots[:, None], asked < counts[:, None]], axis=1)
        within = np.take_along_axis(order, np.where(real, places, 0), axis=1)
        return _Drawn(self._starts[groups][:, None] + within, real)

    def _orders(self, index: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Return distinct rows of each task's group in random order, as places inside the group, `[task, shot + query]`."""
        wanted = self.shots[1] + self.queries
        order, taken = np.zeros((len(index), wanted), dtype=np.int64), np.minimum(counts, wanted)
        streams = keys(self.seed, index, stream=1)[:, 0]
        for count in np.unique(taken).tolist():
            some = taken == count
            order[some, :count] = distinct(streams[some], counts[some], count)
        return order

    def _examples(self, index: np.ndarray, examples: np.ndarray, real: np.ndarray) -> Examples:
        """Return the examples of these places in the data set, `[task, example]`."""
        chosen = torch.from_numpy(self._rows[examples])
        y = self._values[chosen]
        unit: Tensor = self._unit.to(y.dtype).expand_as(y)
        mask = torch.from_numpy(real) if self._padded else None
        return Examples(self._inputs(index, chosen, stream=10), Values(y, unit.contiguous()), mask)
