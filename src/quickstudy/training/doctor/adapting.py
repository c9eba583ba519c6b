"""Does adapting to a task help?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from quickstudy.learner import changed
from quickstudy.task import Task
from quickstudy.training.doctor._compare import compared
from quickstudy.training.doctor._patient import Finding, Patient


def check(patient: Patient) -> Finding:
    """Compare with the learner after other tasks' support sets, and, if it has a rate, with a rate of 0: the better of the two."""
    learner = patient.learner
    ways = {"adapted to another task": patient.scores(_to_another(patient))}
    if learner.rate:
        still = changed(learner, **{learner.rate: 0.0})
        ways["not adapted"] = patient.scores(
            lambda task: still.predict_padded(still.adapt(task.support), task.query.x, task.query.mask)
        )
    sign = 1 if patient.result.measure.higher_is_better else -1
    name = max(ways, key=lambda way: np.nan_to_num(sign * ways[way].mean(), nan=-np.inf))
    found = compared(patient, ways[name], name)
    if found.better:
        return Finding("good", found.text, figures=found.figures())
    if not found.useless:
        return Finding("look", found.text, "the interval is wide: look at more tasks (--tasks)", found.figures())
    rate = f"raise {learner.rate}, now {getattr(learner, learner.rate)}, or" if learner.rate else "train longer, or"
    advice = f"the learner makes no use of the support set: {rate} check that training tasks need it"
    return Finding("bad", found.text, advice, found.figures())


def _to_another(patient: Patient) -> Callable[[Task], Tensor]:
    """Return a function that predicts the queries of each task in turn after the support set of the task before it."""
    learner, before = (
        patient.learner,
        [patient.learner.matched(patient.tasks.batch(range(patient.count, patient.count + 1))[0])],
    )

    def predict(task: Task) -> Tensor:
        state = learner.adapt(before.pop().support)
        before.append(task)
        return learner.predict_padded(state, task.query.x, task.query.mask)

    return predict
