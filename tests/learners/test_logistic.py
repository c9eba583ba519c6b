"""The logistic head against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from builders import check_solved_in_full_precision, drawn
from sklearn.linear_model import LogisticRegression

from quickstudy.learners.logistic import Logistic
from quickstudy.nets.identity import Identity
from quickstudy.objectives.classes import one_hot
from quickstudy.task import Examples


@pytest.mark.parametrize("penalty", [0.1, 2.0])
def test_many_newton_steps_are_logistic_regression_of_each_way_against_the_others(penalty: float) -> None:
    rows, labels, queries = drawn(2)
    learner = Logistic(Identity(5), penalty=penalty, newton_steps=20).double()
    state = learner.adapt(Examples(torch.from_numpy(rows), one_hot(torch.from_numpy(labels), 4, torch.float64)))
    found = learner.predict(state, torch.from_numpy(queries)).detach().numpy()
    with_ones, asked = np.c_[rows, np.ones(len(rows))], np.c_[queries, np.ones(len(queries))]
    for way in range(4):
        model = LogisticRegression(C=1 / penalty, fit_intercept=False, tol=1e-10, max_iter=10_000)
        expected = model.fit(with_ones, labels == way).decision_function(asked)
        np.testing.assert_allclose(found[:, way], expected, rtol=1e-4, atol=1e-5)


def test_one_step_is_ridge_regression_of_signs() -> None:
    """From a head of zeros every share is 1/2, so that the first Newton step solves `(X'X / 4 + lambda I) w = X'(y - 1/2)`."""
    rows, labels, queries = drawn(0)
    learner = Logistic(Identity(5), penalty=0.5, newton_steps=1).double()
    state = learner.adapt(Examples(torch.from_numpy(rows), one_hot(torch.from_numpy(labels), 4, torch.float64)))
    x = np.c_[rows, np.ones(len(rows))]
    head = np.linalg.solve(x.T @ x / 4 + 0.5 * np.eye(6), x.T @ (np.eye(4)[labels] - 0.5))
    found = learner.predict(state, torch.from_numpy(queries)).detach().numpy()
    np.testing.assert_allclose(found, np.c_[queries, np.ones(len(queries))] @ head, rtol=1e-6, atol=1e-6)


def test_the_head_is_solved_in_full_precision_also_in_mixed_precision() -> None:
    check_solved_in_full_precision(Logistic(Identity(5)))
