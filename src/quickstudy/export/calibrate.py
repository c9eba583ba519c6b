"""Choose when to say "none of these": a threshold on the largest logit, chosen and measured on tasks with queries of other classes.

Bendale and Boult 2016, "Towards Open Set Deep Networks", section 1: a classifier must be able to refuse. The score is the largest logit
(Hendrycks et al. 2022, "Scaling Out-of-Distribution Detection for Real-World Settings", section 3). For a learner whose logits are negative
distances, that is minus the distance to the nearest class.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch.utils._pytree import tree_map

from quickstudy.errors import TaskError, check_at_least
from quickstudy.export.measure import logits
from quickstudy.objectives.classes import OneHot
from quickstudy.runtime.manifest import Unknown
from quickstudy.runtime.skill_file import engine_of
from quickstudy.task import Examples
from quickstudy.tasks.classes import ClassTasks


def calibrate(learner: Any, tasks: ClassTasks, known: int, count: int = 200, rejected: float = 0.05) -> Unknown:
    """Return the threshold of a learner.

    Args:
        learner: a bundle's `Learner`, or a saved learner, that tells classes apart.
        tasks: tasks of classes that training never saw. The learner is shown the first `known` ways of each, and asked for all.
        known: number of ways that the learner is shown.
        count: number of tasks; the threshold is chosen on the first half of them, and its effect is measured on the other half.
        rejected: fraction of queries of known classes that may be called unknown.

    Raises:
        ConfigError: fewer than two tasks.
        TaskError: the tasks have no ways beyond the known ones.
    """
    check_at_least("count", count, 2)
    of_known, of_others = _largest_of_all(learner, tasks, known, count)
    half = count // 2
    threshold = float(np.quantile(np.concatenate(of_known[:half]), rejected))
    measured = [float((np.concatenate(part[half:]) < threshold).mean()) for part in (of_known, of_others)]
    about = tasks.describe()
    words = f"{count - half} tasks of {about['dataset']}: {known} ways, {about['shots']} shots, {tasks.ways[0] - known} other classes"
    return Unknown(threshold=threshold, rejected=measured[0], detected=measured[1], tasks=words)


def separation(learner: Any, tasks: ClassTasks, known: int, count: int = 200) -> float:
    """Return the area under the ROC curve: how often a query of a known class has a larger largest logit than one of another class.

    It is 0.5 for a learner that cannot tell them apart, and needs no threshold. Ties count half. The arguments are those of `calibrate`,
    which also raises the same TaskError.
    """
    check_at_least("count", count, 1)
    of_known, of_others = (np.concatenate(part) for part in _largest_of_all(learner, tasks, known, count))
    ordered = np.sort(of_others)
    below, up_to = (np.searchsorted(ordered, of_known, side) for side in ("left", "right"))
    return float((below + up_to).mean() / (2 * len(ordered)))


def _largest_of_all(
    learner: Any, tasks: ClassTasks, known: int, count: int
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """Return the largest logits of the queries of each task: those of known classes, and those of other ones."""
    if tasks.ways[0] <= known:
        raise TaskError(f"the tasks have {tasks.ways[0]} ways; expected more than the {known} that the learner is shown.")
    engine = engine_of(learner)
    of_known, of_others = zip(*(_largest(engine, tasks, known, index) for index in range(count)), strict=True)
    return of_known, of_others


def _largest(learner: Any, tasks: ClassTasks, known: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest logit of each query of a task, first for queries of known classes, then for those of other classes."""
    task = tasks[index]
    shown = (task.support.weight > 0) & (task.support.y.rows.argmax(-1) < known)
    support = Examples(tree_map(lambda part: part[shown], task.support.x), OneHot(task.support.y.rows[shown][:, :known]))
    largest = logits(learner, support, task.query.x).max(-1)
    asked = task.query.y.rows.argmax(-1).numpy()
    return largest[asked < known], largest[asked >= known]
