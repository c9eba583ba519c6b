"""TablePrior: synthetic tables of classes, drawn from a prior over how tables come about; each is a pure function of (seed, index).

Muller et al. 2022, "Transformers Can Do Bayesian Inference", section 3 (a learner that is trained on draws from a prior approximates
Bayesian prediction); Hollmann et al. 2023, "TabPFN", section 4 (structural causal models); the mechanisms are in `_mechanisms`.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from quickstudy.errors import ConfigError, check_at_least
from quickstudy.inputs.table import TableSpec
from quickstudy.objectives.classes import one_hot
from quickstudy.task import Examples, Task
from quickstudy.tasks._mechanisms import MECHANISMS, Random, standard
from quickstudy.tasks._random import keys, task_keys
from quickstudy.tasks._ranges import shown, whole
from quickstudy.tasks._scaling import scaled_by_support

SHARES = {"graph": 0.35, "network": 0.2, "trees": 0.2, "rules": 0.17, "clusters": 0.08}
"""Share of each mechanism among the tables."""
CHANCES = {
    "flips": 0.4,
    "categories": 0.5,
    "missing": 0.15,
    "warped": 0.2,
    "noise": 0.3,
    "one_hot": 0.5,
    "even": 0.5,
    "least": 0.3,
}
"""Share of tables in which some labels are wrong, some columns are categories, values are missing, columns are warped, and some say
nothing; share of the columns of categories of which each level becomes a number of its own; share of tables whose classes are about as
frequent, and of those that have as few classes as may be."""


class _Table(NamedTuple):
    """One table: rows that are learned from come before the queries.

    Attributes:
        x: numbers of each row, `[row, width]`.
        labels: class of each row, `[row]`.
        shots: number of rows that are learned from.
    """

    x: Float[np.ndarray, "row width"]
    labels: Int[np.ndarray, " row"]
    shots: int


@dataclasses.dataclass(frozen=True)
class TablePrior:
    """Tasks that are small synthetic tables, whose rows are scaled by those that are learned from, as a learner of any table gets them.

    Args:
        examples: rows to learn from, or a range `(least, most)`, from which small numbers are drawn as often as large ones (evenly in
            their logarithm); tables are padded to the most, with masks.
        queries: rows to be judged on; those of a class that no row to learn from has are masked.
        columns: columns of a table before categories become several numbers, or a range, drawn likewise.
        classes: classes of a table, or a range, drawn likewise.
        width: numbers per row, of which those that are left over are zeros.
        seed: which stream of tables.

    >>> tasks = TablePrior(examples=(10, 40), columns=(2, 6), width=20).batch(range(3))
    >>> tasks.support.x.shape, tasks.query.y.rows.shape
    (torch.Size([3, 40, 1, 20]), torch.Size([3, 80, 10]))
    """

    examples: int | tuple[int, int] = (10, 250)
    queries: int = 80
    columns: int | tuple[int, int] = (2, 12)
    classes: int | tuple[int, int] = (2, 10)
    width: int = 100
    seed: int = 0

    target: ClassVar[str] = "classes"

    def __post_init__(self) -> None:
        least, _ = whole("classes", self.classes)
        check_at_least("classes", least, 2)
        check_at_least("queries", self.queries, 1)
        check_at_least("examples", whole("examples", self.examples)[0], 2)
        most = whole("columns", self.columns)[1]
        if self.width < most:
            raise ConfigError(f"width is {self.width}; expected at least the largest number of columns, {most}.")

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
        most, ways = whole("examples", self.examples)[1], whole("classes", self.classes)[1]
        x = np.zeros((len(index), most + self.queries, 1, self.width), dtype=np.float32)
        labels = np.zeros((len(index), most + self.queries), dtype=np.int64)
        there = np.zeros((len(index), most + self.queries), dtype=bool)
        for place, table in enumerate(self._tables(index)):
            rows = np.r_[: table.shots, most : most + self.queries]
            x[place, rows, 0], labels[place, rows] = table.x, table.labels
            there[place, rows] = _met(table)
        parts = torch.from_numpy(x), torch.from_numpy(labels), torch.from_numpy(there)
        (x, query_x), (y, query_y), (mask, query_mask) = (part.split([most, self.queries], 1) for part in parts)
        support, query = scaled_by_support(
            Examples(x, one_hot(y, ways), mask), Examples(query_x, one_hot(query_y, ways), query_mask)
        )
        return Task(support, query, torch.from_numpy(task_keys(self.seed, index)))

    def fingerprint(self, count: int) -> str:
        """Return a hash of the first `count` tables: equal hashes, equal labels in equal order."""
        digest = hashlib.sha256(repr(self.describe()).encode())
        for table in self._tables(np.arange(count)):
            digest.update(table.labels.tobytes())
        return digest.hexdigest()[:16]

    def describe(self) -> dict[str, Any]:
        """Return the protocol, named beside every result."""
        return {
            "source": "table_prior",
            "dataset": "table_prior",
            "examples": shown(whole("examples", self.examples)),
            "queries": self.queries,
            "columns": shown(whole("columns", self.columns)),
            "ways": shown(whole("classes", self.classes)),
            "width": self.width,
            "seed": self.seed,
        }

    def _tables(self, index: np.ndarray) -> list[_Table]:
        """Return the tables of these indices."""
        return [self._table(np.random.Generator(np.random.PCG64(int(key)))) for key in keys(self.seed, index, stream=30)[:, 0]]

    def _table(self, random: Random) -> _Table:
        """Return a table, drawn again until the rows to learn from are of several classes and the queries are of one of these."""
        while True:
            shots, columns, classes = (_drawn(random, whole("", one)) for one in (self.examples, self.columns, self.classes))
            if random.random() < CHANCES["least"]:
                classes = whole("", self.classes)[0]
            rows = shots + self.queries
            mechanism = MECHANISMS[random.choice(list(SHARES), p=list(SHARES.values()))]
            columns_of, scores = mechanism(random, rows, columns, classes)
            labels = _labels(random, scores, classes)
            table = _Table(_numbers(random, columns_of, shots, self.width), labels, shots)
            if len(np.unique(labels[:shots])) > 1 and _met(table)[shots:].any():
                return table


def _drawn(random: Random, bounds: tuple[int, int]) -> int:
    """Return a whole number between the bounds, evenly in its logarithm."""
    least, most = bounds
    return min(most, int(np.exp(random.uniform(np.log(least), np.log(most + 1)))))


def _met(table: _Table) -> Bool[np.ndarray, " row"]:
    """Return whether a row to learn from has the class of each row."""
    return np.isin(table.labels, table.labels[: table.shots])


def _labels(random: Random, scores: np.ndarray, classes: int) -> Int[np.ndarray, " row"]:
    """Return classes with random names: the largest score, or one score cut at random borders, now and then with wrong labels."""
    rows, several = scores.shape
    if several > 1:
        found = (standard(scores) + 0.5 * random.normal(size=several) * (random.random() < 0.5)).argmax(1)
    else:
        found = _cut(random, scores[:, 0], classes)
    if random.random() < CHANCES["flips"]:
        wrong = random.random(rows) < 0.4 * random.random() ** 2
        found = np.where(wrong, found[random.permutation(rows)], found)
    return random.permutation(classes)[found].astype(np.int64)


def _cut(random: Random, score: np.ndarray, classes: int) -> np.ndarray:
    """Return the interval of each score: values of its own if there are few, else intervals with random borders, some of one class."""
    values, place = np.unique(score, return_inverse=True)
    if len(values) <= classes:
        return place
    if random.random() < CHANCES["even"]:
        shares = np.linspace(0, 1, classes + 1)[1:-1] + random.uniform(-0.2, 0.2, classes - 1) / classes
    else:
        shares = np.cumsum(random.dirichlet(np.full(classes, 1.5)))[:-1]
    if random.random() < 0.2:  # a class may be several intervals
        shares = random.random(3 * classes)
    borders = np.quantile(score + 1e-9 * random.normal(size=len(score)), np.sort(np.clip(shares, 0, 1)))
    return np.searchsorted(borders, score) % classes


def _numbers(random: Random, x: np.ndarray, shots: int, width: int) -> Float[np.ndarray, "row width"]:
    """Return rows of numbers as a learner gets them: categories as several numbers, missing values as zeros beside a mark, then padding."""
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
