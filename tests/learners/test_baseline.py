"""The baseline's head against scikit-learn's logistic regression, and its training loss against torch's own."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from builders import drawn, make_net
from sklearn.linear_model import LogisticRegression

from quickstudy.learners.baseline import Baseline
from quickstudy.nets.identity import Identity
from quickstudy.objectives.classes import one_hot
from quickstudy.task import Examples, Task


def test_a_head_fitted_to_convergence_is_logistic_regression() -> None:
    """With the same penalty: ours is of the mean cross-entropy, scikit-learn's `1 / C` of the sum; the bias is penalised too."""
    rows, labels, queries = drawn(0)
    learner = Baseline(Identity(5), inner_lr=0.4, inner_steps=2000, penalty=0.05)
    state = learner.adapt(Examples(torch.from_numpy(rows), one_hot(torch.from_numpy(labels), 4, torch.float64)))
    found = learner.predict(state, torch.from_numpy(queries)).detach().softmax(-1).numpy()
    theirs = LogisticRegression(C=1 / (0.05 * len(rows)), fit_intercept=False, tol=1e-12, max_iter=10_000)
    theirs.fit(np.c_[rows, np.ones(len(rows))], labels)
    assert np.abs(found - theirs.predict_proba(np.c_[queries, np.ones(len(queries))])).max() < 1e-6


def test_one_step_from_zero_moves_the_head_by_class_means() -> None:
    """The gradient of the mean cross-entropy at zero is the mean of features times (1 / ways - one-hot)."""
    x, y = torch.tensor([[1.0, 2.0], [3.0, -1.0]]), one_hot(torch.tensor([0, 1]), 2)
    state = Baseline(Identity(2), inner_lr=0.4, inner_steps=1, penalty=0.0).adapt(Examples(x, y))
    by_hand = 0.4 * (x[:1] - x[1:]) / 4
    torch.testing.assert_close(state["head.weight"], torch.cat([by_hand, -by_hand]))
    torch.testing.assert_close(state["head.bias"], torch.zeros(2))


def test_the_classifier_is_of_the_type_of_the_net() -> None:
    learner, labels = Baseline(make_net().double()), torch.arange(4)
    x, y = torch.randn(4, 6).double(), one_hot(labels, 4, torch.float64)
    task = Task(Examples(x[:0], one_hot(labels[:0], 4, torch.float64)), Examples(x, y))
    learner.prepare(task)
    torch.testing.assert_close(learner.loss(task), F.cross_entropy(learner.classifier(learner.net(x)), labels))


def test_training_is_ordinary_classification() -> None:
    learner, labels = Baseline(Identity(3), 6), torch.tensor([5, 0, 3, 3])
    x, y = torch.randn(4, 3), one_hot(labels, 6)
    loss = learner.loss(Task(Examples(x[:0], one_hot(labels[:0], 6)), Examples(x, y)))
    torch.testing.assert_close(loss, F.cross_entropy(learner.classifier(x), labels))
