"""Values: answers that are numbers, judged by their mean squared error, and by their likelihood if they are predicted with a spread."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from quickstudy.functional.losses import normal_log_likelihood, squared_error, weighted_mean
from quickstudy.objectives._measure import Measure
from quickstudy.task import check_floating


@dataclasses.dataclass(frozen=True)
class Values:
    """Numbers of some examples of one task (or, with one more leading axis, of a batch of tasks).

    Args:
        rows: one or more numbers per example, as a learner sees them, float `[example, output]`.
        unit: size of 1 in `rows` in the unit of the values' owner, float `[example, output]`, if learners see values at another scale;
            scores are in the owner's unit, losses are not. None if both are the same.

    >>> y = Values(torch.tensor([[1.0], [-1.0]]), unit=torch.tensor([[20.0], [20.0]]))
    >>> y.scores(torch.tensor([[1.0], [-0.5]]), torch.ones(2))
    {'mean_squared_error': tensor(50.)}
    """

    rows: Float[Tensor, " *task example output"]
    unit: Float[Tensor, " *task example output"] | None = None
    name: ClassVar[str] = "values"
    measure: ClassVar[Measure] = Measure("mean_squared_error", False, of_spread=Measure("log_likelihood", True, "nats"))

    def __post_init__(self) -> None:
        check_floating(self.rows, "rows.float() makes them of whole numbers")

    @property
    def outputs(self) -> int:
        """Return how many numbers an example has."""
        return self.rows.shape[-1]

    def loss(self, prediction: Float[Tensor, "example output"], weight: Float[Tensor, " example"]) -> Float[Tensor, ""]:
        """Return the mean squared error over examples and outputs."""
        return squared_error(prediction, self.rows, weight)

    def scores(
        self,
        prediction: Float[Tensor, "example output"],
        weight: Float[Tensor, " example"],
        spread: Float[Tensor, "example output"] | None = None,
    ) -> dict[str, Tensor]:
        """Return the mean squared error over examples and outputs; with a spread, the mean log-density of each number too, in nats."""
        unit = 1.0 if self.unit is None else self.unit
        rows, expected = self.rows * unit, prediction * unit
        found = {"mean_squared_error": squared_error(expected, rows, weight)}
        if spread is None:
            return found
        likelihood = normal_log_likelihood(rows, expected, spread * unit).mean(-1)
        return {**found, "log_likelihood": weighted_mean(likelihood, weight)}

    def like(self, prediction: Float[Tensor, "example output"]) -> Values:
        """Return the numbers that a prediction stands for: itself."""
        return Values(prediction, self.unit)


torch.export.register_dataclass(Values)
