"""Multi-task learning: each task's loss is that of its own classes, and the weights of tasks are Kendall's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import vmap

from quickstudy.errors import ConfigError
from quickstudy.learners.multi_task import MultiTask
from quickstudy.nets.identity import Identity
from quickstudy.objectives.classes import OneHot, one_hot
from quickstudy.task import Examples, Task

LABELS = torch.tensor([0, 1, 2, 2, 3, 4, 5, 6, 6])
"""Classes of a batch; three tasks of 7 classes have 0-2, 3-4 and 5-6."""


def batch(labels: Tensor = LABELS, seed: int = 0) -> Task:
    x = torch.randn(len(labels), 4, generator=torch.Generator().manual_seed(seed))
    y = one_hot(labels, 7)
    return Task(Examples(x[:0], OneHot(y.rows[:0])), Examples(x, y))


def make(**changes: Any) -> Any:
    torch.manual_seed(0)
    return MultiTask(Identity(4), **({"classes": 7, "training_tasks": 3} | changes))


def of_tasks(learner: Any, task: Task) -> list[Tensor]:
    """Return torch's own cross-entropy of each task among its own classes."""
    logits, found = learner.classifier(task.query.x), []
    labels = task.query.y.labels  # type: ignore[attr-defined]
    for first, end in ((0, 3), (3, 5), (5, 7)):
        here = (labels >= first) & (labels < end)
        found.append(F.cross_entropy(logits[here, first:end], labels[here] - first))
    return found


def test_each_task_is_told_apart_by_its_own_head() -> None:
    learner, task = make(weighting="equal"), batch()
    torch.testing.assert_close(learner.loss(task), torch.stack(of_tasks(learner, task)).mean())
    logits = learner.classifier(task.query.x)
    whole = F.cross_entropy(logits, LABELS)
    torch.testing.assert_close(make(weighting="equal", training_tasks=1).loss(task), whole)


def test_losses_are_weighted_by_uncertainty() -> None:
    learner, task = make(), batch()
    with torch.no_grad():
        learner.classifier.log_variance.copy_(torch.tensor([0.3, -1.0, 2.0]))
    losses = torch.stack(of_tasks(learner, task))
    variance = learner.classifier.log_variance.exp()
    torch.testing.assert_close(learner.loss(task), (losses / variance + variance.sqrt().log()).mean())


def test_the_best_uncertainty_is_that_of_the_loss() -> None:
    """The derivative by `s` is zero where `exp(s)` is twice the loss."""
    learner, task = make(), batch()
    with torch.no_grad():
        learner.classifier.log_variance.copy_((2 * torch.stack(of_tasks(learner, task))).log())
    learner.loss(task).backward()
    torch.testing.assert_close(learner.classifier.log_variance.grad, torch.zeros(3), rtol=0, atol=1e-6)


def test_a_task_without_examples_counts_nothing() -> None:
    learner, few = make(), batch(torch.tensor([0, 1, 2, 5, 6]))
    with torch.no_grad():
        learner.classifier.log_variance.fill_(1.0)
    learner.loss(few).backward()
    assert learner.classifier.log_variance.grad[1] == 0
    assert bool((learner.classifier.weight.grad[3:5] == 0).all())
    assert bool((learner.classifier.weight.grad[[0, 1, 2, 5, 6]] != 0).any(1).all())


def test_batches_are_mapped() -> None:
    learner, parts = make(), [batch(seed=1), batch(LABELS.flip(0) * 2 // 3, seed=2)]
    both = torch.utils._pytree.tree_map(lambda *leaves: torch.stack(leaves), *parts)
    expected = torch.stack([learner.loss(part) for part in parts])
    torch.testing.assert_close(vmap(learner.loss)(both), expected)


def test_a_new_task_gets_a_head_of_ridge_regression() -> None:
    learner, y = make(penalty=0.5, scale=3.0), one_hot(torch.arange(6) % 3, 3)
    x, query = torch.randn(6, 4), torch.randn(5, 4)
    ones = torch.ones(6, 1)
    both = torch.cat([torch.cat([x, ones], 1), 0.5**0.5 * torch.eye(5)])  # the penalty as more examples
    head = torch.linalg.lstsq(both, torch.cat([y.rows, torch.zeros(5, 3)])).solution
    found = learner.predict(learner.adapt(Examples(x, y)), query)
    torch.testing.assert_close(found, 3 * (query @ head[:-1] + head[-1]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"training_tasks": 4}, "training_tasks is 4, but the training data has 7 classes; expected at most 3"),
        ({"training_tasks": 0}, "training_tasks is 0; expected"),
        ({"weighting": "even"}, "weighting is 'even'"),
        ({"penalty": 0.0}, "penalty is 0.0; expected more than 0"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make(**changes)
