"""Conditional neural processes: the code is a mean, and the loss a likelihood."""

from __future__ import annotations

import torch
from builders import apart, as_values, make_learner, make_tasks
from torch.distributions import Normal
from torch.utils._pytree import tree_map

from quickstudy.learners.cnp import CNP
from quickstudy.task import Task


def by_hand(learner: CNP, task: Task) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and spread of every query and column by eqs. 1-3, one at a time."""
    support, query = learner.net(task.support.x), learner.net(task.query.x)
    means, spreads = [], []
    for x in query:
        for column in task.support.y.rows.t():
            code = torch.stack([learner.encoder(torch.cat([one, y.view(1)])) for one, y in zip(support, column, strict=True)])
            mean, raw = learner.decoder(torch.cat([x, code.mean(0)]))
            means.append(mean)
            spreads.append(0.1 + 0.9 * torch.nn.functional.softplus(raw))
    shape = (len(query), task.support.y.rows.shape[1])
    return torch.stack(means).view(shape), torch.stack(spreads).view(shape)


def test_values_are_predicted_from_the_mean_code_with_their_likelihood() -> None:
    learner, task = make_learner("cnp"), as_values(make_tasks()[0])
    mean, spread = by_hand(learner, task)  # type: ignore[arg-type]
    state = learner.adapt(task.support)
    assert apart(learner.predict(state, task.query.x), mean) < 1e-12
    found = learner.spread(state, task.query.x)
    assert found is not None
    assert apart(found, spread) < 1e-12
    expected = -Normal(mean, spread).log_prob(task.query.y.rows).mean()
    torch.testing.assert_close(learner.loss(task), expected, rtol=1e-12, atol=0.0)


def test_every_example_twice_changes_nothing() -> None:
    learner, task = make_learner("cnp"), as_values(make_tasks()[0])
    twice = tree_map(lambda leaf: torch.cat([leaf, leaf]), task.support)
    found, expected = (learner.predict(learner.adapt(support), task.query.x) for support in (twice, task.support))
    assert apart(found, expected) < 1e-12


def test_the_code_of_a_class_is_the_mean_over_its_own_examples() -> None:
    learner, task = make_learner("cnp"), make_tasks()[0]
    support, y = learner.net(task.support.x), task.support.y.rows  # type: ignore[operator]
    codes = learner.encoder(torch.cat([support, torch.ones_like(y[:, :1])], 1))  # type: ignore[operator]
    of_classes = torch.stack([codes[column > 0].mean(0) for column in y.t()])
    x = learner.net(task.query.x[:1]).expand(len(of_classes), -1)  # type: ignore[operator, index]
    expected = learner.decoder(torch.cat([x, of_classes], 1))[:, 0]  # type: ignore[operator]
    assert apart(learner.predict(learner.adapt(task.support), task.query.x)[0], expected) < 1e-12
