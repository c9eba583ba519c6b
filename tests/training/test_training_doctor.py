"""The doctor finds what is wrong in runs that are ill in one way each, and nothing bad in a healthy one."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from builders import Blobs, Descent, HeadDescent, Prototypes, make_learner
from torch import Tensor, nn

from quickstudy import discovery
from quickstudy.data import Dataset, from_arrays
from quickstudy.learner import changed
from quickstudy.nets.identity import Identity
from quickstudy.nets.mlp import MLP
from quickstudy.task import Task
from quickstudy.tasks.classes import ClassTasks
from quickstudy.tasks.sinusoid import SinusoidTasks
from quickstudy.training.doctor import FOLDER, Finding, Patient, examine, questions
from quickstudy.training.doctor._compare import Comparison
from quickstudy.training.fit import fit
from quickstudy.training.saving import SavedLearner
from quickstudy.training.settings import TrainingSettings, ValidationSettings

COUNT = 40


def answer(name: str, patient: Patient) -> Finding:
    return discovery.module(FOLDER, name).check(patient)


@pytest.fixture(scope="module")
def healthy() -> SavedLearner:
    torch.manual_seed(0)
    settings = TrainingSettings(steps=60, tasks_per_step=8, lr=1e-2, validation=ValidationSettings(every=60, tasks=40))
    learner = Descent(MLP(6, (16,)), inner_lr=0.5, inner_steps=5)
    return fit(learner, Blobs(), Blobs(), dataclasses.replace(settings, engine="vmap"))  # type: ignore[arg-type]


def rows(classes: int = 8, scale: float = 1.0, names: str = "class") -> Dataset:
    rng = np.random.default_rng(0)
    middles = 4 * rng.standard_normal((classes, 1, 6))
    found = scale * (middles + rng.standard_normal((classes, 8, 6))).astype(np.float32)
    labels = np.repeat([f"{names}{number}" for number in range(classes)], 8)
    return from_arrays(found.reshape(-1, 6), labels, name="rows")


def test_a_healthy_run_has_nothing_bad(healthy: SavedLearner) -> None:
    data = rows()
    splits = {"training": data.select([0, 1, 2, 3]), "test": data.select([4, 5, 6, 7])}
    found = examine(Patient(healthy, Blobs(), COUNT, splits))
    assert {name: finding.found for name, finding in found.items() if finding.verdict == "bad"} == {}
    for name in ("adapting", "rate", "gradients", "overlap", "leak", "protocol", "confidence"):
        assert found[name].verdict == "good", (name, found[name])
    assert found["gradients"].figures["slope"] < 1e-5
    assert found["inputs"].verdict in ("good", "does not apply")
    losses = list(found["rate"].figures["losses"].values())
    assert losses[-1] < losses[0] == pytest.approx(np.log(3), rel=1e-4)  # the head starts at zero, on three ways


def test_a_rate_that_diverges_is_bad(healthy: SavedLearner) -> None:
    wild = changed(healthy.learner, inner_lr=1e4)
    found = answer("rate", Patient(dataclasses.replace(healthy, learner=wild), Blobs(), COUNT))
    assert found.verdict == "bad"
    assert "inner_lr, now 10000.0" in found.advice


def test_a_learner_that_does_not_adapt_is_bad(healthy: SavedLearner) -> None:
    still = dataclasses.replace(healthy, learner=changed(healthy.learner, inner_lr=0.0))
    found = examine(Patient(still, Blobs(), COUNT))
    assert found["adapting"].verdict == "bad"
    assert found["centroid"].verdict == "bad"
    assert found["probe"].verdict == "bad"
    assert found["adapting"].figures["gain"] == pytest.approx(0, abs=0.1)


def test_splits_that_share_a_class_or_an_example_are_bad(healthy: SavedLearner) -> None:
    data = rows()
    one, other = data.select([0, 1, 2], "a"), data.select([2, 3], "b")
    found = answer("overlap", Patient(healthy, Blobs(), COUNT, {"one": one, "other": other}))
    assert found.verdict == "bad"
    assert "one and other share 1 classes, such as 'class2'" in found.found
    renamed = rows(names="other")  # the same examples under other names
    found = answer("overlap", Patient(healthy, Blobs(), COUNT, {"one": one, "other": renamed}))
    assert found.verdict == "bad"
    assert found.figures == {"classes": 0, "examples": 24, "largest_share": 1.0}
    assert answer("overlap", Patient(healthy, Blobs(), COUNT)).verdict == "does not apply"


class LayerNormed(nn.Module):
    """A net with a layer of torch through which a joint gradient is wrong in second order."""

    features = 8

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.norm(self.first(x))))


class Cube(torch.autograd.Function):
    """The cube of a number, whose second derivative says zero."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x**3

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grads[0] * Constant.apply(3 * x**2)


class Constant(torch.autograd.Function):
    """A number whose derivative says zero."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return torch.zeros_like(grads[0])


class Cubed(LayerNormed):
    """A net whose second derivative is wrong however tasks are mapped."""

    def forward(self, x: Tensor) -> Tensor:
        return self.last(Cube.apply(self.first(x)))


def test_second_derivatives_that_are_wrong_are_found() -> None:
    torch.manual_seed(0)
    joint = answer("gradients", Patient(SavedLearner(Descent(LayerNormed(), inner_lr=0.1)), Blobs(), COUNT))
    assert joint.verdict == "look"
    assert joint.figures["joint"] > 1e-4
    assert joint.figures["vmap"] < 1e-9
    wrong = answer("gradients", Patient(SavedLearner(Descent(Cubed(), inner_lr=0.1)), Blobs(), COUNT))
    assert wrong.verdict == "bad"
    assert wrong.figures["slope"] > 0.01
    first = answer("gradients", Patient(SavedLearner(Descent(Cubed(), inner_lr=0.1, first_order=True)), Blobs(), COUNT))
    assert "slope" not in first.figures  # which is no derivative


class Known(Blobs):
    """Tasks whose queries are the support set."""

    def batch(self, indices: range) -> Task:
        task = super().batch(indices)
        return dataclasses.replace(task, query=task.support)


def test_queries_that_are_known_are_bad(healthy: SavedLearner) -> None:
    found = answer("leak", Patient(healthy, Known(), COUNT))
    assert found.verdict == "bad"
    assert found.figures == {"tasks": COUNT, "queries": 9 * COUNT, "of_tasks": COUNT}


class Centred(nn.Module):
    """A net that looks at all examples at once without saying so."""

    features = 6

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


def test_answers_that_depend_on_other_queries_are_found() -> None:
    hidden = answer("protocol", Patient(SavedLearner(Prototypes(Centred())), Blobs(), COUNT))
    assert hidden.verdict == "bad"
    torch.manual_seed(0)
    open_ = SavedLearner(HeadDescent(MLP(6, (8,), norm="batch"), statistics="query"))
    said = answer("protocol", Patient(open_, Blobs(), COUNT))
    assert said.verdict == "look"
    assert {"together", "alone"} <= set(said.figures)


class Joint(Prototypes):
    """A learner that looks at all queries at once, says so, and has no choice of statistics."""

    @property
    def transductive(self) -> bool:
        return True


def test_a_learner_that_learns_from_queries_is_not_told_to_change_its_statistics() -> None:
    said = answer("protocol", Patient(SavedLearner(Joint(Centred())), Blobs(), COUNT))
    assert said.verdict == "look"
    assert "which the learner learns from" in said.found
    assert "statistics" not in said.advice


def test_a_gain_that_a_few_tasks_do_not_show_is_no_verdict() -> None:
    wide, none = Comparison("", -0.1, 0.5, 0.02), Comparison("", 0.0, 0.01, 0.02)
    assert (wide.better, wide.worse, wide.useless) == (False, False, False)
    assert (none.better, none.worse, none.useless) == (False, False, True)
    assert Comparison("", float("nan"), 0.1, 0.02).useless


def test_confidence_that_is_too_high_is_bad(healthy: SavedLearner) -> None:
    sure = dataclasses.replace(healthy, learner=changed(healthy.learner, inner_lr=0.02), temperature=1e-3)
    assert answer("confidence", Patient(sure, Blobs(), COUNT)).verdict == "bad"


def test_inputs_unlike_those_of_training_are_bad() -> None:
    saved = SavedLearner(Prototypes(Identity(6)), rows().spec, statistics=rows().spec.statistics(rows().examples))
    near, far = (ClassTasks(rows(scale=scale), 3, shots=2, queries=2) for scale in (1.0, 100.0))
    assert answer("inputs", Patient(saved, near, COUNT)).verdict == "good"
    assert answer("inputs", Patient(saved, far, COUNT)).verdict == "bad"


def test_values_are_compared_too() -> None:
    torch.manual_seed(0)
    found = examine(Patient(SavedLearner(Descent(MLP(1, (16,)), inner_lr=0.01), target="values"), SinusoidTasks(), COUNT))
    assert found["centroid"].verdict == found["confidence"].verdict == "does not apply"
    assert "mean squared error" in found["probe"].found
    assert found["adapting"].figures["ci95"] > 0


@pytest.mark.parametrize("name", discovery.names("learners"))
def test_every_learner_can_be_examined(name: str) -> None:
    learner = make_learner(name, dtype=torch.float32)
    found = examine(Patient(SavedLearner(learner, target=learner.targets[0].name), Blobs(), 4))
    assert set(found) == set(questions())
    assert found["gradients"].verdict != "bad", found["gradients"]
    assert found["leak"].verdict == "good"


def test_every_check_asks_a_question() -> None:
    assert all(question.endswith("?") for question in questions().values())
