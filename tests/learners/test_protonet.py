"""Prototypical networks against scikit-learn's nearest centroid and against formulas written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from builders import apart, drawn, make_learner, make_tasks
from exports import shipped
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestCentroid

from quickstudy.errors import ConfigError
from quickstudy.export.measure import logits
from quickstudy.functional.distances import Distance
from quickstudy.layers.batch_norm import masked_moments
from quickstudy.learners.protonet import ProtoNet
from quickstudy.nets.identity import Identity
from quickstudy.objectives.classes import one_hot
from quickstudy.task import Examples, concatenate


@pytest.mark.parametrize("distance", ["squared", "euclidean"])
@pytest.mark.parametrize("seed", range(3))
def test_protonet_on_raw_rows_is_the_nearest_centroid(seed: int, distance: Distance) -> None:
    rows, labels, queries = drawn(seed)
    learner = ProtoNet(Identity(5), distance=distance)
    state = learner.adapt(Examples(torch.from_numpy(rows), one_hot(torch.from_numpy(labels), 4, torch.float64)))
    found = learner.predict(state, torch.from_numpy(queries)).argmax(-1).numpy()
    assert (found == NearestCentroid().fit(rows, labels).predict(queries)).all()


@pytest.mark.parametrize(("distance", "power"), [("squared", 2), ("euclidean", 1)])
def test_protonet_loss_is_the_cross_entropy_of_negative_distances(distance: Distance, power: int) -> None:
    task = make_tasks()[0]
    prototypes = task.support.x.view(3, 3, 6).mean(0)
    expected = F.cross_entropy(-(torch.cdist(task.query.x, prototypes) ** power), task.query.y.labels)
    assert float(ProtoNet(Identity(6), distance=distance).loss(task)) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(("distance", "power"), [("squared", 2), ("euclidean", 1)])
def test_the_loss_of_pairs_is_the_mean_over_one_shot_questions(distance: Distance, power: int, padded: bool) -> None:
    task = make_tasks(ways=3, shots=2, queries=3, ragged=padded)[0]
    together = concatenate(task.support, task.query)
    x, labels = together.x[together.weight > 0], together.y.labels[together.weight > 0]
    likeness = torch.exp(-(torch.cdist(x, x) ** power))
    losses = []
    for one in range(len(x)):
        others = sum(likeness[one, labels == way].mean() for way in labels.unique() if way != labels[one])
        for shown in range(len(x)):
            if shown != one and labels[shown] == labels[one]:
                losses.append(-torch.log(likeness[one, shown] / (likeness[one, shown] + others)))
    found = ProtoNet(Identity(6), distance=distance, pairs=True).loss(task)
    assert float(found) == pytest.approx(float(torch.stack(losses).mean()), rel=1e-9)


def test_pairs_need_population_statistics() -> None:
    with pytest.raises(ConfigError, match="expected statistics='population'"):
        ProtoNet(Identity(6), statistics="support", pairs=True)


def test_protonet_calibrates_on_support_and_query_without_padding() -> None:
    learner = make_learner("protonet", norm="batch")
    tasks = make_tasks(3, ragged=True, seed=2)
    learner.calibrate(tasks[i] for i in range(3))
    first = learner.net.layers[1][0]
    expected = []
    for index in range(3):
        task = tasks[index]
        x = torch.cat([part.x[part.mask] for part in (task.support, task.query)])
        expected.append(masked_moments(first(x), torch.ones(len(x), dtype=torch.bool)))
    means, variances = (torch.stack(values) for values in zip(*expected, strict=True))
    layer = learner.net.layers[1][1]
    assert apart(layer.mean, means.mean(0)) < 1e-12
    assert apart(layer.var, variances.mean(0) + means.var(0, correction=0)) < 1e-12


@pytest.mark.parametrize("distance", ["euclidean", "cosine", "manhattan"])
def test_other_distances_are_those_of_scipy_and_are_exported(distance: Distance) -> None:
    task, scale = make_tasks(dtype=torch.float32)[0], 10.0
    learner = make_learner("protonet", dtype=torch.float32, distance=distance, scale=scale)
    with torch.no_grad():
        state = learner.adapt(task.support)
        expected = learner.predict(state, task.query.x)
        features = learner.net(task.query.x)
    prototypes = state["sums"] / state["counts"].unsqueeze(-1)
    metric = "cityblock" if distance == "manhattan" else distance
    np.testing.assert_allclose(expected, -scale * cdist(features, prototypes, metric), rtol=1e-4)
    found = logits(shipped("protonet", distance=distance, scale=scale), task.support, task.query.x)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
