"""Siamese networks against pairs written out, and against scikit-learn's nearest neighbour."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from builders import drawn, make_tasks
from sklearn.neighbors import KNeighborsClassifier

from quickstudy.functional.distances import Distance
from quickstudy.learners.siamese import Siamese
from quickstudy.nets.identity import Identity
from quickstudy.objectives.classes import one_hot
from quickstudy.task import Examples, concatenate


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("pairs", ["cross_entropy", "contrastive"])
def test_the_loss_is_the_mean_over_pairs_with_half_the_weight_on_equal_ones(pairs: str, ragged: bool) -> None:
    torch.manual_seed(0)
    task = make_tasks(2, ragged=ragged)[1]
    learner = Siamese(Identity(6), pairs=pairs, margin=3.0).double()  # type: ignore[arg-type]
    both = concatenate(task.support, task.query)
    x, labels = both.x[both.weight > 0], both.y.labels[both.weight > 0]
    losses: dict[bool, list[torch.Tensor]] = {True: [], False: []}
    for one, other in itertools.permutations(range(len(x)), 2):
        same = bool(labels[one] == labels[other])
        distance = torch.dist(x[one], x[other])
        if pairs == "cross_entropy":
            score = (x[one] - x[other]).abs() @ learner.judge.weight[0] + learner.judge.bias[0]
            losses[same].append(F.binary_cross_entropy_with_logits(score, torch.tensor(float(same), dtype=x.dtype)))
        else:  # eq. 4 of Hadsell et al., without its factor of one half
            losses[same].append(distance**2 if same else F.relu(3.0 - distance) ** 2)
    expected = (torch.stack(losses[True]).mean() + torch.stack(losses[False]).mean()) / 2
    assert float(learner.loss(task).detach()) == pytest.approx(float(expected.detach()), rel=1e-9)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("distance", get_args(Distance))
def test_by_distance_the_nearest_example_answers(distance: Distance, seed: int) -> None:
    rows, labels, queries = drawn(seed)
    learner = Siamese(Identity(5), pairs="contrastive", distance=distance)
    state = learner.adapt(Examples(torch.from_numpy(rows), one_hot(torch.from_numpy(labels), 4, torch.float64)))
    found = learner.predict(state, torch.from_numpy(queries)).argmax(-1).numpy()
    nearest = KNeighborsClassifier(1, metric="sqeuclidean" if distance == "squared" else distance)
    assert (found == nearest.fit(rows, labels).predict(queries)).all()
