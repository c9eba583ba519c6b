"""Distillation: the loss is the sum that the paper has, the teacher stays as it is, and the student comes to predict as it does."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from builders import (
    DESCENT,
    HEAD_DESCENT,
    JUDGED,
    ORDERED,
    PROTOTYPES,
    Ordered,
    Prototypes,
    furthest,
    gradients,
    make_learner,
    make_tasks,
)

from quickstudy.errors import ConfigError, ModelError
from quickstudy.functional.call import trainable
from quickstudy.inputs.rows import RowsSpec
from quickstudy.learner import Learner
from quickstudy.nets.mlp import MLP
from quickstudy.task import Task
from quickstudy.training.saving import SavedLearner
from quickstudy.training.settings import EngineSettings, TrainingSettings
from quickstudy.transfer.distil import Distilled, distil


def predicted(learner: Learner, task: Task) -> torch.Tensor:
    return learner.predict(learner.adapt(task.support), task.query.x)


def test_a_student_says_how_often_it_is_measured() -> None:
    class Measured(Prototypes):
        measured_every: ClassVar[int | None] = 7

    teacher = Prototypes(MLP(in_features=6))
    assert Distilled(Measured(MLP(in_features=6)), teacher).measured_every == 7
    assert Distilled(Prototypes(MLP(in_features=6)), teacher).measured_every is None


def test_a_student_in_training_has_its_ways() -> None:
    """So that nothing judges it on tasks of others."""
    student, teacher = make_learner(HEAD_DESCENT, head_ways=3), Prototypes(MLP(in_features=6))
    assert Distilled(student, teacher).ways == student.ways == 3
    assert Distilled(teacher, teacher).ways is None


@pytest.mark.parametrize("name", [PROTOTYPES, DESCENT, HEAD_DESCENT])
def test_the_gradient_is_that_of_divergence_and_cross_entropy(name: str) -> None:
    student, teacher, task = make_learner(name), make_learner(PROTOTYPES, seed=1), make_tasks()[0]
    Distilled(student, teacher, teaching=0.3).loss(task).backward()
    found = gradients(student)
    student.zero_grad()
    logits = F.log_softmax(predicted(student, task), -1)
    divergence = F.kl_div(logits, predicted(teacher, task).log_softmax(-1).detach(), log_target=True, reduction="batchmean")
    truth = F.nll_loss(logits, task.query.y.labels)
    (0.3 * divergence + 0.7 * truth).backward()
    assert furthest(found, gradients(student)) < 1e-9


class Blobs:
    """Tasks by index, of Gaussian blobs."""

    target: ClassVar[str] = "classes"
    input: ClassVar[RowsSpec] = RowsSpec(6)

    def batch(self, indices: range) -> Task:
        return make_tasks(len(indices), seed=indices.start, dtype=torch.float32)

    def fingerprint(self, count: int) -> str:
        return "blobs"

    def describe(self) -> dict[str, object]:
        return {"dataset": "blobs"}


def test_a_student_comes_to_predict_as_its_teacher_does() -> None:
    teacher = make_learner(PROTOTYPES, seed=1, dtype=torch.float32)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    student = Prototypes(MLP(in_features=6, hidden=(4,)))
    tasks = [make_tasks(seed=seed, dtype=torch.float32)[0] for seed in range(900, 920)]

    def divergence() -> float:
        with torch.no_grad():
            both = [(predicted(student, task).log_softmax(-1), predicted(teacher, task).log_softmax(-1)) for task in tasks]
        return float(sum(F.kl_div(ours, theirs, log_target=True, reduction="batchmean") for ours, theirs in both)) / len(tasks)

    at_first = divergence()
    settings = TrainingSettings(steps=150, tasks_per_step=2, engine=EngineSettings(capture=True), lr=0.02, validation=JUDGED)
    saved = distil(student, SavedLearner(teacher), Blobs(), settings, teaching=1.0)
    assert divergence() < 0.3 * at_first
    assert saved.learner is student
    assert saved.info["distilled"]["steps"] == 150
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, before[name])


def test_only_the_student_is_trained() -> None:
    student, teacher = make_learner(PROTOTYPES), make_learner(PROTOTYPES, seed=1)
    found = {id(value) for value in trainable(Distilled(student, teacher)).values()}
    assert found == {id(value) for value in student.parameters()}
    assert all(value.requires_grad for value in teacher.parameters())


def test_a_student_that_does_not_look_at_queries_is_refused() -> None:
    with pytest.raises(ModelError, match=f"{Ordered.__name__} learns nothing from queries"):
        Distilled(make_learner(ORDERED), make_learner(PROTOTYPES))


def test_teaching_is_a_fraction() -> None:
    with pytest.raises(ConfigError, match=r"teaching is 1\.5"):
        Distilled(make_learner(PROTOTYPES), make_learner(PROTOTYPES), teaching=1.5)
