"""Diagnosis: which rate is too large if the loss of a step is not a number."""

from __future__ import annotations

import torch

from quickstudy.learner import Learner, changed
from quickstudy.task import Task


def likely_rate(learner: Learner, tasks: Task, lr: float | None) -> str:
    """Return the rate that is most likely too large, with its value, for tasks that have no finite loss."""
    if _adapting_diverges(learner, tasks):
        return f"{learner.rate}={getattr(learner, learner.rate)}"
    return f"lr={lr}"


def _adapting_diverges(learner: Learner, tasks: Task, large: float = 1e4) -> bool:
    """Return whether the tasks have a finite loss without the learner's own rate, from weights that outer steps left small.

    If a weight is above `large`, the outer learning rate diverged, not the inner loop: trained weights are below 100.
    """
    if not learner.rate:
        return False
    if any(not float(value.detach().abs().max()) < large for value in learner.parameters()):
        return False
    still = changed(learner, **{learner.rate: 0.0})
    with torch.no_grad():
        return all(bool(torch.isfinite(still.loss(tasks[index]))) for index in range(tasks.count))
