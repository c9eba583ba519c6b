"""Distillation of learners: a small student that, after adapting, predicts as its teacher does after adapting to the same support set.

Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network", section 2, task by task. Cross-entropy is linear in its
targets, so the weighted sum of both losses there is one cross-entropy with the weighted sum of both targets: the student is trained by
its own loss on softened queries, and any learner whose loss looks at the queries can be a student. Deviation: the temperature is 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils._pytree import tree_map

from quickstudy.errors import ConfigError, ModelError
from quickstudy.learner import Learner, State
from quickstudy.task import Examples, Input, Task
from quickstudy.training.evaluate import TaskSource
from quickstudy.training.fit import fit
from quickstudy.training.progress import Progress, silent
from quickstudy.training.saving import SavedLearner
from quickstudy.training.settings import TrainingSettings


class Distilled(Learner):
    """A student in training; its parameters are the student's.

    Args:
        student: what is trained.
        teacher: trained, for the same inputs; it is not changed.
        teaching: weight of the teacher's predictions in the targets; the rest is the truth.

    Raises:
        ModelError: the student's loss does not look at the queries.
        ConfigError: `teaching` is no fraction.
    """

    def __init__(self, student: Learner, teacher: Learner, teaching: float = 0.5) -> None:
        super().__init__()
        if not student.trains_on_query:
            raise ModelError(
                f"{type(student).__name__} learns nothing from queries, so that it cannot be taught by them; use another one."
            )
        if not 0 <= teaching <= 1:
            raise ConfigError(f"teaching is {teaching}; expected a fraction, from 0 to 1.")
        self.student, self.teaching = student, teaching
        self._teacher = (teacher.eval(),)  # in a tuple, so that its tensors are not the student's
        self.meta_optimizer, self.targets = student.meta_optimizer, student.targets  # pyright: ignore

    @property
    def teacher(self) -> Learner:
        """Whose predictions are the targets."""
        return self._teacher[0]

    def adapt(self, support: Examples, state: State | None = None) -> State:
        return self.student.adapt(support, state)

    def predict(self, state: State, x: Input) -> Float[Tensor, "example output"]:
        return self.student.predict(state, x)

    def loss(self, task: Task) -> Float[Tensor, ""]:
        with torch.no_grad():
            taught = self.teacher.predict(self.teacher.adapt(task.support), task.query.x)
        truth, taught = task.query.y, task.query.y.like(taught.detach())
        y = tree_map(lambda a, b: self.teaching * a + (1 - self.teaching) * b, taught, truth)
        return self.student.loss(Task(task.support, dataclasses.replace(task.query, y=y)))

    def calibrate(self, tasks: Iterable[Task]) -> None:
        self.student.calibrate(tasks)

    @property
    def protocol(self) -> str:
        return self.student.protocol


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
        settings: of `fit`; graphs are not captured.
        teaching: weight of the teacher's predictions in the targets; the rest is the truth.
        progress: is told how far it is.

    Returns:
        The student, with the teacher's inputs, and where it comes from.
    """
    settings = dataclasses.replace(
        settings, capture=False, workers=None
    )  # the teacher's tensors are no inputs of a captured graph
    found = fit(Distilled(student, teacher.learner, teaching), tasks, settings=settings, progress=progress)
    about = {"teaching": teaching, "steps": found.info["steps"], "minutes": found.info["minutes"]}
    about = {"trained_on": found.info["trained_on"], "distilled": about}
    return SavedLearner(student, teacher.spec, about, teacher.target)
