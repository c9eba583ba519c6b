"""Distillation of learners: a small student that, after adapting, predicts as its teacher does after adapting to the same support set.

Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network", section 2, task by task. Cross-entropy is linear in its
targets, so the weighted sum of both losses there is one cross-entropy with the weighted sum of both targets: the student is trained by
its own loss on softened queries, and any learner whose loss looks at the queries can be a student. Deviation: the temperature is 1.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.utils._pytree import tree_map

from quickstudy.errors import ModelError, check_between
from quickstudy.learner import Learner, State
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.values import Values
from quickstudy.task import Answers, Examples, Input, Task
from quickstudy.tasks.source import TaskSource
from quickstudy.training.evaluate import check_fits
from quickstudy.training.fit import fit
from quickstudy.training.progress import Progress, silent
from quickstudy.training.saving import SavedLearner
from quickstudy.training.settings import TrainingSettings


@dataclasses.dataclass(eq=False, repr=False)
class Distilled(Learner):
    """A student in training: only the student's parameters train.

    Args:
        student: what is trained.
        teacher: trained, for the same inputs; a frozen copy of it is kept.
        teaching: weight of the teacher's predictions in the targets; the rest is the truth.

    Raises:
        ModelError: the student's loss does not look at the queries.
        ConfigError: `teaching` is no fraction.
    """

    student: Learner
    teacher: Learner
    teaching: float = 0.5

    targets: ClassVar[tuple[type[Answers], ...]] = (OneHot, Values)

    def __post_init__(self) -> None:
        if not self.student.trains_on_query:
            raise ModelError(
                f"{type(self.student).__name__} learns nothing from queries, so that it cannot be taught by them; use another one."
            )
        check_between("teaching", self.teaching, 0, 1)
        self.measured_every = self.student.measured_every  # pyright: ignore[reportAttributeAccessIssue]
        self.ways = self.student.ways
        self.teacher = copy.deepcopy(self.teacher).requires_grad_(False).eval()

    def adapt(self, support: Examples, state: State | None = None) -> State:
        return self.student.adapt(support, state)

    def predict(self, state: State, x: Input) -> Float[Tensor, "example output"]:
        return self.student.predict(state, x)

    def predict_padded(self, state: State, x: Input, mask: Bool[Tensor, " example"] | None) -> Float[Tensor, "example output"]:
        return self.student.predict_padded(state, x, mask)

    def loss(self, task: Task) -> Float[Tensor, ""]:
        with torch.no_grad():
            taught = self.teacher.predict_padded(self.teacher.adapt(task.support), task.query.x, task.query.mask)
        truth, taught = task.query.y, task.query.y.like(taught.detach())
        y = tree_map(lambda a, b: self.teaching * a + (1 - self.teaching) * b, taught, truth)
        return self.student.loss(dataclasses.replace(task, query=dataclasses.replace(task.query, y=y)))

    def calibrate(self, tasks: Iterable[Task]) -> None:
        self.student.calibrate(tasks)

    @property
    def transductive(self) -> bool:
        return self.student.transductive


def distil(
    student: Learner,
    teacher: SavedLearner,
    tasks: TaskSource,
    settings: TrainingSettings,
    *,
    teaching: float = 0.5,
    progress: Progress = silent,
) -> SavedLearner:
    """Train a student of a trained learner.

    Args:
        student: changed in place.
        teacher: for the same inputs.
        tasks: training tasks.
        settings: of `fit`; those of the outer loop that are open are what suits the student.
        teaching: weight of the teacher's predictions in the targets; the rest is the truth.
        progress: is told how far it is.

    Returns:
        The student, with the teacher's inputs, and where it comes from.
    """
    check_fits(student, tasks)
    learner = Distilled(student, teacher.learner, teaching)
    found = fit(learner, tasks, settings=settings.suited_to(student), progress=progress)
    about = {"teaching": teaching, "steps": found.info["steps"], "minutes": found.info["minutes"]}
    info = {"trained_on": found.info["trained_on"], "distilled": about}
    return dataclasses.replace(found, learner=student, spec=teacher.spec, info=info, target=teacher.target)
