"""Measure: what a result says of a task's predictions, such as accuracy for classes and mean squared error for values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from torch import Tensor

from quickstudy.task import Examples


@dataclasses.dataclass(frozen=True)
class Measure:
    """Score by which predictions are judged, and how it is written.

    Args:
        key: of plain results, such as `mean_squared_error`.
        higher_is_better: which of two scores is the better one.
        unit: in which it is written, such as `%`.
        scale: from the score to that unit.
        plain: how a plain result is rounded, as a format.
        short: how it is rounded in a table.
        line: how it is rounded in a line of progress.
        of_spread: measure of predictions together with their standard deviations; None for answers whose predictions have none.
        beside: further measures of the same predictions, which are shown wherever this one is.
        of_unequal: whether it is shown only if the classes of some task's queries are of unequal size.
    """

    key: str
    higher_is_better: bool
    unit: str = ""
    scale: float = 1.0
    plain: str = ".6g"
    short: str = ".4g"
    line: str = ".3g"
    of_spread: Measure | None = None
    beside: tuple[Measure, ...] = ()
    of_unequal: bool = False

    def score(self, prediction: Tensor, query: Examples) -> Tensor:
        """Return the score of predictions `[query, output]` on queries, a scalar that maps over tasks."""
        return query.y.scores(prediction, query.weight)[self.key]

    def scores(self, found: Mapping[str, Tensor], query: Examples) -> dict[str, Tensor]:
        """Return by its key the score of what a learner predicts for queries, and that of its spread if there is one.

        Args:
            found: what `Learner.outputs` returns.
            query: the right answers.
        """
        spread = [found["spread"]] if "spread" in found else []
        scores = query.y.scores(found["prediction"], query.weight, *spread)
        return {measure.key: scores[measure.key] for measure in self.measures if measure.key in scores}

    @property
    def measures(self) -> list[Measure]:
        """Return the measure itself, and those beside it and of spreads, if there are any."""
        return [self, *self.beside, *([] if self.of_spread is None else [self.of_spread])]

    @property
    def name(self) -> str:
        """Return the measure in words, with the unit: the head of a table's column."""
        return self.key.replace("_", " ") + (f", {self.unit}" if self.unit else "")

    def rounded(self, score: float) -> float:
        """Return the score in its unit, rounded for a plain result."""
        return float(format(self.scale * score, self.plain))

    def shown(self, score: float, ci95: float) -> str:
        """Return the score and its interval for people, in a line.

        >>> Measure("accuracy", True, "%", 100.0, line=".1f").shown(0.876, 0.012)
        '87.6 ± 1.2 %'
        >>> Measure("word_error_rate", False, "%", 100.0, line=".1f").shown(0.124, 0.012)
        'word error rate 12.4 ± 1.2 %'
        """
        numbers = f"{self.scale * score:{self.line}} ± {self.scale * ci95:{self.line}}"
        if not self.unit:
            return f"{self.name} {numbers}"
        named = "" if self.higher_is_better else f"{self.key.replace('_', ' ')} "  # percents are taken for what is right
        return f"{named}{numbers} {self.unit}"

    def better(self, score: float, than: float | None) -> bool:
        """Return whether a score is better than another one, or the first; every number is better than none (NaN)."""
        if than is None or math.isnan(than):
            return than is None or not math.isnan(score)
        return score > than if self.higher_is_better else score < than
