"""Meta Networks against gradients by autograd, one example at a time, and against fast weights and shares written by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from builders import make_learner, make_tasks

from quickstudy.errors import ConfigError
from quickstudy.functional.linear import with_ones
from quickstudy.learners.meta_networks import MetaNetworks, fast_weights, gradients
from quickstudy.nets.identity import Identity


def test_meta_information_is_the_gradient_of_each_examples_loss() -> None:
    task = make_tasks()[0]
    rows, labels, layer = with_ones(task.support.x), task.support.y.labels, make_learner("meta_networks").base
    to_layer, to_head, hidden = gradients(layer, rows, task.support.y, task.support.weight, {})
    step = torch.zeros(3, layer.out_features, dtype=torch.float64)
    for index, (row, label) in enumerate(zip(rows, labels, strict=True)):
        head = torch.zeros(3, layer.out_features, dtype=torch.float64, requires_grad=True)
        F.cross_entropy(head @ layer(row).relu(), label).backward()
        torch.testing.assert_close(to_head[index].unsqueeze(1) * hidden[index], head.grad)
        step -= head.grad
    for index, (row, label) in enumerate(zip(rows, labels, strict=True)):
        (expected,) = torch.autograd.grad(F.cross_entropy(step @ layer(row).relu(), label), layer.weight)
        torch.testing.assert_close(to_layer[index].unsqueeze(1) * row, expected)


def test_numbers_of_gradients_are_seen_as_logarithm_and_sign() -> None:
    """Andrychowicz et al. 2016, appendix A, with p = 7."""
    seen = torch.tensor([1.0, -math.exp(-3.5), math.exp(-7) / 2, 0.0])
    found = [fast_weights(lambda pairs, place=place: pairs[..., place : place + 1], seen) for place in (0, 1)]
    torch.testing.assert_close(found[0], torch.tensor([0.0, -0.5, -1.0, -1.0]))
    torch.testing.assert_close(found[1], torch.tensor([1.0, -1.0, 0.5, 0.0]))


def test_layers_add_slow_and_fast_paths_after_the_activation_and_shares_are_those_of_cosines() -> None:
    learner = MetaNetworks(Identity(1), width=1, scale=2.0)
    with torch.no_grad():
        learner.base.weight.copy_(torch.tensor([[2.0, 0.0]]))
        learner.embed.weight.copy_(torch.tensor([[1.0, 0.0]]))
    state = {
        "key": torch.zeros(1, 2),
        "keys": torch.tensor([[5.0], [-5.0]]),  # cosines 1 and -1 with a query of 3, so that shares are s and 1 - s
        "weight": torch.ones(2),
        "hidden": torch.tensor([[[1.0, 0.0]], [[-1.0, 0.0]]]),
        "head": torch.tensor([[[1.0]], [[3.0]]]),
    }
    share = 1 / (1 + math.exp(-4.0))
    hidden = 6.0 + 3.0 * (2 * share - 1)
    expected = (share + 3 * (1 - share)) * hidden
    assert float(learner.predict(state, torch.tensor([[3.0]])).detach()) == pytest.approx(expected, rel=1e-5)


def test_a_support_example_reads_the_fast_weights_that_it_left() -> None:
    learner, task = make_learner("meta_networks", scale=1e6), make_tasks(shots=1)[0]
    state = learner.adapt(task.support)
    rows = with_ones(learner.net(task.support.x))
    hidden = learner.base(rows).relu() + torch.einsum("ewf,ef->ew", state["hidden"], rows).relu()
    expected = torch.einsum("eow,ew->eo", state["head"], hidden)
    torch.testing.assert_close(learner.predict(state, task.support.x), expected)


def test_no_scale_is_an_error() -> None:
    with pytest.raises(ConfigError, match="scale is 0; expected more than 0"):
        MetaNetworks(Identity(2), scale=0)
