"""Multi-task learning: training tasks share a body, each with a head of its own; a new task gets a new head on that body.

The body is trained on all tasks at once. Losses of tasks are weighted by how uncertain each task is, which is learned (Kendall, Gal and
Cipolla 2018, "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and Semantics", eq. 10, with `log sigma^2` as in
section 3.2): `exp(-s) loss + s / 2` for each task. A training task is to tell some of the training classes apart, and no others: classes
that lie side by side in the data set (one alphabet after another), in `training_tasks` parts of equal size. Deviations: the paper's tasks
have the same inputs, and these have inputs of their own; only tasks that a batch has examples of count in it. The head of a new task is
a ridge regression, as in `r2d2`.
"""

import dataclasses
from typing import ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import ConfigError, check_above, check_at_least, check_choice
from quickstudy.functional.call import Parameters
from quickstudy.functional.classes import ABSENT
from quickstudy.functional.linear import with_ones
from quickstudy.learner import State
from quickstudy.learners._embedding import embed_batch, regressed
from quickstudy.learners._pooled import PooledLearner
from quickstudy.learners._weights import counted, hide_unseen
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.values import Values
from quickstudy.task import Answers, Examples, Task

Weighting = Literal["uncertainty", "equal"]

CLASSES_PER_TASK = 20
"""Number of classes of a training task if nobody says how many tasks there are: about the letters of an alphabet."""


@dataclasses.dataclass(eq=False, repr=False)
class MultiTask(PooledLearner):
    """State: the sums `X'X` and `X'Y` over the support set, the head that solves them, and how often each way was seen.

    Args:
        net: the shared body, `[example, ...]` to `[example, feature]`.
        classes: number of training classes, which training fills in; None as long as there are no heads.
        training_tasks: number of tasks that the training classes are divided into, at most half as many as there are classes, since a
            task of one class teaches nothing; None for tasks of `CLASSES_PER_TASK` classes, or a few more.
        weighting: of the tasks' losses: by their learned `uncertainty`, or `equal`.
        penalty: of large weights in the head of a new task; above 0.
        scale: from regressed values of classes to logits; above 0.
    """

    training_tasks: int | None = None
    weighting: Weighting = "uncertainty"
    penalty: float = 1.0
    scale: float = 10.0

    targets: ClassVar[tuple[type[Answers], ...]] = (OneHot, Values)
    gradient_free_adapt: ClassVar[bool] = True
    continues: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.training_tasks is not None:
            check_at_least("training_tasks", self.training_tasks, 1)
        check_choice("weighting", self.weighting, get_args(Weighting))
        check_above("penalty", self.penalty, 0)
        check_above("scale", self.scale, 0)
        super().__post_init__()

    def logits(self, head: Parameters, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example class"]:
        return F.linear(features, head["weight"], head["bias"])

    def learn(self, features: Float[Tensor, "example feature"], support: Examples, state: State | None) -> State:
        return {**regressed(features, support, state, self.penalty), **counted(support, state)}

    def answer(self, state: State, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example output"]:
        values = with_ones(features) @ state["head"]
        return hide_unseen(self.scale * values, state) if "counts" in state else values

    def loss(self, task: Task) -> Float[Tensor, ""]:
        if task.support.count or self.classifier is None:
            return super().loss(task)
        query = self.matched(task.query)
        head: Parameters = dict(self.classifier.named_parameters())
        logits, y = self.logits(head, embed_batch(self.net, query)), query.y.rows
        parts = self._parts(y)
        tasks = y @ parts  # [example, task]
        own = torch.where(tasks @ parts.t() > 0, logits, ABSENT)
        each = -(y * F.log_softmax(own, dim=-1)).sum(-1)
        weight = tasks * query.weight.unsqueeze(-1)
        count = weight.sum(0)
        losses = each @ weight / count.clamp(min=1e-12)
        if self.weighting == "uncertainty":
            uncertainty = head["log_variance"]
            losses = torch.exp(-uncertainty) * losses + uncertainty / 2
        there = (count > 0).to(losses.dtype)
        return (losses * there).sum() / there.sum().clamp(min=1.0)

    def _build(self, classes: int) -> None:
        tasks = self._tasks(classes)
        if tasks > 1 and 2 * tasks > classes:
            raise ConfigError(
                f"training_tasks is {tasks}, but the training data has {classes} classes; expected at most {classes // 2}, "
                "so that every task has two.",
                subject="training_tasks",
                expected=f"at most {classes // 2}",
            )
        super()._build(classes)
        if self.weighting == "uncertainty" and self.classifier is not None:
            self.classifier.log_variance = nn.Parameter(torch.zeros(tasks))

    def _tasks(self, classes: int) -> int:
        """Return the number of training tasks of so many classes."""
        return self.training_tasks or max(1, classes // CLASSES_PER_TASK)

    def _parts(self, y: Float[Tensor, "example class"]) -> Float[Tensor, "class task"]:
        """Return 1 for the task that each class is of: as many classes in every task, or one more."""
        tasks = self._tasks(y.shape[1])
        place = torch.arange(y.shape[1], device=y.device) * tasks // y.shape[1]
        return (place.unsqueeze(1) == torch.arange(tasks, device=y.device)).to(y.dtype)
