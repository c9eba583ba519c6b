"""Measures by which the kinds of answer are judged, as their files in `objectives/` say."""

from __future__ import annotations

from collections.abc import Mapping

from quickstudy import discovery
from quickstudy.objectives._measure import Measure
from quickstudy.objectives.classes import OneHot

MEASURES: dict[str, Measure] = {name: discovery.load("objectives", name).measure for name in discovery.names("objectives")}
"""Measure by which each kind of answer is judged."""
ACCURACY = OneHot.measure


def measure_in(result: Mapping[str, object]) -> Measure:
    """Return the measure of a plain result.

    >>> measure_in({"mean_squared_error": 0.5, "ci95": 0.1}).name
    'mean squared error'
    """
    return next(measure for measure in MEASURES.values() if measure.key in result)
