"""Meta-training makes every learner better: on tasks in which it must learn what to ignore."""

from __future__ import annotations

import pytest
import torch
from builders import case, teach

from quickstudy import discovery
from quickstudy.learner import Learner
from quickstudy.nets.mlp import MLP
from quickstudy.objectives.classes import OneHot, one_hot
from quickstudy.task import Examples, Task


def nuisance_tasks(count: int, seed: int) -> Task:
    """Blobs that differ along 2 directions of 8; along the other 6 there is loud noise, which a learner must learn to ignore."""
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(99)))[0]
    centres = torch.zeros(count, 3, 8)
    centres[..., :2] = 1.5 * torch.randn(count, 3, 2, generator=generator)
    noise = torch.tensor([0.3] * 2 + [2.0] * 6)
    parts = []
    for per_way in (2, 5):
        labels = torch.arange(3).repeat(per_way)
        x = centres[:, labels] + noise * torch.randn(count, len(labels), 8, generator=generator)
        parts.append(Examples(x @ turn, OneHot(one_hot(labels, 3).rows.expand(count, -1, -1))))
    return Task(*parts)


def accuracy(learner: Learner) -> float:
    tasks = nuisance_tasks(100, seed=1)
    with torch.no_grad():
        output = torch.func.vmap(lambda task: learner.predict(learner.adapt(task.support), task.query.x))(tasks)
    return float((output.argmax(-1) == tasks.query.y.labels).float().mean())


@pytest.mark.parametrize("name", discovery.names("learners"))
def test_learns_a_synthetic_task(name: str) -> None:
    """On new tasks it is at least 15 points better than before meta-training, if its case does not say otherwise."""
    how = case(name, "LEARNS", {})
    learner = discovery.load("learners", name)(MLP(in_features=8, hidden=(16, 16)), **how.get("changes", {}))
    before = accuracy(learner)
    steps = how.get("steps", 50)
    teach(learner, (nuisance_tasks(8, seed=1000 + step) for step in range(steps)))
    assert accuracy(learner) > before + how.get("margin", 0.15)
