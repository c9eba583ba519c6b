"""Meta-SGD: with equal rates it is plain descent of every weight, and each rate scales the step of its own weight."""

from __future__ import annotations

import pytest
import torch
from builders import Descent, apart, furthest, gradients, make_learner, make_net, make_tasks

from quickstudy.errors import ConfigError
from quickstudy.learner import changed
from quickstudy.learners.meta_sgd import MetaSGD
from quickstudy.nets.identity import Identity
from quickstudy.objectives.values import Values
from quickstudy.task import Examples
from quickstudy.training.engine import meta_gradient


@pytest.mark.parametrize("head_ways", [None, 3])
def test_with_equal_rates_it_is_plain_descent(head_ways: int | None) -> None:
    tasks, found = make_tasks(2, ragged=True), []
    for kind in (Descent, MetaSGD):
        torch.manual_seed(0)
        learner = kind(make_net(norm="batch"), inner_lr=0.3, inner_steps=2, head_ways=head_ways).double()
        for rate in getattr(learner, "rates", {}).values():
            rate.data.fill_(0.3)  # which float32 rounds
        meta_gradient(learner, tasks, "vmap")
        found.append({name: value for name, value in gradients(learner).items() if not name.startswith("rates.")})
    assert furthest(*found) < 1e-12


def test_one_step_of_a_linear_model_is_the_rates_times_the_gradient() -> None:
    """Algorithm 1, line 5: `theta' = theta - alpha * gradient`, with a rate for each weight, which may be negative."""
    learner = MetaSGD(Identity(4), inner_steps=1, head_ways=1).double()
    with torch.no_grad():
        learner.rates["head/weight"].copy_(torch.tensor([[0.5, -0.1, 0.0, 0.2]]))
        learner.rates["head/bias"].fill_(0.3)
    x, y = torch.randn(8, 4).double(), torch.randn(8, 1).double()
    state = learner.adapt(Examples(x, Values(y)))
    head = learner.head
    assert head is not None
    slope = 2 / 8 * (head(x) - y)
    weight = head.weight - learner.rates["head/weight"] * (slope.t() @ x)
    assert apart(state["head.weight"], weight) < 1e-12
    assert apart(state["head.bias"], head.bias - 0.3 * slope.sum(0)) < 1e-12


def test_the_rates_are_learned() -> None:
    learner = make_learner("meta_sgd")
    meta_gradient(learner, make_tasks(2), "vmap")
    slopes = {name: value for name, value in gradients(learner).items() if name.startswith("rates.")}
    assert len(slopes) > 2
    assert all(float(value.abs().max()) > 1e-9 for value in slopes.values())


def test_a_scale_of_rates_is_as_if_every_rate_were_scaled() -> None:
    """Also one that is set after training, as for tasks of other ways."""
    learner, support = make_learner("meta_sgd", norm="batch"), make_tasks(1)[0].support
    found = changed(learner, rate_scale=0.25).adapt(support)
    with torch.no_grad():
        for rate in learner.rates.values():
            rate.mul_(0.25)
    expected = learner.adapt(support)
    assert all(apart(value, expected[name]) < 1e-12 for name, value in found.items())
    with pytest.raises(ConfigError, match=r"rate_scale is -1; expected .*0"):
        MetaSGD(Identity(4), rate_scale=-1)
