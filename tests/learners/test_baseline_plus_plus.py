"""Baseline++ against what only a head of directions does."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from builders import drawn

from quickstudy.learners.baseline_plus_plus import BaselinePlusPlus
from quickstudy.nets.identity import Identity
from quickstudy.objectives.classes import one_hot
from quickstudy.task import Examples, Task


def support(scale: float = 1.0) -> Examples:
    rows, labels, _ = drawn(0)
    return Examples(scale * torch.from_numpy(rows), one_hot(torch.from_numpy(labels), 4, torch.float64))


def test_before_its_first_step_the_head_is_the_mean_direction_of_each_class() -> None:
    examples, learner = support(), BaselinePlusPlus(Identity(5), scale=7.0, inner_steps=0)
    directions = F.normalize(examples.x)
    means = torch.stack([directions[examples.y.labels == way].mean(0) for way in range(4)])
    expected = 7 * F.cosine_similarity(examples.x.unsqueeze(1), means, dim=-1)
    torch.testing.assert_close(learner.predict(learner.adapt(examples), examples.x), expected)


def test_the_length_of_features_does_not_count() -> None:
    learner = BaselinePlusPlus(Identity(5), inner_steps=20)
    found = learner.predict(learner.adapt(support()), support().x)
    torch.testing.assert_close(learner.predict(learner.adapt(support(3.0)), support(0.1).x), found)


def test_steps_are_those_of_torch() -> None:
    examples = support()
    weight = BaselinePlusPlus(Identity(5), inner_steps=0).adapt(examples)["head.weight"].clone().requires_grad_()
    outer = torch.optim.SGD([weight], lr=0.1)
    for _ in range(5):
        outer.zero_grad()
        F.cross_entropy(10 * F.normalize(examples.x) @ F.normalize(weight).t(), examples.y.labels).backward()
        outer.step()
    state = BaselinePlusPlus(Identity(5), inner_steps=5, inner_lr=0.1).adapt(examples)
    torch.testing.assert_close(state["head.weight"], weight)


def test_training_compares_directions_with_every_class() -> None:
    learner, labels = BaselinePlusPlus(Identity(3), 6), torch.tensor([5, 0, 3, 3])
    x, y = torch.randn(4, 3), one_hot(labels, 6)
    loss = learner.loss(Task(Examples(x[:0], one_hot(labels[:0], 6)), Examples(x, y)))
    logits = 10 * F.normalize(x) @ F.normalize(learner.classifier.weight).t()
    torch.testing.assert_close(loss, F.cross_entropy(logits, labels))
