"""TablePrior: synthetic tables of classes, drawn from a prior over how tables come about; each is a pure function of (seed, index).

Muller et al. 2022, "Transformers Can Do Bayesian Inference", section 3 (a learner that is trained on draws from a prior approximates
Bayesian prediction); Hollmann et al. 2023, "TabPFN", section 4 (structural causal models); the mechanisms are in `_mechanisms`.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Int

from quickstudy.errors import check_at_least
from quickstudy.objectives.classes import OneHot, one_hot
from quickstudy.tasks._mechanisms import Random, standard
from quickstudy.tasks._ranges import shown, whole
from quickstudy.tasks._tables import SyntheticTable, SyntheticTables, drawn, mechanism, numbers

SHARES = {"graph": 0.35, "network": 0.2, "trees": 0.2, "rules": 0.17, "clusters": 0.08}
"""Share of each mechanism among the tables."""
CHANCES = {"flips": 0.4, "even": 0.5, "least": 0.3}
"""Share of tables in which some labels are wrong, of those whose classes are about as frequent, and of those that have as few classes as
may be."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TablePrior(SyntheticTables):
    """Tasks that are small synthetic tables, whose rows are scaled by those that are learned from, as a learner of any table gets them.

    Args:
        examples: rows to learn from, or a range `(least, most)`, from which small numbers are drawn as often as large ones (evenly in
            their logarithm); tables are padded to the most, with masks.
        queries: rows to be judged on; those of a class that no row to learn from has are masked.
        columns: columns of a table before categories become several numbers, or a range, drawn likewise.
        width: numbers per row, of which those that are left over are zeros.
        seed: which stream of tables.
        classes: classes of a table, or a range, drawn likewise.

    >>> tasks = TablePrior(examples=(10, 40), columns=(2, 6), width=20).batch(range(3))
    >>> tasks.support.x.shape, tasks.query.y.rows.shape
    (torch.Size([3, 40, 1, 20]), torch.Size([3, 80, 10]))
    """

    classes: int | tuple[int, int] = (2, 10)

    target: ClassVar[str] = "classes"
    dtype: ClassVar[type[np.generic]] = np.int64

    def __post_init__(self) -> None:
        check_at_least("classes", whole("classes", self.classes)[0], 2)
        super().__post_init__()

    def describe(self) -> dict[str, Any]:
        return {
            "source": "table_prior",
            "dataset": "table_prior",
            **self.sizes(),
            "ways": shown(whole("classes", self.classes)),
            "width": self.width,
            "seed": self.seed,
        }

    def table(self, random: Random, shots: int, columns: int) -> SyntheticTable | None:
        """Return a table of which the rows to learn from are of several classes, and the queries of one of these."""
        classes = drawn(random, whole("", self.classes))
        if random.random() < CHANCES["least"]:
            classes = whole("", self.classes)[0]
        columns_of, scores = mechanism(random, SHARES)(random, shots + self.queries, columns, classes)
        labels = _labels(random, scores, classes)
        table = SyntheticTable(numbers(random, columns_of, shots, self.width), labels, shots)
        return table if len(np.unique(labels[:shots])) > 1 and self.asked(table)[shots:].any() else None

    def answers(self, told: Int[torch.Tensor, "table row"]) -> OneHot:
        return one_hot(told, whole("classes", self.classes)[1])

    def asked(self, table: SyntheticTable) -> Bool[np.ndarray, " row"]:
        """Return whether a row to learn from has the class of each row."""
        return np.isin(table.answers, table.answers[: table.shots])


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
