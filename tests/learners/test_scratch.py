"""Training from scratch against torch's own gradient descent with momentum on the same net."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from builders import make_tasks
from torch import nn

from quickstudy.layers.batch_norm import batch_statistics
from quickstudy.learners.scratch import Scratch
from quickstudy.nets.mlp import MLP


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_it_trains_as_torch_does(norm: str) -> None:
    net, task = MLP(6, (8, 6), norm).double(), make_tasks()[0]
    head = nn.Linear(6, 3).double()
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    theirs = nn.Sequential(copy.deepcopy(net), head)
    outer = torch.optim.SGD(theirs.parameters(), lr=0.03, momentum=0.8)
    for _ in range(5):
        outer.zero_grad()
        with batch_statistics():
            F.cross_entropy(theirs(task.support.x), task.support.y.labels).backward()
        outer.step()
    state = Scratch(net, inner_lr=0.03, inner_steps=5, momentum=0.8).adapt(task.support)
    for key, value in theirs.named_parameters():
        found = state[("net." + key[2:]) if key.startswith("0.") else "head." + key[2:]]
        torch.testing.assert_close(found, value, rtol=1e-7, atol=1e-8)


def test_a_task_leaves_nothing_behind() -> None:
    """The next task begins from the same weights."""
    learner, tasks = Scratch(MLP(6, (8, 6)).double(), inner_lr=0.05, inner_steps=20), make_tasks(2)
    first = learner.adapt(tasks[0].support)
    learner.adapt(tasks[1].support)
    again = learner.adapt(tasks[0].support)
    assert all(torch.equal(first[key], again[key]) for key in first)
    right = learner.predict(first, tasks[0].query.x).argmax(-1) == tasks[0].query.y.labels
    assert float(right.double().mean()) > 0.7
