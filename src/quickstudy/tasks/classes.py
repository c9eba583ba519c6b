"""ClassTasks: N-way K-shot tasks over labelled examples of any kind, each a pure function of (seed, index)."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from quickstudy.data.dataset import Dataset
from quickstudy.errors import ConfigError, TaskError
from quickstudy.inputs import InputSpec
from quickstudy.objectives.classes import OneHot
from quickstudy.task import Examples, Task
from quickstudy.tasks._draw import EVENLY, Draw
from quickstudy.tasks._hidden import tensors_of, without
from quickstudy.tasks._imbalance import apportioned, evened, listed, positions
from quickstudy.tasks._inputs import Inputs, check_has_classes
from quickstudy.tasks._random import distinct, keys, task_keys, uniform
from quickstudy.tasks._ranges import Range, shown, whole
from quickstudy.tasks._scaling import scaled_by_support


@dataclasses.dataclass(frozen=True)
class _Drawn:
    """Which examples make up each task: indices into the data set, shot-major (shot 0 of every way, then shot 1, ...).

    If ways have numbers of examples of their own, sets are lists of examples, `[task, example]`, with the way of each.
    """

    support: np.ndarray  # int64 [task, shot, way], or [task, example]
    query: np.ndarray  # int64 [task, query, way], or [task, example]
    support_mask: np.ndarray | None = None  # bool, as the examples; None: nothing is padding
    query_mask: np.ndarray | None = None
    support_way: np.ndarray | None = None  # int64 [task, example], for a list of examples
    query_way: np.ndarray | None = None


class ClassTasks:
    """Tasks that tell some classes of a data set apart. Indexing and `batch` give the same task for the same index, always.

    Args:
        dataset: labelled examples.
        ways: classes per task, or a range `(least, most)`.
        shots: support examples per class, or a range.
        queries: query examples per class.
        draw: how classes and examples are drawn, if not all alike.
        seed: which stream of tasks.

    If ways or shots differ between tasks, tasks are padded to the most, with masks; padding repeats examples of the same task.

    Raises:
        TaskError: a class has too few examples, or the data set or a group too few classes.
    """

    target: ClassVar[str] = "classes"

    def __init__(
        self,
        dataset: Dataset,
        ways: Range = 5,
        shots: Range = 1,
        queries: int = 15,
        draw: Draw = EVENLY,
        seed: int = 0,
    ) -> None:
        self.dataset, self.queries, self.seed = dataset, int(queries), int(seed)
        self.ways, self.shots = whole("ways", ways), whole("shots", shots)
        self.draw = draw
        check_has_classes(dataset)
        if queries < 1:
            raise ConfigError(f"queries is {queries}; expected at least 1 query example per class.")
        self._inputs = Inputs(dataset, self.draw.augment, self.seed)
        if draw.resample != "none" and not draw.unequal and draw.frequencies == "equal":
            raise ConfigError(
                f"resample is {draw.resample!r}, but every class of a task has as many examples; leave it out, or let their numbers "
                "differ: frequencies='natural', or unequal=True with a range of shots."
            )
        self._check_counts()
        self._check_styles()
        self._hidden = tensors_of(draw.hide_from_queries, dataset)
        self._pools, self._pool_sizes = self._make_pools()
        self._starts, self._rows = dataset.starts, dataset.rows

    def __repr__(self) -> str:
        sizes = f"ways {shown(self.ways)}, shots {shown(self.shots)}, queries {self.queries}"
        return f"<ClassTasks of {self.dataset.name}: {sizes}>"

    def __getitem__(self, index: int) -> Task:
        """Return the task of this index."""
        return self.batch([index])[0]

    def batch(self, indices: Sequence[int] | np.ndarray) -> Task:
        """Return the tasks of these indices, stacked: every tensor has one more leading axis."""
        index = np.asarray(indices, dtype=np.int64)
        drawn = self._draw(index)
        support = self._examples(index, (drawn.support, drawn.support_mask, drawn.support_way), stream=10)
        query = self._examples(index, (drawn.query, drawn.query_mask, drawn.query_way), stream=11)
        if self._hidden:
            query = dataclasses.replace(query, x=without(query.x, self._hidden))
        if self.input.scaled_by_task:
            support, query = scaled_by_support(support, query)
        return Task(support, query, torch.from_numpy(task_keys(self.seed, index)))

    @property
    def input(self) -> InputSpec:
        """Return what an example's input is; travels with the learners that are trained on these tasks."""
        return self.dataset.spec

    def classes_of(self, index: int) -> list[str]:
        """Return the names of the classes of a task, in the order of its ways; of a task with fewer ways than others, padding too."""
        return [self.dataset.classes[chosen] for chosen in self._draw_classes(np.array([index]))[0]]

    def of_other_ways(self, limit: int = 40) -> ClassTasks | None:
        """Return tasks like these with four times as many ways, or else a quarter; None if neither is possible, or if ways are a range.

        Args:
            limit: most ways; a task of more takes memory for little that is new.
        """
        least, most = self.ways
        for ways in (4 * most, max(2, most // 4)):
            if least == most != ways <= limit:
                with contextlib.suppress(TaskError):
                    return ClassTasks(self.dataset, ways, self.shots, self.queries, self.draw, self.seed)
        return None

    def fingerprint(self, count: int) -> str:
        """Return a hash of the first `count` tasks: equal hashes, equal examples in equal order."""
        hidden = f" without {self._hidden}" if self._hidden else ""
        digest = hashlib.sha256(f"{self.dataset.fingerprint} {self.draw.augment} {self.seed}{hidden}".encode())
        for begin in range(0, count, 64):  # in parts, so that memory does not grow with the number of tasks
            drawn = self._draw(np.arange(begin, min(begin + 64, count)))
            ways = [way for way in (drawn.support_way, drawn.query_way) if way is not None]
            for array in (drawn.support, drawn.support_mask, drawn.query, drawn.query_mask, *ways):
                digest.update(b"none" if array is None else repr(array.shape).encode() + array.tobytes())
        return digest.hexdigest()[:16]

    def describe(self) -> dict[str, Any]:
        """Return the protocol, named beside every result."""
        draw = dataclasses.replace(self.draw, within_groups=self.draw.within_groups or self.input.by_group)
        drawn = {name: value for name, value in dataclasses.asdict(draw).items() if value not in (False, "none", "equal", "")}
        return {
            "source": "classes",
            "dataset": self.dataset.name,
            "classes": len(self.dataset.classes),
            "ways": shown(self.ways),
            "shots": shown(self.shots),
            "queries": self.queries,
            "input": str(self.dataset.spec),
            "seed": self.seed,
            **drawn,
        }

    def _check_counts(self) -> None:
        """Raise a TaskError if a class has too few examples."""
        if self.draw.frequencies == "natural":
            self._check_natural()
            return
        needed = self.shots[1] + self.queries
        short = np.flatnonzero(self.dataset.counts < needed)
        if len(short):
            first = short[0]
            wanted = f"{_number(self.shots[1], 'shot', 'shots')} + {_number(self.queries, 'query', 'queries')} need {needed}"
            raise TaskError(
                f"class {self.dataset.classes[first]!r} of {self.dataset.name} has {self.dataset.counts[first]} {self.input.nouns}, but "
                f"{wanted} ({len(short)} of {len(self.dataset.classes)} classes "
                f"are too small). {self._advice(int(self.dataset.counts.min()))}"
            )

    def _check_styles(self) -> None:
        """Raise an error if tasks ask for one style at a time and the data knows of none."""
        if not self.draw.same_style:
            return
        if self.draw.frequencies == "natural":
            raise ConfigError("same_style goes with frequencies='equal' only; leave one of the two out.")
        if not self.dataset.styles:
            remedy = (
                "Call the files of a style alike in every class, such as CLASS/sketch.png and CLASS/photo.png, or leave it out."
            )
            raise TaskError(
                f"same_style is given, but {self.dataset.name} knows no styles of its examples. {remedy}", remedy=remedy
            )

    def _check_natural(self) -> None:
        """Raise an error if tasks in proportion to the sizes of classes cannot be drawn."""
        for name, (least, most) in {"ways": self.ways, "shots": self.shots}.items():
            if least < most:
                raise ConfigError(f"{name} is a range, {least} to {most}, but natural frequencies take one number of {name}.")
        counts, needed = np.sort(self.dataset.counts), self.ways[0] * (self.shots[0] + self.queries)
        if counts[0] < 2:
            name = self.dataset.classes[int(self.dataset.counts.argmin())]
            raise TaskError(
                f"class {name!r} of {self.dataset.name} has {counts[0]} example, but a task needs at least one to show and one to ask "
                "for. Leave the class out, or add examples."
            )
        if counts[: self.ways[0]].sum() < needed:
            raise TaskError(
                f"the {self.ways[0]} smallest classes of {self.dataset.name} have {counts[: self.ways[0]].sum()} {self.input.nouns} "
                f"together, but a task needs {needed}. Lower shots or queries, or leave these classes out."
            )

    def _advice(self, fewest: int) -> str:
        """Return what would fit a class of that many examples."""
        left = fewest - self.shots[1]
        if left < 1:
            return "Lower shots or queries, or leave these classes out."
        return f"With queries={left} all classes are large enough; or lower shots, or leave these classes out."

    def _make_pools(self) -> tuple[np.ndarray, np.ndarray]:
        """Return which classes may occur together: one pool, or one for each group that is large enough.

        Returns:
            Class indices `[pool, class]`, and how many of each row count `[pool]`.
        """
        most = self.ways[1]
        within = self.draw.within_groups or self.input.by_group
        groups = np.array(self.dataset.groups if within else [""] * len(self.dataset.groups))
        pools = [np.flatnonzero(groups == group) for group in dict.fromkeys(groups.tolist())]
        largest = max(len(pool) for pool in pools)
        if largest < most:
            where = f"the largest group of {self.dataset.name}" if within else self.dataset.name
            remedy = "Lower ways or add classes."
            raise TaskError(f"{where} has {largest} classes, but a task needs {most} ways. {remedy}", remedy=remedy)
        enough = [np.pad(pool, (0, largest - len(pool))) for pool in pools if len(pool) >= most]
        return np.stack(enough), np.array([len(pool) for pool in pools if len(pool) >= most])

    def _draw(self, index: np.ndarray) -> _Drawn:
        """Return which examples make up these tasks."""
        most_ways, most_shots = self.ways[1], self.shots[1]
        classes = self._draw_classes(index)
        if self.draw.frequencies == "natural":
            return self._draw_naturally(index, classes)
        rows = self._starts[classes][:, None, :] + self._draw_examples(index, classes, most_shots + self.queries)
        support, query = rows[:, :most_shots], rows[:, most_shots:]
        if self.ways[0] == most_ways and self.shots[0] == most_shots:
            return _Drawn(support, query)
        way_mask = np.arange(most_ways) < self._draw_between(index, self.ways, 1, stream=2)
        shots = self._draw_between(index, self.shots, most_ways if self.draw.unequal else 1, stream=3)
        support_mask = (np.arange(most_shots)[:, None] < shots[:, None, :]) & way_mask[:, None, :]
        query_mask = np.repeat(way_mask[:, None, :], self.queries, axis=1)
        if self.draw.resample != "none":
            support, support_mask = evened(support, support_mask, self.draw.resample)
        return _Drawn(_pad(support, support_mask), _pad(query, query_mask), support_mask, query_mask)

    def _draw_naturally(self, index: np.ndarray, classes: np.ndarray) -> _Drawn:
        """Return examples whose numbers follow the sizes of the classes `[task, way]`."""
        ways, sizes = classes.shape[1], self.dataset.counts[classes]
        shown, asked = ways * self.shots[0], ways * self.queries
        shots = apportioned(shown, sizes, sizes - 1)
        queries = apportioned(asked, sizes, sizes - shots)
        room = shown + asked
        rows = positions(keys(self.seed, index, stream=1, lanes=ways), sizes, shots + queries, room)
        rows = (self._starts[classes][..., None] + rows).transpose(0, 2, 1)
        place = np.arange(room)[None, :, None]
        in_support, drawn = place < shots[:, None, :], place < (shots + queries)[:, None, :]
        query, query_way = listed(rows, drawn & ~in_support, asked)
        if self.draw.resample == "none":
            support, support_way = listed(rows, in_support, shown)
            return _Drawn(support, query, support_way=support_way, query_way=query_way)
        most = self.shots[0] if self.draw.resample == "under" else shown - ways + 1  # no way can have more
        support, mask = (part[:, :most] for part in evened(rows, in_support, self.draw.resample))
        return _Drawn(_pad(support, mask), query, mask, query_way=query_way)

    def _draw_classes(self, index: np.ndarray) -> np.ndarray:
        """Return distinct classes of each task, `[task, way]`."""
        pool = self._draw_between(index, (0, len(self._pools) - 1), 1, stream=4)
        position = distinct(keys(self.seed, index, stream=0)[:, 0], self._pool_sizes[pool[:, 0]], self.ways[1])
        return self._pools[pool, position]

    def _draw_examples(self, index: np.ndarray, classes: np.ndarray, count: int) -> np.ndarray:
        """Return distinct examples of each class, as positions inside the class, `[task, example, way]`."""
        of_way = keys(self.seed, index, stream=1, lanes=classes.shape[1])
        if self.draw.same_style:  # the same positions in all classes
            of_way = of_way[:, :1].repeat(classes.shape[1], axis=1)
        position = distinct(of_way.ravel(), self.dataset.counts[classes.ravel()], count)
        return position.reshape(*classes.shape, count).transpose(0, 2, 1)

    def _draw_between(self, index: np.ndarray, between: tuple[int, int], count: int, stream: int) -> np.ndarray:
        """Return whole numbers from the least to the most, both included, `[task, count]`."""
        least, most = between
        if least == most:
            return np.full((len(index), count), least)
        return least + (uniform(self.seed, index, count, stream) * (most - least + 1)).astype(np.int64)

    def _examples(
        self, index: np.ndarray, part: tuple[np.ndarray, np.ndarray | None, np.ndarray | None], stream: int
    ) -> Examples:
        """Return the examples of one part of each task: their rows, the mask, and their ways if they are a list, as `_Drawn` has them."""
        rows, mask, way = part
        tasks, ways = len(rows), self.ways[1]
        x = self._inputs(index, torch.from_numpy(self._rows[rows].reshape(tasks, -1)), stream)
        y = (
            torch.eye(ways).repeat(rows.shape[1], 1).expand(tasks, -1, -1)
            if way is None
            else torch.eye(ways)[torch.from_numpy(way)]
        )
        return Examples(x, OneHot(y), None if mask is None else torch.from_numpy(mask.reshape(tasks, -1)))


def _number(count: int, one: str, more: str) -> str:
    """Return a number of things in words.

    >>> _number(1, "shot", "shots")
    '1 shot'
    """
    return f"{count} {one if count == 1 else more}"


def _pad(rows: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return `rows` `[task, example, way]` with the first way's first example (always real) in place of what the mask leaves out."""
    return np.where(mask, rows, rows[:, :1, :1])
