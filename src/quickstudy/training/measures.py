"""Measures: what a result says of a task's predictions. Accuracy for classes, mean squared error for values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping

from jaxtyping import Float
from torch import Tensor

from quickstudy.functional.losses import squared_error, weighted_mean
from quickstudy.learner import Learner
from quickstudy.task import Examples, labels

Score = Callable[[Tensor, Examples], Tensor]


@dataclasses.dataclass(frozen=True)
class Measure:
    """How well the queries of a task are predicted, and how that is written.

    Args:
        key: of plain results, such as `mean_squared_error`.
        score: of predictions `[query, output]` on queries, a scalar that maps over tasks.
        higher_is_better: which of two scores is the better one.
        unit: in which it is written, such as `%`.
        scale: from the score to that unit.
        plain: how a plain result is rounded, as a format.
        short: how it is rounded in a table.
        line: how it is rounded in a line of progress.
    """

    key: str
    score: Score
    higher_is_better: bool
    unit: str = ""
    scale: float = 1.0
    plain: str = ".6g"
    short: str = ".4g"
    line: str = ".3g"

    @property
    def name(self) -> str:
        """In words, with the unit: the head of a table's column."""
        return self.key.replace("_", " ") + (f", {self.unit}" if self.unit else "")

    def rounded(self, score: float) -> float:
        """The score in its unit, rounded for a plain result."""
        return float(format(self.scale * score, self.plain))

    def shown(self, score: float, ci95: float) -> str:
        """For people, in a line.

        >>> ACCURACY.shown(0.876, 0.012)
        '87.6 ± 1.2 %'
        """
        return f"{self.scale * score:{self.line}} ± {self.scale * ci95:{self.line}} {self.unit or self.name}"

    def better(self, score: float, than: float | None) -> bool:
        """Whether a score is better than another one, or the first; every number is better than none (NaN)."""
        if than is None or math.isnan(than):
            return than is None or not math.isnan(score)
        return score > than if self.higher_is_better else score < than


def right(prediction: Float[Tensor, "query way"], query: Examples) -> Float[Tensor, ""]:
    """Fraction of the queries whose most likely way is theirs."""
    return weighted_mean((labels(prediction) == labels(query.y)).to(query.y.dtype), query.weight)


def error(prediction: Float[Tensor, "query output"], query: Examples) -> Float[Tensor, ""]:
    """Mean squared error over queries and outputs."""
    return squared_error(prediction, query.y, query.weight)


ACCURACY = Measure("accuracy", right, True, "%", 100.0, ".3f", ".2f", ".1f")
MEAN_SQUARED_ERROR = Measure("mean_squared_error", error, False)
MEASURES = (ACCURACY, MEAN_SQUARED_ERROR)


def measure_of(learner: Learner) -> Measure:
    """What this learner is judged by: its `objective`, where it has one, says whether it predicts classes or values."""
    return MEAN_SQUARED_ERROR if getattr(learner, "objective", "classification") == "regression" else ACCURACY


def measure_in(result: Mapping[str, object]) -> Measure:
    """The measure of a plain result.

    >>> measure_in({"mean_squared_error": 0.5, "ci95": 0.1}).name
    'mean squared error'
    """
    return next(measure for measure in MEASURES if measure.key in result)
