"""Prototypes refined by queries, against prototypical networks and against steps that were computed by hand."""

from __future__ import annotations

from typing import Any

import pytest
import scipy.optimize
import torch
from builders import Prototypes, apart, furthest, gradients, make_net, make_tasks

from quickstudy.learners.soft_kmeans import SoftKMeans
from quickstudy.nets.identity import Identity
from quickstudy.objectives.classes import one_hot
from quickstudy.task import Examples
from quickstudy.training.engine import meta_gradient
from quickstudy.training.protocols import under_each_protocol


@pytest.mark.parametrize("changes", [{"refine_steps": 0}, {"refinement": "bd_cspn", "refine_steps": 0}, {"refinement": "none"}])
def test_without_refinement_it_is_a_prototypical_network(changes: dict[str, Any]) -> None:
    tasks, net = make_tasks(2, ragged=True), make_net(norm="batch").double()
    task, found = tasks[1], []
    for learner in (SoftKMeans(net, **changes), Prototypes(net)):
        meta_gradient(learner, tasks, "vmap")
        found.append((learner.predict(learner.adapt(task.support), task.query.x), gradients(learner), learner.protocol))
    assert apart(found[0][0], found[1][0]) < 1e-12
    assert furthest(found[0][1], found[1][1]) < 1e-12
    assert found[0][2] == found[1][2] == "inductive"


def test_without_refinement_it_normalises_sets_by_themselves_as_a_prototypical_network_does() -> None:
    net, task = make_net(norm="batch").double(), make_tasks(2, ragged=True)[1]
    ours, theirs = SoftKMeans(net, refinement="none", statistics="query"), Prototypes(net, statistics="query")
    assert ours.protocol == theirs.protocol == "transductive"
    found = [learner.predict_padded(learner.adapt(task.support), task.query.x, task.query.mask) for learner in (ours, theirs)]
    there = task.query.weight > 0
    assert apart(found[0][there], found[1][there]) < 1e-12
    population = SoftKMeans(net, refinement="none")
    assert apart(population.predict(population.adapt(task.support), task.query.x)[there], found[0][there]) > 0.01


def test_refinement_is_transductive_whatever_batch_norm_does() -> None:
    (alone,) = under_each_protocol(SoftKMeans(make_net(norm="batch")))
    assert alone.protocol == "transductive"


def line(*places: float) -> torch.Tensor:
    return torch.tensor(places).double().unsqueeze(1)


def test_a_step_of_soft_k_means_by_hand() -> None:
    """Ways at 0 and 4; a query at 1 is of the first by 1 / (1 + e^-8), a query at 2 is of both by half."""
    learner = SoftKMeans(Identity(1)).double()
    state = learner.adapt(Examples(line(0, 4), one_hot(torch.tensor([0, 1]), 2, torch.float64)))
    near = 1 / (1 + torch.exp(torch.tensor(-8.0).double()))
    first = (0 + near * 1 + 0.5 * 2) / (1 + near + 0.5)
    second = (4 + (1 - near) * 1 + 0.5 * 2) / (1 + (1 - near) + 0.5)
    expected = -torch.stack([(line(1, 2) - first).square(), (line(1, 2) - second).square()], dim=1).squeeze(-1)
    assert apart(learner.predict(state, line(1, 2)), expected) < 1e-12


def test_a_step_of_rectification_by_hand() -> None:
    """Queries are moved to the mean of the support set; there, both lie where an example does, and leave its place alone."""
    rows = torch.tensor([[2.0, 0.0], [0.0, 2.0]]).double()
    learner = SoftKMeans(Identity(2), refinement="bd_cspn").double()
    state = learner.adapt(Examples(rows, one_hot(torch.tensor([0, 1]), 2, torch.float64)))
    found = learner.predict(state, rows + 7)
    assert apart(found, -torch.tensor([[0.0, 8.0], [8.0, 0.0]]).double()) < 1e-12
    # Moved by their mean, [1, 1], the queries are [2, 1] and [0, 1]: of the first way, cosine 2 / sqrt 5, and of the second, cosine 1.
    queries = torch.tensor([[2.0, 1.0], [0.0, 1.0]]).double()
    share = 1 / (1 + torch.exp(torch.tensor(10 * (1 - 2 / 5**0.5)).double()))
    prototypes = torch.stack([torch.stack([torch.tensor(2.0).double(), share]), torch.tensor([0.0, 1.5]).double()])
    expected = -torch.cdist(queries, prototypes).square()
    assert apart(learner.predict(state, queries + 3), expected) < 1e-9


def test_queries_of_one_class_bring_its_prototype_nearer() -> None:
    """One example each, far from the middle of its class: refined by 20 queries, more of them are answered rightly."""
    generator = torch.Generator().manual_seed(0)
    centres, labels = 1.5 * torch.randn(3, 6, generator=generator), torch.arange(3).repeat(20)
    queries = centres[labels] + torch.randn(60, 6, generator=generator)
    right = {}
    for refinement in ("none", "soft_kmeans", "bd_cspn"):
        learner, right[refinement] = SoftKMeans(Identity(6), refinement=refinement, refine_steps=3), 0  # type: ignore[arg-type]
        for seed in range(20):
            noise = torch.randn(3, 6, generator=torch.Generator().manual_seed(seed))
            state = learner.adapt(Examples(centres + noise, one_hot(torch.arange(3), 3)))
            right[refinement] += int((learner.predict(state, queries).argmax(-1) == labels).sum())
    assert right["soft_kmeans"] > right["none"] + 50
    assert right["bd_cspn"] > right["none"] + 50


def test_balanced_answers_to_one_query_of_each_way_are_the_best_assignment_of_queries_to_ways() -> None:
    """scipy's assignment of least total cost is the anchor; queries one by one answer some ways twice and others never."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(12, 4, generator=generator).double()
    queries = centres + 0.7 * torch.randn(12, 4, generator=generator).double()
    support = Examples(centres, one_hot(torch.arange(12), 12, torch.float64))
    best = torch.from_numpy(scipy.optimize.linear_sum_assignment(torch.cdist(queries, centres).square().numpy())[1])
    found = {}
    for steps in (0, 500):
        learner = SoftKMeans(Identity(4), refine_steps=0, scale=30.0, balance_steps=steps).double()
        found[steps] = learner.predict(learner.adapt(support), queries)
        assert learner.transductive == (steps > 0)
    assert (found[500].argmax(-1) == best).all()
    assert (found[0].argmax(-1) != best).any()
    even = SoftKMeans(Identity(4), refine_steps=0, balance_steps=200).double()
    assert apart(even.predict(even.adapt(support), queries).softmax(-1).sum(0), torch.ones(12).double()) < 1e-6


def test_balancing_counts_real_queries_and_ways_that_were_seen() -> None:
    """Padding rows and a way without examples change no answer to the others."""
    learner = SoftKMeans(Identity(2), refine_steps=1, balance_steps=3).double()
    rows, queries = torch.randn(2, 3, 2, generator=torch.Generator().manual_seed(0)).double()
    state = learner.adapt(Examples(rows, one_hot(torch.arange(3), 3, torch.float64)))
    padded = learner.predict_padded(state, torch.cat([queries, 9 + queries]), torch.tensor([True] * 3 + [False] * 3))
    assert apart(padded[:3], learner.predict(state, queries)) < 1e-12
    wider = learner.predict(learner.adapt(Examples(rows, one_hot(torch.arange(3), 4, torch.float64))), queries)
    assert apart(wider[:, :3], learner.predict(state, queries)) < 1e-12
    assert (wider[:, 3] < -1e20).all()
