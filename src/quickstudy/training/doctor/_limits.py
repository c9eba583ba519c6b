"""Limits of the checks: what is looked at, and from where on it is good, a look, or bad."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Limits:
    """Numbers of the checks.

    Args:
        accuracy: loss of accuracy that counts as clearly worse: 2 points, more than the intervals of most papers' tables are wide.
        error: the same for errors of values, as a share of the other one's error.
        penalty: penalty of the probe's ridge regression, as a share of the mean squared length of centred features.
        alone: number of tasks whose queries are predicted together and apart.
        together: difference of these predictions, as a share of the largest one, that rounding explains in float32.
        equal: share of the smaller split's examples up to which equal ones are no fault: every data set has blank or broken files.
        known: share of tasks up to which a query that equals a support example is no fault: it may be an equal file in the data.
        steps: number of tasks whose loss is measured while adapting.
        points: most numbers of steps after which it is measured.
        rise: factor from one point to the next that counts as a rise.
        gradients: number of tasks whose meta-gradients are compared, in float64.
        step: length of the step along a random direction; rounding leaves 1e-10 of a loss, kinks of a net more.
        slope: largest relative difference of a gradient's slope from the difference of losses.
        exact: largest relative difference of two ways to compute one gradient.
        confident: calibration error up to which confidence is good.
        overconfident: calibration error from which it is bad: of 100 predictions at 90 %, 75 are right.
        unlike: share of tasks up to which support sets unlike those of training are no fault: few examples are unlike by chance.
    """

    accuracy: float = 0.02
    error: float = 0.1
    penalty: float = 0.1
    alone: int = 4
    together: float = 1e-3
    equal: float = 1e-3
    known: float = 0.01
    steps: int = 8
    points: int = 8
    rise: float = 1.05
    gradients: int = 2
    step: float = 1e-5
    slope: float = 1e-3
    exact: float = 1e-6
    confident: float = 0.05
    overconfident: float = 0.15
    unlike: float = 0.05


LIMITS = Limits()
