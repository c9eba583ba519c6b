"""Evaluation on a frozen set of tasks: mean and 95 % confidence interval, the protocol and the hash of the tasks beside them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F

from quickstudy.errors import ConfigError, TaskError
from quickstudy.learner import Learner
from quickstudy.task import Task
from quickstudy.training.distributed import ALONE, Group


class TaskSource(Protocol):
    """Tasks by index: what `fit` and `evaluate` take."""

    def batch(self, indices: range) -> Task: ...

    def fingerprint(self, count: int) -> str: ...

    def describe(self) -> dict[str, Any]: ...


@dataclasses.dataclass(frozen=True)
class Result:
    """Accuracy over tasks.

    Args:
        accuracy: fraction of queries predicted rightly, for each task, `[task]`.
        protocol: `inductive` or `transductive`.
        tasks: the protocol of the tasks (data set, ways, shots, ...).
        tasks_hash: equal hashes, equal tasks.
    """

    accuracy: np.ndarray
    protocol: str
    tasks: dict[str, Any]
    tasks_hash: str

    @property
    def mean(self) -> float:
        """Mean accuracy, in [0, 1]."""
        return float(self.accuracy.mean())

    @property
    def ci95(self) -> float:
        """Half the width of the 95 % confidence interval of the mean: 1.96 standard errors over tasks."""
        count = len(self.accuracy)
        return 1.96 * float(self.accuracy.std(ddof=1)) / math.sqrt(count) if count > 1 else math.inf

    def to_dict(self) -> dict[str, Any]:
        """Plain values, accuracies in percent."""
        return {
            "accuracy": round(100 * self.mean, 3),
            "ci95": round(100 * self.ci95, 3) if math.isfinite(self.ci95) else None,
            "test_tasks": len(self.accuracy),
            "protocol": self.protocol,
            **self.tasks,
            "tasks_hash": self.tasks_hash,
        }


def evaluate(
    learner: Learner,
    tasks: TaskSource,
    count: int = 1000,
    advance: Callable[[int], None] | None = None,
    group: Group = ALONE,
) -> Result:
    """Adapt to each of the first `count` tasks and predict its queries.

    Args:
        learner: not changed.
        tasks: where the tasks come from.
        count: number of tasks; the paper's figures are from 600 to 10,000.
        advance: called with the number of tasks done since the last call (for a progress bar).
        group: processes that share the tasks; each of them returns the result of all.

    Raises:
        TaskError: a query set asks for a class that the support set lacks.
    """
    if getattr(learner, "objective", "classification") != "classification":
        raise ConfigError(
            "evaluate measures accuracy, but this learner's objective is regression. Use its `criterion` on its predictions."
        )
    if count < 1:
        raise ConfigError(f"count is {count}; expected at least 1 task to evaluate on.")
    device = next((value.device for value in learner.state_dict().values()), torch.device("cpu"))
    accuracy, mine = [], group.share(range(count))
    with torch.no_grad():
        for begin in mine[::16]:
            batch = tasks.batch(range(begin, min(begin + 16, mine.stop))).to(device)
            _check_answerable(batch, begin)
            accuracy += [_accuracy(learner, batch[i]) for i in range(len(batch.support.y))]
            if advance:
                advance(len(batch.support.y))
    return Result(np.array(group.gather(accuracy)), learner.protocol, tasks.describe(), tasks.fingerprint(count))


def _check_answerable(batch: Task, begin: int) -> None:
    """Every class that is asked for must have been shown; `begin` is the index of the first task of the batch."""
    shown, asked = (
        (F.one_hot(part.y.argmax(-1), part.y.shape[-1]) * part.weight.unsqueeze(-1)).sum(1)
        for part in (batch.support, batch.query)
    )
    lacking = ((asked > 0) & (shown == 0)).nonzero()
    if len(lacking):
        task, way = lacking[0].tolist()
        raise TaskError(
            f"task {begin + task} asks in its query set for way {way}, of which its support set has no example. Add one, or leave "
            "these queries out."
        )


def _accuracy(learner: Learner, task: Task) -> float:
    prediction = learner.predict(learner.adapt(task.support), task.query.x)
    right = (prediction.argmax(-1) == task.query.y.argmax(-1)).to(task.query.y.dtype)
    return float((right * task.query.weight).sum() / task.query.weight.sum())
