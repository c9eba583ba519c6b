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
