"""Nearest neighbours against scikit-learn's."""

from __future__ import annotations

import pytest
import torch
from builders import drawn
from sklearn.neighbors import KNeighborsClassifier

from quickstudy.learners.nearest import Nearest
from quickstudy.nets.identity import Identity
from quickstudy.objectives.classes import one_hot
from quickstudy.task import Examples


@pytest.mark.parametrize("seed", range(3))
def test_nearest_is_one_nearest_neighbour(seed: int) -> None:
    rows, labels, queries = drawn(seed)
    learner = Nearest(Identity(5))
    state = learner.adapt(Examples(torch.from_numpy(rows), one_hot(torch.from_numpy(labels), 4, torch.float64)))
    found = learner.predict(state, torch.from_numpy(queries)).argmax(-1).numpy()
    assert (found == KNeighborsClassifier(1).fit(rows, labels).predict(queries)).all()
