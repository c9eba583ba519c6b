"""Compare a learner with another way to predict the same tasks, task by task."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from quickstudy.training.doctor._limits import LIMITS
from quickstudy.training.doctor._patient import Finding, Patient


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Scores of the learner and of another way, on the same tasks.

    Args:
        text: both means, and the gain with its 95 % interval over tasks.
        gain: mean over tasks of how much better the learner is, in the measure's own scale.
        ci95: half the width of the interval of the gain.
        worse_by: difference that counts: a learner that loses more is clearly worse, and one that gains less hardly better.
    """

    text: str
    gain: float
    ci95: float
    worse_by: float

    @property
    def better(self) -> bool:
        """Return whether the whole interval is above zero."""
        return self.gain - self.ci95 > 0

    @property
    def worse(self) -> bool:
        """Return whether the whole interval is below what counts as worse; no number is worse than any."""
        return not self.gain + self.ci95 >= -self.worse_by

    @property
    def useless(self) -> bool:
        """Return whether no gain that counts is left in the interval; no number is no gain."""
        return not self.gain + self.ci95 > self.worse_by

    def figures(self) -> dict[str, float]:
        """Return the plain values."""
        return {"gain": self.gain, "ci95": self.ci95}

    def finding(self, advice: str, *, otherwise: str = "") -> Finding:
        """Return good for a better learner, bad for one that is clearly worse, and look for what lies between, with advice."""
        verdict = "good" if self.better else "bad" if self.worse else "look"
        return Finding(verdict, self.text, otherwise if self.better else advice, self.figures())


def compared(patient: Patient, others: np.ndarray, name: str) -> Comparison:
    """Return the learner's scores beside those of another way of this name, `[task]`."""
    measure, ours = patient.result.measure, patient.result.scores
    gains = (ours - others) * (1 if measure.higher_is_better else -1)
    count = len(gains)
    spread = 1.96 * float(gains.std(ddof=1)) / math.sqrt(count) if count > 1 else math.inf
    means = [f"{measure.scale * float(scores.mean()):{measure.short}}" for scores in (ours, others)]
    shown = f"{measure.scale * float(gains.mean()):+{measure.short}} ± {measure.scale * spread:{measure.short}}"
    text = f"{measure.name} {means[0]}, {name} {means[1]}: {shown} over {count} tasks"
    limit = LIMITS.accuracy if measure.higher_is_better else LIMITS.error * abs(float(others.mean()))
    return Comparison(text, float(gains.mean()), spread, limit)
