"""Reptile's inner loop against torch's optimizers."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from builders import make_tasks
from torch import nn

from quickstudy.layers.batch_norm import batch_statistics
from quickstudy.learners.reptile import Reptile
from quickstudy.nets.mlp import MLP


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_reptile_trains_like_torch(optimizer: str, norm: str) -> None:
    """Step by step, on mini-batches of 4 out of 6 examples, round and round."""
    net, support = MLP(6, (8, 6), norm).double(), make_tasks(shots=2)[0].support
    start = nn.Linear(6, 3).double()
    theirs = nn.Sequential(copy.deepcopy(net), start)
    make = {"adam": lambda p: torch.optim.Adam(p, lr=0.03, betas=(0.0, 0.999)), "sgd": lambda p: torch.optim.SGD(p, lr=0.03)}
    outer = make[optimizer](theirs.parameters())
    for steps in range(1, 6):
        learner = Reptile(net, inner_lr=0.03, adapt_steps=steps, inner_batch=4, inner_optimizer=optimizer, head_ways=3)  # type: ignore[arg-type]
        learner.double()
        if steps == 1:
            start.load_state_dict(learner.head.state_dict())
            first = copy.deepcopy(start.state_dict())
        learner.head.load_state_dict(first)
        batch = (torch.arange(4) + 4 * (steps - 1)) % 6
        outer.zero_grad()
        with batch_statistics():
            F.cross_entropy(theirs(support.x[batch]), support.y.labels[batch]).backward()
        outer.step()
        state = learner.adapt(support)
        found = {key: state[("net." + key[2:]) if key.startswith("0.") else "head." + key[2:]] for key in theirs.state_dict()}
        for key, value in theirs.named_parameters():
            assert torch.allclose(found[key], value, rtol=1e-7, atol=1e-8), (steps, key)


def moments_of(learner: Reptile) -> list[torch.Tensor]:
    return [value for name, value in learner.optimizer.named_buffers() if name != "measured"]


def test_shared_moments_are_mean_squared_gradients_and_torchs_adam_goes_on_from_them() -> None:
    net, tasks = MLP(6, (8,)).double(), make_tasks(4, shots=2)
    learner = Reptile(
        net, inner_lr=0.01, inner_steps=1, adapt_steps=1, inner_batch=6, inner_optimizer="shared_adam", head_ways=3
    )
    learner.double()
    theirs = nn.Sequential(copy.deepcopy(net), copy.deepcopy(learner.head))
    squares = []
    for index in range(4):
        theirs.zero_grad()
        F.cross_entropy(theirs(tasks[index].support.x), tasks[index].support.y.labels).backward()
        squares.append([parameter.grad.square() for parameter in theirs.parameters()])
    expected = [torch.stack(values).mean(0) for values in zip(*squares, strict=True)]
    assert float(learner.optimizer.measured) == 0
    learner.calibrate(tasks[index] for index in range(4))
    for found, right in zip(moments_of(learner), expected, strict=True):
        torch.testing.assert_close(found, right, rtol=1e-9, atol=1e-15)
    optimizer, support = torch.optim.Adam(theirs.parameters(), lr=0.01, betas=(0.0, 0.999)), make_tasks(seed=7)[0].support
    for parameter, right in zip(theirs.parameters(), expected, strict=True):
        optimizer.state[parameter] = {
            "step": torch.tensor(1e6),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": right.clone(),
        }
    theirs.zero_grad()
    F.cross_entropy(theirs(support.x[:6]), support.y.labels[:6]).backward()
    optimizer.step()
    state = learner.adapt(support)
    for key, value in theirs.named_parameters():
        torch.testing.assert_close(
            state[f"{'net' if key[0] == '0' else 'head'}.{key[2:]}"], value.detach(), rtol=1e-9, atol=1e-12
        )


def test_later_measurements_of_moments_are_averaged_with_earlier_ones() -> None:
    """A measurement counts as its steps do in an average with Adam's beta2."""
    learner, tasks = Reptile(MLP(6, (8,)), inner_steps=1, inner_optimizer="shared_adam").double(), make_tasks(3)
    learner.calibrate([tasks[0]])
    first = [value.clone() for value in moments_of(learner)]
    alone = Reptile(learner.net, inner_steps=1, inner_optimizer="shared_adam").double()
    alone.calibrate([tasks[1], tasks[2]])  # with one step, second moments do not depend on where they begin
    learner.calibrate([tasks[1], tasks[2]])
    for found, one, other in zip(moments_of(learner), first, moments_of(alone), strict=True):
        torch.testing.assert_close(found, one + (1 - 0.999**2) * (other - one), rtol=1e-6, atol=1e-12)
