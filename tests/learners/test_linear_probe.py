"""The linear probe against scikit-learn's logistic regression."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from builders import drawn
from sklearn.linear_model import LogisticRegression

from quickstudy.learners.linear_probe import LinearProbe
from quickstudy.nets.identity import Identity
from quickstudy.objectives.classes import one_hot
from quickstudy.task import Examples


@pytest.mark.parametrize("penalty", [0.1, 1.0, 30.0])
def test_it_is_logistic_regression_with_that_penalty(penalty: float) -> None:
    rows, labels, queries = drawn(1)
    learner = LinearProbe(Identity(5), penalty=penalty, inner_steps=1000)
    state = learner.adapt(Examples(torch.from_numpy(rows), one_hot(torch.from_numpy(labels), 4, torch.float64)))
    found = learner.predict(state, torch.from_numpy(queries)).softmax(-1).numpy()
    theirs = LogisticRegression(C=1 / penalty, fit_intercept=False, tol=1e-12, max_iter=10_000)
    theirs.fit(np.c_[rows, np.ones(len(rows))], labels)
    assert np.abs(found - theirs.predict_proba(np.c_[queries, np.ones(len(queries))])).max() < 1e-6


def test_no_step_makes_it_worse_however_large_the_features() -> None:
    rows, labels, _ = drawn(1)
    x, y = 100 * torch.from_numpy(rows), one_hot(torch.from_numpy(labels), 4, torch.float64)
    worth = []
    for steps in range(1, 30):
        learner = LinearProbe(Identity(5), inner_steps=steps)
        state = learner.adapt(Examples(x, y))
        loss = y.loss(learner.predict(state, x), torch.ones(len(x))) * len(x) + state["head"].square().sum() / 2
        worth.append(float(loss))
    assert (np.diff(worth) < 0).all()
