"""BOIL against MAML with a rate of 0 for the head, and its head of prototypes against prototypical networks."""

from __future__ import annotations

import torch
from builders import Descent, Prototypes, apart, make_net, make_tasks, rows

from quickstudy.learners import _weights
from quickstudy.learners.boil import BOIL


def test_with_a_learned_head_it_is_maml_with_a_rate_of_zero_for_the_head() -> None:
    support, net = make_tasks(ragged=True)[0].support, make_net(norm="batch")
    learner, descent = (kind(net, inner_lr=0.3, inner_steps=3, head_ways=3).double() for kind in (BOIL, Descent))
    learner.load_state_dict(descent.state_dict())
    start = _weights.start(descent, support, None)
    rates = {name: 0.0 if name.startswith("head.") else 0.3 for name in start}
    expected, found = _weights.adapt(descent, support, None, start, rates), learner.adapt(support)
    assert expected.keys() - found.keys() == {"head.weight", "head.bias"}
    assert all(apart(value, expected[name]) < 1e-12 for name, value in found.items())


def test_before_its_first_step_it_is_a_prototypical_network() -> None:
    """The logits `2 c f - |c|^2` are negative squared distances, but for `|f|^2`, which all ways share."""
    task, net = make_tasks(ragged=True, seed=1)[0], make_net().double()
    learner, prototypes = BOIL(net, inner_steps=0), Prototypes(net)
    found = learner.predict(learner.adapt(task.support), task.query.x)
    expected = prototypes.predict(prototypes.adapt(task.support), task.query.x)
    there = task.support.y.rows[task.support.mask].sum(0) > 0
    assert apart(found.softmax(-1)[:, there], expected.softmax(-1)[:, there]) < 1e-10


def test_its_body_moves_and_its_head_stays() -> None:
    support, net = make_tasks()[0].support, make_net().double()
    before, after = (BOIL(net, inner_steps=steps).adapt(support) for steps in (0, 4))
    assert all(torch.equal(before[name], after[name]) == name.startswith(("head.", "counts")) for name in before)


def test_prototypes_of_earlier_examples_go_on_counting() -> None:
    support, learner = make_tasks(shots=4)[0].support, BOIL(make_net().double(), inner_steps=0)
    parts = [rows(support, part) for part in (slice(0, 3), slice(3, None))]
    found, expected = learner.adapt(parts[1], learner.adapt(parts[0])), learner.adapt(support)
    assert all(apart(found[name], expected[name]) < 1e-12 for name in expected)
