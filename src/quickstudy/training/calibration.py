"""Calibration: one temperature per learner, and how far its probabilities are from the truth.

Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2: `softmax(logits / T)` with the `T` that makes held-out labels most
likely; section 2: the expected calibration error, with 15 bins.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from quickstudy.inputs import InputSpec
from quickstudy.task import Examples
from quickstudy.training.processes.group import Group

SEARCH = {"lowest": 1e-3, "highest": 1e3, "halvings": 60}
"""Bounds of `1 / T` (logits of squared distances may be in the thousands), and bisections of the interval between them on a scale of
logarithms: more than float64 can tell apart."""


class Reliability:
    """Counts, mean confidences and accuracies of predictions, by bin of confidence.

    Args:
        bins: number of equal bins, as in the paper.
    """

    def __init__(self, bins: int = 15) -> None:
        self.bins, self.sums = bins, np.zeros((bins, 3))
        """Sums `[bin, 3]` of weight, confidence and correct predictions."""

    def add(self, logits: Tensor, queries: Examples) -> None:
        """Count the most likely way of every query, for logits `[task, query, way]`; padding does not count."""
        confidence, way = logits.double().softmax(-1).max(-1)
        correct = (way == queries.y.rows.argmax(-1)).double()
        weight = queries.weight.double()
        place = (confidence * self.bins).ceil().long().sub(1).clamp(0, self.bins - 1)
        for column, values in enumerate((weight, weight * confidence, weight * correct)):
            self.sums[:, column] += torch.bincount(place.flatten(), values.flatten(), self.bins).cpu().numpy()

    def gathered(self, group: Group) -> Reliability:
        """Return what all processes of a group have counted together."""
        all_sums = Reliability(self.bins)
        all_sums.sums = np.array(group.gather(self.sums.flatten().tolist())).reshape(group.size, self.bins, 3).sum(0)
        return all_sums

    def error(self) -> float:
        """Return the expected calibration error: the mean difference of accuracy and confidence over bins, by their weight."""
        weight, confidence, correct = self.sums.T
        return float(np.abs(correct - confidence).sum() / max(weight.sum(), 1e-12))


def fit_temperature(judged: Iterable[tuple[Tensor, Examples]]) -> tuple[float, float]:
    """Return the temperature at which the right ways of queries are most likely, and the calibration error there.

    The mean log-likelihood is concave in `1 / T`, so that bisection of its derivative finds the maximum. It has none if every query is
    predicted rightly, however large `1 / T` is: then the temperature is 1.

    Args:
        judged: logits `[task, query, way]`, and the queries that they are of, in batches.
    """
    parts = [
        (logits.double(), dataclasses.replace(queries, x=queries.weight)) for logits, queries in judged
    ]  # inputs are large

    def slope(inverse: float) -> float:
        """Return the derivative of the summed log-likelihood by `1 / T`."""
        return sum(
            float((((queries.y.rows - (inverse * logits).softmax(-1)) * logits).sum(-1) * queries.weight).sum())
            for logits, queries in parts
        )

    low, high = SEARCH["lowest"], SEARCH["highest"]
    inverse = 1.0
    if slope(high) < 0:
        for _ in range(int(SEARCH["halvings"])):
            inverse = (low * high) ** 0.5
            low, high = (inverse, high) if slope(inverse) > 0 else (low, inverse)
    reliability = Reliability()
    for logits, queries in parts:
        reliability.add(inverse * logits, queries)
    return 1 / inverse, reliability.error()


def power_of_ways(first: tuple[int, float], second: tuple[int, float]) -> float:
    """Return the power of the number of ways that leads from one temperature to another, between -1 and 1.

    Gradient steps on a mean over examples give logits that shrink as ways are added: their power is -1. It is 0 if a temperature is 1,
    which says that it could not be fitted.

    Args:
        first: a number of ways, and the temperature there.
        second: another number of ways, and the temperature there.

    >>> round(power_of_ways((5, 4.0), (20, 2.0)), 6)
    -0.5
    """
    (ways, temperature), (other_ways, other) = first, second
    if 1.0 in (temperature, other):
        return 0.0
    power = math.log(other / temperature) / math.log(other_ways / ways)
    return min(max(power, -1.0), 1.0)


def input_statistics(spec: InputSpec, x: Tensor | Mapping[str, Tensor]) -> dict[str, float]:
    """Return the spec's statistics of inputs of a batch of tasks, `[task, example, ...]`."""
    return spec.statistics(_stored(spec, tree_map(lambda part: part.flatten(0, 1), x)))


def stored_inputs(spec: InputSpec, examples: Examples) -> dict[str, np.ndarray]:
    """Return the inputs of a task's examples as the spec stores them, by name; without padding."""
    real = examples.weight > 0
    return _stored(spec, tree_map(lambda part: part[real], examples.x))


def _stored(spec: InputSpec, x: Tensor | Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Return inputs `[example, ...]` as the spec stores them; a bare tensor is its single part."""
    layouts = spec.layout()
    named = x if isinstance(x, Mapping) else {next(iter(layouts)): x}
    return {name: layout.to_stored(named[name].detach().cpu().numpy()) for name, layout in layouts.items()}
