"""What is frozen (`requires_grad_(False)`) stays as it is: in both loops, under weight decay, in students and in files."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import pytest
import torch
from builders import (
    DESCENT,
    JUDGED,
    PROTOTYPES,
    Blobs,
    Prototypes,
    apart,
    furthest,
    gradients,
    make_learner,
    make_tasks,
    variants,
)
from builders import shown as shown_id
from torch import nn

from quickstudy import discovery
from quickstudy.errors import ModelError
from quickstudy.functional.call import trainable
from quickstudy.layers.batch_norm import batch_statistics
from quickstudy.learner import Learner, hyperparameters
from quickstudy.nets.identity import Identity
from quickstudy.training.engine import meta_gradient
from quickstudy.training.fit import fit
from quickstudy.training.saving import SavedLearner, load_learner, save_learner
from quickstudy.training.settings import EngineSettings, TrainingSettings
from quickstudy.transfer.distil import Distilled

LEARNERS = discovery.names("learners")
each_learner = pytest.mark.parametrize("name", LEARNERS)
each_variant = pytest.mark.parametrize(
    ("name", "changes"), [(name, changes) for name in LEARNERS for changes in variants(name)], ids=shown_id
)


def half_frozen(name: str, norm: str = "batch", **changes: Any) -> Learner:
    """Return a learner on a net of two layers, the first of which is frozen, batch norm's weights included."""
    learner = make_learner(name, norm=norm, **changes)
    for parameter, value in learner.named_parameters():
        value.requires_grad_(not parameter.startswith("net.layers.1"))
    if learner.rate:
        setattr(learner, learner.rate, 0.1)  # so that the net moves although the head starts at zero
    return learner


def frozen_in(learner: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in learner.named_parameters() if not value.requires_grad}


@each_variant
def test_the_meta_gradient_is_that_of_what_trains(name: str, changes: dict[str, Any]) -> None:
    """Frozen parameters have no gradient, and the others have the derivative of the loss in which frozen ones are constants."""
    learner, tasks = half_frozen(name, **changes), make_tasks(3, ragged=True)
    meta_gradient(learner, tasks, "loop")
    looped = {key: value.grad for key, value in learner.named_parameters()}
    frozen = frozen_in(learner)
    assert len(frozen) == 4
    assert all((value is None) == (key in frozen) for key, value in looped.items())
    meta_gradient(learner, tasks, "vmap")
    expected = {key: torch.zeros_like(frozen[key]) if value is None else value for key, value in looped.items()}
    assert furthest(gradients(learner), expected) < 1e-8
    if learner.exact_gradient and not changes.get("first_order"):
        losses = []
        direction = {key: torch.randn_like(value) for key, value in trainable(learner).items()}
        for step in (1e-6, -2e-6):
            with torch.no_grad():
                for key, value in trainable(learner).items():
                    value.add_(step * direction[key])
                losses.append(sum(float(learner.loss(tasks[index])) for index in range(3)) / 3)
        along = sum(float((looped[key] * direction[key]).sum()) for key in direction)
        assert (losses[0] - losses[1]) / 2e-6 == pytest.approx(along, rel=1e-4, abs=1e-6)


@each_variant
def test_adapting_moves_no_frozen_parameter(name: str, changes: dict[str, Any]) -> None:
    learner, task = half_frozen(name, **changes), make_tasks()[0]
    state = learner.adapt(task.support)
    assert not frozen_in(learner).keys() & state.keys()
    again = learner.adapt(task.support, state)
    assert not frozen_in(learner).keys() & again.keys()


@each_variant
def test_on_a_frozen_net_it_learns_as_on_the_features(name: str, changes: dict[str, Any]) -> None:
    learner, task = make_learner(name, **changes), make_tasks(ragged=True)[0]
    learner.net.requires_grad_(False)
    if learner.ways and not learner.adapts_head:
        with pytest.raises(ModelError, match="every parameter that adaptation moves is frozen"):
            learner.adapt(task.support)
        return
    bare = discovery.load("learners", name)(Identity(learner.net.features), **hyperparameters(learner)).double()
    bare.load_state_dict({key: learner.state_dict()[key] for key in bare.state_dict()})
    found = learner.predict(learner.adapt(task.support), task.query.x)
    support = dataclasses.replace(task.support, x=learner.net(task.support.x))
    assert apart(found, bare.predict(bare.adapt(support), learner.net(task.query.x))) < 1e-12


@each_variant
def test_statistics_of_a_frozen_net_are_those_of_the_support_set(name: str, changes: dict[str, Any]) -> None:
    learner, task = make_learner(name, norm="batch", **changes), make_tasks(ragged=True)[0]
    learner.net.requires_grad_(False)
    if learner.ways and not learner.adapts_head:
        return  # nothing to adapt is an error
    with batch_statistics(task.support.mask, keep=True) as recording:
        learner.net(task.support.x)
    expected, state = recording.of(learner.net, "net."), learner.adapt(task.support)
    assert expected.keys() & state.keys() == (expected.keys() if learner.statistics == "support" else set())
    for key in expected.keys() & state.keys():
        torch.testing.assert_close(state[key], expected[key])


@each_variant
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_layers_frozen_in_front_count_as_if_each_step_computed_them(name: str, changes: dict[str, Any], norm: str) -> None:
    learner, task = half_frozen(name, norm, **changes), make_tasks(ragged=True)[0]
    found, loss = learner.adapt(task.support), learner.loss(task)
    learner.net.register_forward_hook(lambda *seen: None)  # who watches a net sees all of it in each step
    expected = learner.adapt(task.support)
    assert found.keys() == expected.keys()
    assert all(apart(found[key], expected[key]) < 1e-12 for key in found)
    torch.testing.assert_close(loss, learner.loss(task), rtol=1e-12, atol=1e-12)


class Counted(nn.Linear):
    """A layer that counts how often it is used."""

    used = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        Counted.used += 1
        return super().forward(x)


@each_variant
def test_layers_frozen_in_front_are_computed_once(name: str, changes: dict[str, Any]) -> None:
    learner, task = half_frozen(name, "none", **changes), make_tasks()[0]
    learner.net.layers[1][0].__class__ = Counted
    Counted.used = 0
    learner.adapt(task.support)
    assert Counted.used == 1


@pytest.mark.parametrize(
    ("name", "engine", "capture"),
    [
        *((name, engine, False) for name in LEARNERS for engine in ("loop", "vmap")),
        *((name, "vmap", True) for name in (DESCENT, PROTOTYPES)),  # capturing takes a second
    ],
)
def test_training_leaves_frozen_parameters_alone(name: str, engine: str, capture: bool) -> None:
    learner = half_frozen(name).float()
    before, all_before = frozen_in(learner), {key: value.detach().clone() for key, value in learner.named_parameters()}
    settings = TrainingSettings(
        steps=3,
        tasks_per_step=2,
        optimizer="adamw",
        lr=0.01,
        weight_decay=0.5,
        validation=JUDGED,
        engine=EngineSettings(engine, capture=capture),
        schedule="constant",  # type: ignore[arg-type]
    )
    fit(learner, Blobs(), None, settings)
    after = dict(learner.named_parameters())
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert any(not torch.equal(after[key], value) for key, value in all_before.items())


@each_learner
def test_nothing_to_train_is_an_error(name: str) -> None:
    learner = make_learner(name, dtype=torch.float32).requires_grad_(False)
    with pytest.raises(ModelError, match="no parameters to train; use it as it is, or call requires_grad_"):
        fit(learner, Blobs(), None, TrainingSettings(steps=1))


@pytest.mark.parametrize("name", [name for name in LEARNERS if {"head_ways": 3} in variants(name)])
def test_nothing_to_adapt_is_an_error(name: str) -> None:
    learner = make_learner(name, head_ways=3).requires_grad_(False)
    with pytest.raises(ModelError, match="every parameter that adaptation moves is frozen"):
        learner.adapt(make_tasks()[0].support)
    learner.head.bias.requires_grad_(True)
    if not learner.adapts_head:
        with pytest.raises(ModelError, match="every parameter that adaptation moves is frozen"):
            learner.adapt(make_tasks()[0].support)
        learner.net.requires_grad_(True)
    state = learner.adapt(make_tasks()[0].support)
    assert ("head.bias" in state) == learner.adapts_head
    assert "head.weight" not in state
    assert learner.predict(state, make_tasks()[0].query.x).shape == (9, 3)


@each_learner
def test_a_file_remembers_what_is_frozen(name: str, tmp_path: pathlib.Path) -> None:
    learner, task = half_frozen(name, dtype=torch.float32), make_tasks(dtype=torch.float32)[0]
    save_learner(tmp_path / "learner.safetensors", SavedLearner(learner))
    loaded = load_learner(tmp_path / "learner.safetensors").learner
    assert trainable(loaded).keys() == trainable(learner).keys()
    state = learner.adapt(task.support)
    assert all(torch.equal(value, state[key]) for key, value in loaded.adapt(task.support).items())


class Thawed(nn.Linear):
    """A net that is frozen when it is made."""

    def __init__(self) -> None:
        super().__init__(6, 4)
        self.features = 4
        self.requires_grad_(False)


def test_a_file_remembers_what_was_frozen_no_more(tmp_path: pathlib.Path) -> None:
    learner = Prototypes(Thawed())
    learner.net.bias.requires_grad_(True)
    save_learner(tmp_path / "learner.safetensors", SavedLearner(learner))
    loaded = load_learner(tmp_path / "learner.safetensors", net=Thawed()).learner
    assert trainable(loaded).keys() == {"net.bias"}


@pytest.mark.parametrize("name", [name for name in LEARNERS if discovery.load("learners", name).trains_on_query])
def test_a_student_keeps_what_is_frozen(name: str) -> None:
    student = half_frozen(name, dtype=torch.float32)
    before = frozen_in(student)
    settings = TrainingSettings(
        steps=2,
        tasks_per_step=2,
        optimizer="adamw",
        lr=0.01,
        weight_decay=0.5,
        validation=JUDGED,
        engine=EngineSettings(capture=False),
    )
    fit(Distilled(student, make_learner(PROTOTYPES, dtype=torch.float32)), Blobs(), None, settings)
    assert all(torch.equal(dict(student.named_parameters())[key], value) for key, value in before.items())
