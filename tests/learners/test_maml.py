"""MAML against its closed form, and its memory against the promise of `recompute`."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from builders import apart, furthest, gradients, make_net, make_tasks
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_leaves

from quickstudy.learners.maml import MAML
from quickstudy.nets.identity import Identity
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.values import Values
from quickstudy.task import Examples, Task
from quickstudy.training.engine import meta_gradient
from quickstudy.training.meta_gradient import summed_gradient


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("first_order", [False, True])
def test_maml_on_a_linear_model_against_its_closed_form(steps: int, first_order: bool) -> None:
    """Squared error of a linear model has a constant Hessian H = 2/n X'X. So w' = w - a(Hw - 2/n X'y), steps times over, and the
    gradient of the query loss with respect to w is (I - aH)^steps g(w'), or plainly g(w') in first order.
    """
    inner_lr, count = 0.07, 8
    learner = MAML(Identity(4), inner_lr, steps, first_order, head_ways=1).double()
    sets = [Examples(torch.randn(1, count, 4).double(), Values(torch.randn(1, count, 1).double())) for _ in range(2)]
    meta_gradient(learner, Task(*sets), "vmap")
    found = torch.cat([learner.head.weight.grad[0], learner.head.bias.grad])

    support, query = (torch.cat([part.x[0], torch.ones(count, 1)], dim=1).double() for part in sets)
    hessian = 2 / count * support.t() @ support
    w = torch.cat([learner.head.weight[0], learner.head.bias]).detach()
    for _ in range(steps):
        w = w - inner_lr * (hessian @ w - 2 / count * support.t() @ sets[0].y.rows[0, :, 0])
    expected = 2 / count * query.t() @ (query @ w - sets[1].y.rows[0, :, 0])
    for _ in range(0 if first_order else steps):
        expected = (torch.eye(5).double() - inner_lr * hessian) @ expected
    assert apart(found, expected) < 1e-12
    state = learner.adapt(Examples(sets[0].x[0], Values(sets[0].y.rows[0])))
    assert apart(torch.cat([state["head.weight"][0], state["head.bias"]]), w) < 1e-12


@pytest.mark.parametrize("mapping", ["loop", "vmap"])
def test_recomputed_steps_have_the_same_meta_gradient(mapping: str) -> None:
    tasks = make_tasks(3, ragged=True)
    found = []
    for recompute in (False, True):
        torch.manual_seed(0)
        learner = MAML(make_net(norm="batch"), inner_lr=0.5, inner_steps=3, recompute=recompute).double()
        meta_gradient(learner, tasks, mapping)
        found.append(gradients(learner))
    assert furthest(*found) < 1e-12


def most_bytes(function: Callable[..., object], *args: object) -> int:
    """Return the most bytes of results that a traced function holds at any time, each freed after its last use."""
    nodes = list(make_fx(function, tracing_mode="fake")(*args).graph.nodes)
    sizes, last = {}, {}
    for position, node in enumerate(nodes):
        for each in (node, *node.all_input_nodes):
            for value in tree_leaves(each.meta.get("val")):
                if isinstance(value, torch.Tensor):
                    storage = value.untyped_storage()
                    sizes.setdefault(storage._cdata, (position, storage.nbytes()))
                    last[storage._cdata] = position
    changes = [0] * (len(nodes) + 1)
    for storage, (position, size) in sizes.items():
        changes[position] += size
        changes[last[storage] + 1] -= size
    return max(itertools.accumulate(changes))


def test_recomputing_makes_memory_grow_by_the_parameters_only() -> None:
    examples = Examples(torch.rand(1, 300, 6), OneHot(torch.eye(3).repeat(1, 100, 1)))
    most = {}
    for recompute in (False, True):
        for steps in (2, 4):
            learner = MAML(make_net(), inner_steps=steps, recompute=recompute)
            parameters = {name: value.detach() for name, value in learner.named_parameters()}
            buffers, size = dict(learner.named_buffers()), sum(value.nbytes for value in parameters.values())
            gradient = summed_gradient(learner, "loop")
            most[recompute, steps] = most_bytes(gradient, parameters, buffers, Task(examples, examples)) / size
    assert (most[True, 4] - most[True, 2]) / 2 < 3
    assert (most[False, 4] - most[False, 2]) / 2 > 10
