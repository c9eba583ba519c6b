"""Evaluation on a frozen set of tasks: mean and 95 % confidence interval, the protocol and the hash of the tasks beside them.

No task needs a graph, so several are mapped together by `vmap` where that is faster: as many as keep the largest tensor small. The rule
counts elements and not seconds, so that the same tasks are summed in the same order every time, to the last bit.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import weakref
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import vmap

from quickstudy.errors import ConfigError, TaskError
from quickstudy.functional.call import with_tensors
from quickstudy.layers.attention import attends, plain_attention
from quickstudy.layers.check import unchanged_buffers
from quickstudy.learner import Learner, hyperparameters
from quickstudy.task import Task
from quickstudy.tasks.source import TaskSource
from quickstudy.training.graphs import Captured
from quickstudy.training.measures import ACCURACY, MEASURES, Measure, Score
from quickstudy.training.memory import Made, keep_freed_memory
from quickstudy.training.meta_gradient import Tensors, tensors_of
from quickstudy.training.processes.group import ALONE, Group

BATCH = 16
"""Tasks that are drawn at once, and the most that are mapped together."""

LARGEST = {"cpu": 2**24}
"""Elements of the largest tensor of tasks mapped together, by kind of device."""
LARGEST_ELSEWHERE = 2**26
ALONE_FROM = {"cpu": 2**21}
"""Elements of a task's largest tensor from which tasks are judged one by one: on a CPU, 8 MB fill the cache already."""

CAPTURED_FROM = 150
"""Tasks from which it is worth a second or more to capture a graph."""

_GRAPHS: weakref.WeakKeyDictionary[Learner, tuple[list[nn.Module], str, dict[str, Any]]] = weakref.WeakKeyDictionary()
"""Captured graphs, for the next validation of the same learner, beside its layers and what they said of themselves."""

UNMAPPED = (nn.GroupNorm, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
"""Layers of torch that `vmap` cannot map over channels-last images: nets that have them are judged task by task."""


@dataclasses.dataclass(frozen=True)
class Result:
    """One score for each task, and their mean.

    Args:
        scores: of each task, `[task]`: the fraction of queries predicted rightly, or the mean squared error.
        protocol: `inductive` or `transductive`.
        tasks: the protocol of the tasks (data set, ways, shots, ...).
        tasks_hash: equal hashes, equal tasks.
        measure: what the scores are.
    """

    scores: np.ndarray
    protocol: str
    tasks: dict[str, Any]
    tasks_hash: str
    measure: Measure = ACCURACY

    @property
    def mean(self) -> float:
        """Mean over tasks; an accuracy is in [0, 1]."""
        return float(self.scores.mean())

    @property
    def ci95(self) -> float:
        """Half the width of the 95 % confidence interval of the mean: 1.96 standard errors over tasks."""
        count = len(self.scores)
        return 1.96 * float(self.scores.std(ddof=1)) / math.sqrt(count) if count > 1 else math.inf

    def to_dict(self) -> dict[str, Any]:
        """Plain values; the mean under the name of its measure, accuracies in percent."""
        return {
            self.measure.key: self.measure.rounded(self.mean),
            "ci95": self.measure.rounded(self.ci95) if math.isfinite(self.ci95) else None,
            "test_tasks": len(self.scores),
            "protocol": self.protocol,
            **self.tasks,
            "tasks_hash": self.tasks_hash,
        }


def evaluate(
    learner: Learner,
    tasks: TaskSource,
    count: int = 1000,
    advance: Callable[[int], None] | None = None,
    *,
    engine: Literal["auto", "loop", "vmap"] = "auto",
    group: Group = ALONE,
) -> Result:
    """Adapt to each of the first `count` tasks and predict its queries.

    Args:
        learner: not changed. It is judged by accuracy, or by mean squared error if the tasks ask for values.
        tasks: where the tasks come from.
        count: number of tasks; the paper's figures are from 600 to 10,000.
        advance: called with the number of tasks done since the last call (for a progress bar).
        engine: `loop`, one task at a time; `vmap`, many together; `auto`, as many as suit their size and the device. They agree up to
            rounding.
        group: processes that share the tasks; each of them returns the result of all.

    Raises:
        TaskError: a query set asks for a class that the support set lacks.
        ConfigError: no tasks, or a learner of classes for tasks of values.
    """
    if count < 1:
        raise ConfigError(f"count is {count}; expected at least 1 task to evaluate on.")
    check_fits(learner, tasks)
    if count >= CAPTURED_FROM:
        keep_freed_memory()
    measure = MEASURES[tasks.target]
    device = next((value.device for value in learner.state_dict().values()), torch.device("cpu"))
    mine, scores, score = group.share(range(count)), [], None
    together = {"loop": 1, "vmap": BATCH}.get(engine)
    with (
        torch.no_grad(),
        unchanged_buffers(learner.eval()),
        plain_attention() if attends(learner) else contextlib.nullcontext(),
    ):
        for begin in mine[::BATCH]:
            batch = tasks.batch(range(begin, min(begin + BATCH, mine.stop))).to(device)
            if measure is ACCURACY:
                _check_answerable(batch, begin)
            score = score or _Scorer(
                learner, measure.score, together or _together(learner, batch[0]), captured=count >= CAPTURED_FROM
            )
            scores += score(batch)
            if advance:
                advance(batch.count)
    found = np.array(group.gather(scores))
    return Result(found, learner.protocol, tasks.describe(), tasks.fingerprint(count), measure)


def check_fits(learner: Learner, tasks: TaskSource) -> None:
    """Raise a ConfigError for tasks whose kind of answer the learner cannot predict."""
    kinds = [target.name for target in learner.targets]
    if tasks.target not in kinds:
        raise ConfigError(
            f"the tasks ask for {tasks.target}, but {type(learner).__name__} predicts {' or '.join(kinds)} only; take another learner."
        )


class _Scorer:
    """Scores of the tasks of a batch.

    Args:
        learner: what is judged.
        score: by what.
        together: how many tasks are mapped together.
        captured: replay captured graphs, on all threads of a CPU.
    """

    def __init__(self, learner: Learner, score: Score, together: int, captured: bool) -> None:
        self.learner, self.together = learner, together

        def one(weights: Tensors, task: Task) -> Tensor:
            changed = with_tensors(learner, weights)
            return score(changed.predict(changed.adapt(task.support), task.query.x), task.query)

        def scores(parameters: Tensors, buffers: Tensors, tasks: Task) -> Tensor:
            weights = parameters | buffers
            if together == 1:
                return torch.stack([one(weights, tasks[index]) for index in range(tasks.count)])
            return vmap(one, in_dims=(None, 0))(weights, tasks)

        self.scores = scores
        self.captured = Captured(learner, scores, _graphs_of(learner)) if captured and _says_how_it_was_built(learner) else None

    def __call__(self, batch: Task) -> list[float]:
        """The score of each task."""
        count = batch.count
        chunks = [batch[begin : min(begin + self.together, count)] for begin in range(0, count, self.together)]
        parameters, buffers = tensors_of(self.learner)
        if self.captured is not None:
            try:
                workers = torch.get_num_threads() if batch.device.type == "cpu" else 1
                return torch.cat(self.captured.replay(parameters, buffers, chunks, workers)).tolist()
            except (RuntimeError, NotImplementedError):  # a learner that cannot be traced is judged as it is
                self.captured = None
        return torch.cat([self.scores(parameters, buffers, chunk) for chunk in chunks]).tolist()


def _says_how_it_was_built(learner: Learner) -> bool:
    """Whether its hyperparameters are known, so that a change of them is seen: a graph has them as constants."""
    try:
        hyperparameters(learner)
    except AttributeError:
        return False
    return True


def _graphs_of(learner: Learner) -> dict[str, Any]:
    """Where the learner's captured graphs are kept; empty where its layers are others now, or have changed."""
    layers, said = list(learner.modules())[1:], repr(learner)
    kept = _GRAPHS.get(learner)
    if kept is None or kept[:2] != (layers, said):
        kept = _GRAPHS[learner] = layers, said, {}
    return kept[2]


def _together(learner: Learner, task: Task) -> int:
    """How many tasks to map together."""
    if any(type(layer) in UNMAPPED for layer in learner.modules()):
        return 1
    with Made() as made:
        learner.predict(learner.adapt(task.support), task.query.x)
    device = task.device.type
    if made.largest >= ALONE_FROM.get(device, math.inf):
        return 1
    return max(1, min(BATCH, LARGEST.get(device, LARGEST_ELSEWHERE) // made.largest))


def _check_answerable(batch: Task, begin: int) -> None:
    """Every class that is asked for must have been shown; `begin` is the index of the first task of the batch."""
    shown, asked = (
        (F.one_hot(part.y.rows.argmax(-1), part.y.outputs) * part.weight.unsqueeze(-1)).sum(1)
        for part in (batch.support, batch.query)
    )
    lacking = ((asked > 0) & (shown == 0)).nonzero()
    if len(lacking):
        task, way = lacking[0].tolist()
        raise TaskError(
            f"task {begin + task} asks in its query set for way {way}, of which its support set has no example. Add one, or leave "
            "these queries out."
        )
