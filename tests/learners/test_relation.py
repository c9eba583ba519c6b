"""Relation Networks: a comparing net whose weights are set by hand, and the paper's loss."""

from __future__ import annotations

import torch
from builders import apart, make_learner, make_tasks

from quickstudy.learners.relation import Relation
from quickstudy.nets.identity import Identity


def test_a_comparing_net_that_adds_up_differences_finds_the_nearest_mean() -> None:
    task = make_tasks()[0]
    learner = Relation(Identity(6), width=6).double()
    first, _, last = learner.compare
    with torch.no_grad():
        first.weight.zero_()
        first.weight[:, 12:] = torch.eye(6)  # reads the absolute differences alone
        first.bias.zero_()
        last.weight.fill_(-1.0)
        last.bias.zero_()
    means = task.support.x.view(3, 3, 6).mean(0)
    found = learner.predict(learner.adapt(task.support), task.query.x)
    assert apart(found, -torch.cdist(task.query.x, means, p=1)) < 1e-12


def test_scores_between_0_and_1_are_learned_by_squared_error() -> None:
    """Eq. 2 of the paper, as a mean over queries and ways."""
    task, learner = make_tasks()[0], make_learner("relation", criterion="squared_error")
    scores = torch.sigmoid(learner.predict(learner.adapt(task.support), task.query.x))
    expected = (scores - task.query.y.rows).square().mean()
    torch.testing.assert_close(learner.loss(task), expected, rtol=1e-12, atol=0.0)
