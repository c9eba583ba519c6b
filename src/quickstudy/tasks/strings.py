"""StringTasks: tasks that write down what is said. A task is one voice, some strings of which are shown, and others asked for.

A voice is a group of a data set. A string is either one example, whose class is its transcript, or several examples one after the other, as
words are in speech: their silent ends are cut off, short gaps come between them, and the whole lies in the middle of a picture of the
usual size. What is joined to be learned from and what is joined to be asked for are different recordings of each symbol.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from quickstudy.data.dataset import Dataset, DataWarning
from quickstudy.errors import ConfigError, TaskError, check_at_least
from quickstudy.inputs import InputSpec
from quickstudy.objectives.sequences import Tokens
from quickstudy.targets.sequences import SPACE, SequenceTarget, check_frames
from quickstudy.task import Examples, Task
from quickstudy.tasks._draw import EVENLY, Draw
from quickstudy.tasks._inputs import Inputs, check_has_classes
from quickstudy.tasks._random import distinct, keys, task_keys, uniform
from quickstudy.tasks._ranges import shown, whole
from quickstudy.tasks._strings import WHOLE, Strings
from quickstudy.tasks.augment import augmentation

JOINING = {"gap": 3, "share": 0.75, "short": 1.1}
"""Most columns of silence behind each joined example; share of the examples that are no longer than what is taken for usual; factor by
which the longest strings may usually be too long before that is said."""


class _Drawn(NamedTuple):
    """Which examples make up each string.

    Attributes:
        rows: stored row of each, `[task, string, place]`.
        classes: class of each, `[task, string, place]`.
        lengths: how many there are, `[task, string]`.
    """

    rows: np.ndarray
    classes: np.ndarray
    lengths: np.ndarray


class StringTasks:
    """Tasks of transcripts. Indexing and `batch` give the same task for the same index, always.

    Args:
        dataset: examples whose groups are voices, accents or languages, and whose classes are symbols or transcripts.
        shots: strings to learn from.
        queries: strings to be judged on.
        strings: what strings are.
        draw: how examples are changed (`augment`); its other choices are of tasks that tell classes apart: those of styles and parts are
                refused, the others change nothing.
        seed: which stream of tasks.

    Raises:
        TaskError: a group has too few examples, or `draw` has choices that strings do not have.
        DataError: a transcript has a symbol that is not in the alphabet.

    >>> from quickstudy.data.arrays import from_arrays
    >>> data = from_arrays(np.zeros((80, 8, 8), np.uint8), ["ann/one", "ann/two", "bob/one", "bob/two"] * 20)
    >>> task = StringTasks(data, shots=2, queries=3)[0]
    >>> task.support.y.places.shape, task.query.y.places.shape
    (torch.Size([2, 3, 7]), torch.Size([3, 3, 7]))
    """

    target: ClassVar[str] = "sequences"
    usual_net: ClassVar[str] = "frames"

    def __init__(
        self,
        dataset: Dataset,
        shots: int = 5,
        queries: int = 15,
        strings: Strings = WHOLE,
        draw: Draw = EVENLY,
        seed: int = 0,
    ) -> None:
        check_has_classes(dataset)
        if draw.same_style or draw.hide_from_queries:
            raise TaskError("same_style and hide_from_queries are for tasks of classes, not for strings; leave them out.")
        check_at_least("shots", shots, 1)
        check_at_least("queries", queries, 1)
        self.dataset, self.shots, self.queries, self.seed = dataset, int(shots), int(queries), int(seed)
        self.strings, self.length, self.draw = strings, whole("length", strings.length), draw
        self._texts = SequenceTarget().read(
            [_said(name, group) for name, group in zip(dataset.classes, dataset.groups, strict=True)]
        )
        self._between = "" if max(map(len, self._texts)) == 1 else SPACE
        known = () if strings.alphabet is None else (SPACE, *(symbol for symbol in strings.alphabet if symbol != SPACE))
        self._labels = known or SequenceTarget().joined((), self._texts)
        SequenceTarget().rows(self._texts, self._labels)  # which says which transcript exceeds the alphabet
        self._columns = {label: column for column, label in enumerate(self._labels, 1)}
        self._starts, self._rows = dataset.starts, dataset.rows
        self._pools = self._make_pools()
        self._joiner = None if self.length[1] == 1 else _Joiner(dataset, self.length[1], draw.augment, self.seed)
        self._inputs = Inputs(dataset, draw.augment, self.seed)

    def __repr__(self) -> str:
        return f"<StringTasks of {self.dataset.name}: shots {self.shots}, queries {self.queries}, length {shown(self.length)}>"

    def __getitem__(self, index: int) -> Task:
        """Return the task of this index."""
        return self.batch([index])[0]

    def batch(self, indices: Sequence[int] | np.ndarray) -> Task:
        """Return the tasks of these indices, stacked: every tensor has one more leading axis."""
        index = np.asarray(indices, dtype=np.int64)
        drawn = self._draw(index)
        x, lengths = self._x(index, drawn)
        y = self._y(index, drawn.classes, lengths)
        support, query = (Examples(x[:, part], Tokens(y[:, part])) for part in (slice(self.shots), slice(self.shots, None)))
        return Task(support, query, torch.from_numpy(task_keys(self.seed, index)))

    def check_frames(self, frames: int) -> None:
        """Raise a DataError for a transcript of the data that so many frames cannot hold, if examples are whole strings."""
        if self.length[1] == 1:
            for name, text in zip(self.dataset.classes, self._texts, strict=True):
                check_frames(f"the transcript {text!r} ({name!r} of {self.dataset.name})", text, frames)

    @property
    def input(self) -> InputSpec:
        """Return what an example's input is; travels with the learners that are trained on these tasks."""
        return self.dataset.spec

    def fingerprint(self, count: int) -> str:
        """Return a hash of the first `count` tasks: equal hashes, equal examples in equal order."""
        about = f"strings {self.dataset.fingerprint} {self.draw.augment} {self.strings.shuffled} {self._labels} {self.shots} {self.seed}"
        digest = hashlib.sha256(about.encode("utf-8", "surrogateescape"))
        for begin in range(0, count, 64):  # in parts, so that memory does not grow with the number of tasks
            for array in self._draw(np.arange(begin, min(begin + 64, count))):
                digest.update(repr(array.shape).encode() + array.tobytes())
        return digest.hexdigest()[:16]

    def describe(self) -> dict[str, Any]:
        """Return the protocol, named beside every result."""
        return {
            "source": "strings",
            "dataset": self.dataset.name,
            "voices": len(self._pools),
            "shots": self.shots,
            "queries": self.queries,
            "length": shown(self.length),
            **({"shuffled": True} if self.strings.shuffled else {"symbols": "".join(self._labels)}),
            "input": str(self.input),
            "seed": self.seed,
            **({} if self.draw.augment == "none" else {"augment": self.draw.augment}),
        }

    def _make_pools(self) -> list[np.ndarray]:
        """Return the classes of each group.

        Raises:
            TaskError: a group has too few examples for a task, or, if they are joined, a class has a single one.
        """
        groups, counts = np.array(self.dataset.groups), self.dataset.counts
        pools = [np.flatnonzero(groups == group) for group in dict.fromkeys(groups.tolist())]
        joined, needed = self.length[1] > 1, self.shots + self.queries
        for pool in pools:
            name, total = groups[pool[0]], int(counts[pool].sum())
            if not joined and total < needed:
                raise TaskError(
                    f"{str(name)!r} of {self.dataset.name} has {total} {self.dataset.spec.nouns}, but {self.shots} shots + "
                    f"{self.queries} queries need {needed}; lower them, or leave this group out. A task is one group: name the column of "
                    "voices with --group."
                )
            if joined and counts[pool].min() < 2:
                short = pool[counts[pool].argmin()]
                raise TaskError(
                    f"class {self.dataset.classes[short]!r} of {self.dataset.name} has a single one of the {self.dataset.spec.nouns}, but "
                    "strings to learn from and to be asked for are joined of different ones. Leave the class out, or set length=1 if "
                    "classes are whole transcripts."
                )
        return pools

    def _draw(self, index: np.ndarray) -> _Drawn:
        """Return which examples make up the strings of these tasks."""
        strings, (least, most) = self.shots + self.queries, self.length
        group = (uniform(self.seed, index, 1, stream=4)[:, 0] * len(self._pools)).astype(np.int64)
        if most == 1:
            return self._draw_whole(index, group, strings)
        lengths = least + (uniform(self.seed, index, strings, stream=5) * (most - least + 1)).astype(np.int64)
        which, take = (uniform(self.seed, index, strings * most, stream).reshape(-1, strings, most) for stream in (0, 1))
        pools = [self._pools[one] for one in group]
        classes = np.stack([pool[(one * len(pool)).astype(np.int64)] for pool, one in zip(pools, which, strict=True)])
        counts = self.dataset.counts[classes]
        shown_takes = (counts + 1) // 2
        to_learn = np.arange(strings)[:, None] < self.shots
        first, among = np.where(to_learn, 0, shown_takes), np.where(to_learn, shown_takes, counts - shown_takes)
        rows = self._rows[self._starts[classes] + first + (take * among).astype(np.int64)]
        return _Drawn(rows, classes, lengths)

    def _draw_whole(self, index: np.ndarray, group: np.ndarray, strings: int) -> _Drawn:
        """Return different examples of each task's group, each a string of its own."""
        totals = np.array([int(self.dataset.counts[pool].sum()) for pool in self._pools])
        positions = distinct(keys(self.seed, index, stream=0)[:, 0], totals[group], strings)
        examples, classes = [], []
        for one, chosen in zip(group, positions, strict=True):
            pool = self._pools[one]
            ends = np.cumsum(self.dataset.counts[pool])
            place = np.searchsorted(ends, chosen, side="right")
            classes.append(pool[place])
            examples.append(self._starts[pool[place]] + chosen - (ends - self.dataset.counts[pool])[place])
        rows = self._rows[np.stack(examples)]
        return _Drawn(rows[..., None], np.stack(classes)[..., None], np.ones_like(rows))

    def _x(self, index: np.ndarray, drawn: _Drawn) -> tuple[Tensor, np.ndarray]:
        """Return the inputs of strings `[task, string, *shape]`, and of how many examples they are, `[task, string]`."""
        if self._joiner is not None:
            return self._joiner(index, drawn)
        x = self._inputs(index, torch.from_numpy(drawn.rows[..., 0]), stream=10)
        if not isinstance(x, Tensor):
            raise ConfigError(f"{self.dataset.name} holds {self.dataset.spec}, of several parts; strings are of one.")
        return x, drawn.lengths

    def _y(self, index: np.ndarray, classes: np.ndarray, lengths: np.ndarray) -> Tensor:
        """Return the transcripts of strings as one-hot rows, `[task, string, place, symbol]`."""
        most, symbols = self.length[1], len(self._labels)
        longest = most * max(map(len, self._texts)) + (most - 1) * len(self._between)
        ids = np.zeros((*lengths.shape, longest), np.int64)
        for place in np.ndindex(*lengths.shape):
            text = self._between.join(self._texts[one] for one in classes[place][: lengths[place]])
            ids[place][: len(text)] = [self._columns[letter] for letter in text]
        if self.strings.shuffled:
            count = np.full(len(index), symbols - 1)
            moved = distinct(keys(self.seed, index, stream=6)[:, 0], count, symbols - 1) + 2
            fixed = np.broadcast_to(np.arange(2), (len(index), 2))  # the blank and the space stay
            ids = np.take_along_axis(np.concatenate([fixed, moved], 1)[:, None], ids, 2)
        return (torch.from_numpy(ids).unsqueeze(-1) == torch.arange(1 + symbols)).to(torch.get_default_dtype())


class _Joiner:
    """Examples of a data set, joined along the last axis of what the network sees.

    Args:
        dataset: whose examples they are.
        most: most examples of a string.
        augment: how strings are changed, a name of `quickstudy.tasks.augment`.
        seed: of the changes.

    Raises:
        ConfigError: the examples are neither pictures nor sounds.
    """

    def __init__(self, dataset: Dataset, most: int, augment: str, seed: int) -> None:
        layouts = dataset.spec.layout()
        (name, layout), *others = layouts.items()
        if others or len(layout.axes) != 3:
            raise ConfigError(
                f"{dataset.name} holds {dataset.spec}, which cannot be joined to strings; expected sounds or pictures, or length=1 for "
                "examples that are whole strings."
            )
        self.seed, self.layout = seed, layout
        self.stored = dataset.stored[name].transpose(0, *(1 + axis for axis in layout.order))
        self.background = round(-layout.offset / layout.scale)
        self.change = None if augment == "none" else augmentation(dataset.spec.kind, augment)
        self.begins, self.sizes = self._extents()
        self.columns = self.stored.shape[-1]
        needed = int(most * (np.quantile(self.sizes[dataset.rows], JOINING["share"]) + JOINING["gap"] / 2))
        if needed > JOINING["short"] * self.columns:
            warnings.warn(
                f"strings of {most} need about {needed} columns, but the {dataset.spec.nouns} of {dataset.name} have {self.columns}, so "
                f"that long strings lose their last examples. Lower length, or let them be {needed / self.columns:.1f} times as long "
                "(sounds: --seconds).",
                DataWarning,
                stacklevel=4,
            )

    def _extents(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the first column of each stored row in which something is, and how many there are up to the last one, `[row]`."""
        there = np.concatenate(
            [(part != self.background).any((1, 2)) for part in np.array_split(self.stored, 1 + len(self.stored) // 1024)]
        )
        first, last = there.argmax(1), there.shape[1] - there[:, ::-1].argmax(1)
        empty = ~there.any(1)
        return np.where(empty, 0, first), np.where(empty, there.shape[1], last - first)

    def __call__(self, index: np.ndarray, drawn: _Drawn) -> tuple[Tensor, np.ndarray]:
        """Return strings `[task, string, *shape]`, and of how many examples each is: those that its columns have room for."""
        rows, place = drawn.rows, np.arange(drawn.rows.shape[-1])
        gaps = uniform(self.seed, index, rows[0].size, stream=7).reshape(rows.shape) * (JOINING["gap"] + 1)
        ends = np.cumsum(self.sizes[rows] + gaps.astype(np.int64), -1)
        lengths = np.maximum(1, ((ends <= self.columns) & (place < drawn.lengths[..., None])).sum(-1))
        total = np.minimum(np.take_along_axis(ends, lengths[..., None] - 1, -1), self.columns)
        column = np.arange(self.columns) - (self.columns - total) // 2
        which = np.minimum((column[..., None, :] >= ends[..., None]).sum(-2), len(place) - 1)
        row = np.take_along_axis(rows, which, -1)
        starts = np.concatenate([np.zeros_like(ends[..., :1]), ends[..., :-1]], -1)
        within = column - np.take_along_axis(starts, which, -1)
        real = (column >= 0) & (column < total) & (within < self.sizes[row])
        source = np.where(real, self.begins[row] + within, 0)
        found = self.stored[row, :, :, source]
        found = np.where(real[..., None, None], found, self.background)
        x = torch.from_numpy(np.ascontiguousarray(np.moveaxis(found, 2, -1))).to(torch.get_default_dtype())
        return self._changed(index, x * self.layout.scale + self.layout.offset), lengths

    def _changed(self, index: np.ndarray, x: Tensor) -> Tensor:
        """Return strings, each changed at random if that is wished."""
        if self.change is None:
            return x
        change, numbers = self.change
        random = uniform(self.seed, index, x.shape[1] * numbers, stream=10).reshape(-1, numbers)
        return change(x.flatten(0, 1), torch.from_numpy(random).to(x.dtype)).unflatten(0, x.shape[:2])


def _said(name: str, group: str) -> str:
    """Return what is said in the examples of a class: its name without that of its group.

    >>> _said("george/7", "george"), _said("seven", "seven")
    ('7', 'seven')
    """
    return name.removeprefix(f"{group}/") or name
