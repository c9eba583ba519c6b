"""TableValuesPrior: synthetic tables whose rows have a value each, from the mechanisms of `table_prior`; pure functions of (seed, index).

Hollmann et al. 2025, "Accurate predictions on small data with a tabular foundation model", trains one network for classes and another one
for values in this way.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float

from quickstudy.objectives.values import Values
from quickstudy.tasks._mechanisms import Random, standard
from quickstudy.tasks._tables import SyntheticTable, SyntheticTables, mechanism, numbers

SHARES = {"graph": 0.4, "additive": 0.25, "trees": 0.15, "network": 0.1, "rules": 0.07, "clusters": 0.03}
"""Share of each mechanism among the tables. Those of networks and clusters are few, because after 80 rows trees explain less than a third
of the variance of half of them, while they explain more than two thirds of graphs and sums."""
CHANCES = {"noise": 0.5, "warped": 0.2, "steps": 0.15}
"""Share of tables whose values have added noise, of those whose values are warped, and of those whose values are rounded to a few steps, as
counts and grades are."""
VALUES = {"scores": 4, "farthest": 6.0}
"""Number of scores that some mechanisms draw for each row, whose weighted sum is the value; standard deviations of the rows to learn from,
beyond which values are cut off."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableValuesPrior(SyntheticTables):
    """Tasks that are small synthetic tables with a value for each row; rows and values are scaled by those that are learned from.

    Args:
        examples: rows to learn from, or a range `(least, most)`, from which small numbers are drawn as often as large ones (evenly in
            their logarithm); tables are padded to the most, with masks.
        queries: rows to be judged on.
        columns: columns of a table before categories become several numbers, or a range, drawn likewise.
        width: numbers per row, of which those that are left over are zeros.
        seed: which stream of tables.

    >>> tasks = TableValuesPrior(examples=(10, 40), columns=(2, 6), width=20).batch(range(3))
    >>> tasks.support.x.shape, tasks.query.y.rows.shape
    (torch.Size([3, 40, 1, 20]), torch.Size([3, 80, 1]))
    """

    target: ClassVar[str] = "values"
    dtype: ClassVar[type[np.generic]] = np.float32

    def describe(self) -> dict[str, Any]:
        return {
            "source": "table_values_prior",
            "dataset": "table_values_prior",
            **self.sizes(),
            "width": self.width,
            "seed": self.seed,
        }

    def table(self, random: Random, shots: int, columns: int) -> SyntheticTable | None:
        """Return a table of which the rows to learn from have several values."""
        columns_of, scores = mechanism(random, SHARES)(random, shots + self.queries, columns, int(VALUES["scores"]))
        values = _values(random, scores)
        spread = values[:shots].std()
        if spread < 1e-3 * values.std() or spread == 0:
            return None
        values = np.clip((values - values[:shots].mean()) / spread, -VALUES["farthest"], VALUES["farthest"])
        return SyntheticTable(numbers(random, columns_of, shots, self.width), values.astype(np.float32), shots)

    def answers(self, told: Float[torch.Tensor, "table row"]) -> Values:
        return Values(told.unsqueeze(-1))


def _values(random: Random, scores: Float[np.ndarray, "row score"]) -> Float[np.ndarray, " row"]:
    """Return a value for each row: a random weighted sum of its scores, sometimes warped, noisy, or rounded to a few steps."""
    values = standard(scores @ random.normal(size=scores.shape[1]))
    if random.random() < CHANCES["warped"]:
        values = standard(np.exp(np.clip(values, -4, 4) * random.uniform(0.3, 1.5)))
    if random.random() < CHANCES["noise"]:
        values = values + 10 ** random.uniform(-2, 0) * random.normal(size=len(values))
    if random.random() < CHANCES["steps"]:
        size = random.uniform(0.2, 1.0)
        values = np.round(values / size) * size
    return values
