"""MAML++ against MAML, its schedule of losses against the paper's, its rates against finite differences."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from builders import Descent, apart, furthest, gradients, make_learner, make_net, make_tasks
from torch import Tensor

from quickstudy.errors import ConfigError
from quickstudy.learner import changed, set_progress
from quickstudy.learners.maml_plus_plus import MAMLPlusPlus
from quickstudy.task import Task
from quickstudy.training.engine import Engine, meta_gradient
from quickstudy.training.settings import plan

OFF: dict[str, Any] = {"multi_step": 0.0, "step_rates": False, "step_norms": False}


def pair(maml: dict[str, Any], **changes: Any) -> tuple[Descent, MAMLPlusPlus]:
    """Return MAML and MAML++ on one net, with 3 steps of a quarter."""
    torch.manual_seed(0)
    net = make_net(norm="batch")
    with torch.no_grad():
        for value in net.state_dict().values():
            value.add_(0.2 * torch.rand_like(value))
    return Descent(net, 0.25, 3, **maml).double(), MAMLPlusPlus(net, 0.25, 3, **changes).double()


def assert_same(first: Descent, second: MAMLPlusPlus, tasks: Task, bound: float = 1e-12) -> None:
    expected = meta_gradient(first, tasks, "loop")
    found, here = gradients(first), meta_gradient(second, tasks, "loop")
    assert abs(float(here - expected)) < bound
    assert furthest({name: value for name, value in gradients(second).items() if name in found}, found) < bound
    states = [learner.adapt(tasks[1].support) for learner in (first, second)]
    assert states[0].keys() == states[1].keys()
    assert all(apart(value, states[0][name]) < bound for name, value in states[1].items())


@pytest.mark.parametrize("statistics", ["support", "query"])
@pytest.mark.parametrize("done", [0.0, 1.0])
def test_with_everything_off_it_is_maml(statistics: Any, done: float) -> None:
    maml, learner = pair({"statistics": statistics}, statistics=statistics, **OFF)
    assert {name for name, _ in maml.named_parameters()} == {name for name, _ in learner.named_parameters()}
    set_progress(learner, done)
    assert_same(maml, learner, make_tasks(3, ragged=True))


def test_in_the_end_and_with_rates_that_are_one_it_is_maml() -> None:
    maml, learner = pair({}, **(OFF | {"multi_step": 0.5, "step_rates": True}))
    set_progress(learner, 0.5)
    assert_same(maml, learner, make_tasks(3, ragged=True))


def test_first_order_until_is_maml_in_first_order_and_then_in_second() -> None:
    maml, learner = pair({"first_order": True}, **OFF, first_order_until=0.3)
    second, tasks = Descent(maml.net, 0.25, 3).double(), make_tasks(3, ragged=True)
    assert_same(maml, learner, tasks)
    set_progress(learner, 0.29)
    assert_same(maml, learner, tasks)
    set_progress(learner, 0.3)
    assert_same(second, learner, tasks)


def test_each_phase_computes_only_what_counts_in_it() -> None:
    """The length of the graph says so: one query loss is less than one for each step, and first order less than second."""
    learner, tasks, found = (
        make_learner("maml_plus_plus", inner_steps=3, multi_step=0.2, first_order_until=0.6),
        make_tasks(2),
        [],
    )
    for done in (0.0, 0.3, 0.7):
        set_progress(learner, done)
        engine = Engine(learner, plan("loop", capture=True))
        engine(tasks)
        assert engine.captured is not None
        found.append(engine.captured.operations)
    several, alone, second_order = found
    assert alone < 0.8 * several
    assert alone < 0.8 * second_order


def test_a_scale_of_rates_is_as_if_every_rate_were_scaled() -> None:
    for rates in (True, False):
        learner, support = make_learner("maml_plus_plus", step_rates=rates, inner_lr=0.2), make_tasks(1)[0].support
        found = changed(learner, rate_scale=0.25).adapt(support)
        with torch.no_grad():
            for rate in learner.rates.values():
                rate.mul_(0.25)
        expected = changed(learner, inner_lr=0.05).adapt(support)
        assert all(apart(value, expected[name]) < 1e-12 for name, value in found.items())


def test_adapting_has_second_derivatives_however_far_training_is() -> None:
    """What leaves them out is the loss, which alone may know of the training's progress."""
    learner, support, found = make_learner("maml_plus_plus", first_order_until=0.5), make_tasks()[0].support, []
    for done in (0.0, 1.0):
        set_progress(learner, done)
        head = learner.adapt(support)["head.weight"]
        found.append(torch.autograd.grad(head.square().sum(), learner.net.layers[1][0].weight)[0])
    assert torch.equal(*found)


@pytest.mark.parametrize("name", ["multi_step", "first_order_until"])
@pytest.mark.parametrize("value", [-0.1, 50])
def test_a_number_of_epochs_is_no_fraction_of_training(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"{name} is {value}; expected a number from 0 to 1\."):
        MAMLPlusPlus(make_net(), **{name: value})


def paper(steps: int, epoch: int, epochs: int) -> list[float]:
    """Return the weights of the losses as the authors' code computes them, without the least weight of earlier ones."""
    decay = 1.0 / steps / epochs
    earlier = [max(1.0 / steps - epoch * decay, 0.0)] * (steps - 1)
    return [*earlier, min(1.0 / steps + epoch * (steps - 1) * decay, 1.0)]


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_weights_of_losses_are_those_of_the_paper(steps: int) -> None:
    learner = MAMLPlusPlus(make_net(), inner_steps=steps, multi_step=0.1)
    for epoch in range(15):
        set_progress(learner, epoch / 10 * 0.1)
        assert learner.importance().tolist() == pytest.approx(paper(steps, epoch, epochs=10), abs=1e-6)


def test_at_first_the_losses_after_every_step_count_alike() -> None:
    """The mean over the losses of MAML with 1, 2 and 3 steps."""
    maml, learner = pair({}, **(OFF | {"multi_step": 0.1}))
    tasks, expected, mean = make_tasks(3, ragged=True), [], 0.0
    for steps in (1, 2, 3):
        maml.inner_steps = steps
        mean += float(meta_gradient(maml, tasks, "loop")) / 3
        expected.append(gradients(maml))
    assert float(meta_gradient(learner, tasks, "loop")) == pytest.approx(mean, abs=1e-12)
    found = gradients(learner)
    assert furthest(found, {name: sum(part[name] for part in expected) / 3 for name in found}) < 1e-12


def derivative(learner: MAMLPlusPlus, parameter: Tensor, place: tuple[int, ...], task: Task) -> float:
    """Return the central difference of the loss along one number of the learner."""
    ends, before = [], float(parameter.detach()[place])
    with torch.no_grad():
        for step in (1e-6, -1e-6):
            parameter[place] = before + step
            ends.append(float(learner.loss(task)))
        parameter[place] = before
    return (ends[0] - ends[1]) / 2e-6


@pytest.mark.parametrize("done", [0.04])  # when every loss counts, and not alike
def test_gradients_of_the_numbers_of_each_step_by_finite_differences(done: float) -> None:
    learner, tasks = make_learner("maml_plus_plus", norm="batch", inner_steps=3, inner_lr=0.1), make_tasks(shots=2)
    set_progress(learner, done)
    meta_gradient(learner, tasks, "vmap")
    close = functools.partial(pytest.approx, rel=1e-5, abs=1e-8)
    for rate in learner.rates.values():
        for step in range(3):
            assert float(rate.grad[step]) == close(derivative(learner, rate, (step,), tasks[0]))
    for norm in learner.norms.values():
        for step in range(3):
            assert float(norm.grad[step, 0]) == close(derivative(learner, norm, (step, 0), tasks[0]))
    assert all(float(value.grad.abs().max()) > 0 for value in learner.rates.values())


def test_batch_norm_of_each_step_is_that_of_the_net_and_what_the_step_adds() -> None:
    """The same numbers in every step, added in one place or the other, give one adapted learner."""
    learner = make_learner("maml_plus_plus", norm="batch")
    support = make_tasks()[0].support
    with torch.no_grad():
        for norm in learner.norms.values():
            norm.copy_(norm[:1].clone())
        expected = learner.adapt(support)
        for key, norm in learner.norms.items():
            dict(learner.named_parameters())[key.replace("/", ".")].add_(norm[0])
            norm.zero_()
    found = learner.adapt(support)
    assert found.keys() == expected.keys()
    assert all(apart(found[name], value) < 1e-12 for name, value in expected.items())


def test_gradient_steps_leave_the_batch_norm_of_steps_alone() -> None:
    learner = MAMLPlusPlus(make_net(norm="batch"), inner_lr=0.5)
    state = learner.adapt(make_tasks(dtype=torch.float32)[0].support)
    assert torch.equal(state["net.layers.1.1.weight"], learner.net.layers[1][1].weight)
    assert not torch.equal(state["net.layers.1.0.weight"], learner.net.layers[1][0].weight)
    assert not any("layers/1/1" in key for key in learner.rates)
