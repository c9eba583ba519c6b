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
        rows: one or more numbers per example, float `[example, output]`.
    """

    rows: Float[Tensor, " *task example output"]
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
        found = {"mean_squared_error": squared_error(prediction, self.rows, weight)}
        if spread is None:
            return found
        likelihood = normal_log_likelihood(self.rows, prediction, spread).mean(-1)
        return {**found, "log_likelihood": weighted_mean(likelihood, weight)}

    def like(self, prediction: Float[Tensor, "example output"]) -> Values:
        """Return the numbers that a prediction stands for: itself."""
        return Values(prediction)


torch.export.register_dataclass(Values)
