"""Does the loss of the support set fall while adapting?"""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from torch.utils._pytree import tree_leaves

from quickstudy.learner import Learner, changed, hyperparameters
from quickstudy.task import Task
from quickstudy.training.doctor._limits import LIMITS
from quickstudy.training.doctor._patient import Finding, Patient, does_not_apply


def check(patient: Patient) -> Finding:
    """Measure the support loss after more and more steps, and look for states that are not finite."""
    learner, tasks = patient.learner, list(patient.each(LIMITS.steps))
    steps = [name for name, value in hyperparameters(learner).items() if name.endswith("steps") and type(value) is int]
    most = max((getattr(learner, name) for name in steps), default=0)
    rate = f"{learner.rate}, now {getattr(learner, learner.rate)}" if learner.rate else "the inner rate"
    with torch.no_grad():
        if not all(_finite(learner, task) for task in tasks):
            return Finding("bad", "adapted states hold numbers that are not finite", f"lower {rate}: try a third")
        if learner.gradient_free_adapt or not most:
            steps_are = "takes no gradient steps" if learner.traceable else "is that of an export, whose steps are fixed"
            return does_not_apply(f"adapting {steps_are}, and its states are finite")
        points = sorted(
            {*range(min(most, LIMITS.points // 2) + 1), *np.geomspace(1, most, LIMITS.points // 2).round().astype(int).tolist()}
        )
        losses = {
            count: _loss(changed(learner, **{name: min(count, getattr(learner, name)) for name in steps}), tasks)
            for count in points
        }
    shown = ", ".join(f"{loss:.3g} after {count}" for count, loss in losses.items())
    text, figures = f"support loss {shown} steps", {"losses": {str(count): loss for count, loss in losses.items()}}
    first, *_, last = losses.values()
    if not all(math.isfinite(loss) for loss in losses.values()) or last > first:
        return Finding("bad", text, f"adapting diverges: lower {rate}; try a third", figures)
    values = list(losses.values())
    if any(after > LIMITS.rise * before + 1e-3 for before, after in itertools.pairwise(values)):
        return Finding("look", text, f"the loss rises on its way: lower {rate}", figures)
    return Finding("good", text, figures=figures)


def _finite(learner: Learner, task: Task) -> bool:
    """Return whether the state after a task is finite."""
    return all(bool(leaf.isfinite().all()) for leaf in tree_leaves(dict(learner.adapt(task.support))))


def _loss(learner: Learner, tasks: list[Task]) -> float:
    """Return the mean loss of support sets after adapting to them."""
    losses = [
        task.support.y.loss(learner.predict(learner.adapt(task.support), task.support.x), task.support.weight) for task in tasks
    ]
    return float(torch.stack(losses).mean())
