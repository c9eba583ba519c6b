"""The ridge head against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from builders import check_solved_in_full_precision, drawn
from sklearn.linear_model import Ridge

from quickstudy.learners.r2d2 import R2D2
from quickstudy.nets.identity import Identity
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.values import Values
from quickstudy.task import Examples


@pytest.mark.parametrize("penalty", [0.03, 1.0, 20.0])
@pytest.mark.parametrize("kind", [OneHot, Values])
def test_the_head_is_a_ridge_regression_of_the_answers(penalty: float, kind: type[OneHot] | type[Values]) -> None:
    rows, labels, queries = drawn(1)
    targets = np.eye(4)[labels]
    learner = R2D2(Identity(5), penalty=penalty).double()
    with torch.no_grad():
        learner.scale.fill_(3.0)
        learner.shift.fill_(-0.5)
    state = learner.adapt(Examples(torch.from_numpy(rows), kind(torch.from_numpy(targets))))
    found = learner.predict(state, torch.from_numpy(queries)).detach().numpy()
    ones = Ridge(alpha=penalty, fit_intercept=False).fit(np.c_[rows, np.ones(len(rows))], targets)  # the bias is shrunk too
    np.testing.assert_allclose(found, 3.0 * ones.predict(np.c_[queries, np.ones(len(queries))]) - 0.5, rtol=1e-6, atol=1e-6)


def test_the_head_is_solved_in_full_precision_also_in_mixed_precision() -> None:
    check_solved_in_full_precision(R2D2(Identity(5)))
