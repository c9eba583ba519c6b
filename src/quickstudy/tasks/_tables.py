"""Synthetic tables: their sizes, and their columns as a learner of any table gets them; each table is a pure function of (seed, index)."""

from __future__ import annotations

import abc
import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped

from quickstudy.errors import ConfigError, check_at_least
from quickstudy.inputs.table import TableSpec
from quickstudy.task import Answers, Examples, Task
from quickstudy.tasks._mechanisms import MECHANISMS, Random, Table, standard
from quickstudy.tasks._random import keys, task_keys
from quickstudy.tasks._ranges import shown, whole
from quickstudy.tasks._scaling import scaled_by_support

CHANCES = {"categories": 0.5, "missing": 0.15, "warped": 0.2, "noise": 0.3, "one_hot": 0.5}
"""Share of tables in which some columns are categories, values are missing, columns are warped, and some columns have nothing to do
with the answers; share of the columns of categories of which each level becomes a number of its own."""


class SyntheticTable(NamedTuple):
    """One table: rows that are learned from come before the queries.

    Attributes:
        x: numbers of each row, `[row, width]`.
        answers: what is asked about each row: its class, or its value, `[row]`.
        shots: number of rows that are learned from.
    """

    x: Float[np.ndarray, "row width"]
    answers: Shaped[np.ndarray, " row"]
    shots: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class SyntheticTables(abc.ABC):
    """A source of synthetic tables, which says what a table is and what is asked about its rows; its arguments are those of all sources."""

    examples: int | tuple[int, int] = (10, 250)
    queries: int = 80
    columns: int | tuple[int, int] = (2, 12)
    width: int = 100
    seed: int = 0

    dtype: ClassVar[type[np.generic]]
    """Type of the numbers that stand for answers."""

    def __post_init__(self) -> None:
        check_at_least("queries", self.queries, 1)
        check_at_least("examples", whole("examples", self.examples)[0], 2)
        most = whole("columns", self.columns)[1]
        if self.width < most:
            raise ConfigError(f"width is {self.width}; expected at least the largest number of columns, {most}.")

    @abc.abstractmethod
    def table(self, random: Random, shots: int, columns: int) -> SyntheticTable | None:
        """Return a table of so many rows to learn from, and of so many columns, or None if nothing can be learned from it."""

    @abc.abstractmethod
    def answers(self, told: Shaped[torch.Tensor, "table row"]) -> Answers:
        """Return what is asked about each row, from the numbers of tables."""

    @abc.abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return the protocol, named beside every result."""

    def asked(self, table: SyntheticTable) -> Bool[np.ndarray, " row"]:
        """Return which rows count, in the support set and among the queries: all, unless a source says otherwise."""
        return np.ones(len(table.x), dtype=bool)

    @property
    def input(self) -> TableSpec:
        """Return the spec of rows of any table, of up to `width` numbers."""
        return TableSpec(width=self.width, scaling="task")

    def __getitem__(self, index: int) -> Task:
        """Return the table of this index."""
        return self.batch([index])[0]

    def batch(self, indices: Sequence[int] | np.ndarray) -> Task:
        """Return the tables of these indices, stacked: every tensor has one more leading axis."""
        index = np.asarray(indices, dtype=np.int64)
        tables = self.tables(index)
        most = whole("examples", self.examples)[1]
        x = np.zeros((len(index), most + self.queries, 1, self.width), dtype=np.float32)
        answers = np.zeros((len(index), most + self.queries), dtype=self.dtype)
        there = np.zeros((len(index), most + self.queries), dtype=bool)
        for place, table in enumerate(tables):
            rows = np.r_[: table.shots, most : most + self.queries]
            x[place, rows, 0], answers[place, rows] = table.x, table.answers
            there[place, rows] = self.asked(table)
        parts = torch.from_numpy(x), torch.from_numpy(answers), torch.from_numpy(there)
        (x, query_x), (y, query_y), (mask, query_mask) = (part.split([most, self.queries], 1) for part in parts)
        support, query = scaled_by_support(
            Examples(x, self.answers(y), mask), Examples(query_x, self.answers(query_y), query_mask)
        )
        return Task(support, query, torch.from_numpy(task_keys(self.seed, index)))

    def fingerprint(self, count: int) -> str:
        """Return a hash of the first `count` tables: equal hashes, equal answers in equal order."""
        digest = hashlib.sha256(repr(self.describe()).encode())
        for table in self.tables(np.arange(count)):
            digest.update(table.answers.tobytes())
        return digest.hexdigest()[:16]

    def sizes(self) -> dict[str, Any]:
        """Return what the protocol says of the sizes of all tables."""
        return {
            "examples": shown(whole("examples", self.examples)),
            "queries": self.queries,
            "columns": shown(whole("columns", self.columns)),
        }

    def tables(self, index: np.ndarray) -> list[SyntheticTable]:
        """Return the tables of these indices."""
        return [self._table(np.random.Generator(np.random.PCG64(int(key)))) for key in keys(self.seed, index, stream=30)[:, 0]]

    def _table(self, random: Random) -> SyntheticTable:
        """Return a table, drawn again until something can be learned from it."""
        while True:
            shots, columns = (drawn(random, whole("", one)) for one in (self.examples, self.columns))
            table = self.table(random, shots, columns)
            if table is not None:
                return table


def mechanism(random: Random, shares: Mapping[str, float]) -> Callable[[Random, int, int, int], Table]:
    """Return one of the mechanisms by which tables come about, by its share."""
    return MECHANISMS[random.choice(list(shares), p=list(shares.values()))]


def drawn(random: Random, bounds: tuple[int, int]) -> int:
    """Return a whole number between the bounds, evenly in its logarithm."""
    least, most = bounds
    return min(most, int(np.exp(random.uniform(np.log(least), np.log(most + 1)))))


def numbers(random: Random, x: np.ndarray, shots: int, width: int) -> Float[np.ndarray, "row width"]:
    """Return rows of numbers as a learner gets them, and zeros up to the width.

    A category is several numbers, and a missing value is the mean of its column (zeros for a category) beside a mark.
    """
    columns = x.shape[1]
    categories = random.uniform(0.1, 1) if random.random() < CHANCES["categories"] else 0.0
    missing = random.uniform(0.02, 0.4) if random.random() < CHANCES["missing"] else 0.0
    warped = random.random() < CHANCES["warped"]
    idle = random.random(columns) < (random.uniform(0, 0.5) if random.random() < CHANCES["noise"] else 0.0)
    parts: list[np.ndarray] = []
    left = width - columns
    for place in range(columns):
        column = x[:, place]
        if idle[place]:
            column = random.permutation(column)
        if warped and random.random() < 0.5:
            column = np.exp(np.clip(standard(column), -4, 4) * random.uniform(0.3, 1.5))
        part = _categories(random, column, left + 1) if random.random() < categories else standard(column)[:, None]
        if missing and left >= part.shape[1] and random.random() < 0.5:
            part = _with_gaps(random, part, shots, missing)
        left -= part.shape[1] - 1
        parts.append(part)
    found = np.concatenate([parts[place] for place in random.permutation(columns)], 1)
    return np.pad(found, ((0, 0), (0, width - found.shape[1])))


def _categories(random: Random, column: np.ndarray, most: int) -> np.ndarray:
    """Return a column as levels, in order or not: one number, or one for each level and one for those that nobody met."""
    values, levels = np.unique(column, return_inverse=True)
    if len(values) > 8:
        borders = np.quantile(column, np.sort(random.random(int(random.integers(1, 6)))))
        values, levels = np.unique(np.searchsorted(borders, column), return_inverse=True)
    if random.random() < 0.5:
        levels = random.permutation(len(values))[levels]
    if len(values) + 1 <= most and random.random() < CHANCES["one_hot"]:
        return np.eye(len(values) + 1)[levels]
    return levels[:, None].astype(np.float64)


def _with_gaps(random: Random, part: np.ndarray, shots: int, share: float) -> np.ndarray:
    """Return a column of which some values are missing: the mean (zeros for categories) with a mark beside it."""
    gone = random.random(len(part)) < share
    if not gone[:shots].any():
        return part
    usual = part[:shots][~gone[:shots]].mean(0) if part.shape[1] == 1 and not gone[:shots].all() else 0.0
    return np.concatenate([np.where(gone[:, None], usual, part), gone[:, None]], 1)
