"""SNAIL against one pass over each whole sequence, with torch's own convolutions and attention."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from builders import apart, make_learner, make_tasks, rows
from torch import Tensor, nn

from quickstudy.layers.causal import CausalConvolution
from quickstudy.learners.snail import SNAIL
from quickstudy.nets.identity import Identity


def convolved(layer: CausalConvolution, sequence: Tensor) -> Tensor:
    """Return what the dense block of the paper's appendix makes of a sequence `[place, width]`, by a convolution with padding in front."""
    taps = torch.stack([layer.before.weight, layer.now.weight], -1)
    padded = F.pad(sequence.t(), (layer.dilation, 0))
    value, gate = F.conv1d(padded, taps, layer.now.bias, dilation=layer.dilation).t().chunk(2, -1)
    return torch.cat([sequence, torch.tanh(value) * torch.sigmoid(gate)], -1)


def attended(layer: nn.Module, sequence: Tensor) -> Tensor:
    """Return what the paper's attention block makes of a sequence, by torch's causal attention."""
    asked, known, values = (part(sequence).unsqueeze(0) for part in (layer.ask, layer.key, layer.value))
    return torch.cat([sequence, F.scaled_dot_product_attention(asked, known, values, is_causal=True)[0]], -1)


def test_a_query_is_the_end_of_one_sequence() -> None:
    learner, task = make_learner("snail", length=9), make_tasks(ways=3, shots=2)[0]
    found = learner.predict(learner.adapt(task.support), task.query.x)
    expected = torch.zeros_like(found)
    for query, x in enumerate(learner.net(task.query.x)):
        for way in range(3):
            answered = torch.stack([2 * task.support.y.rows[:, way] - 1, torch.ones(6)], 1)
            support = torch.cat([learner.net(task.support.x), answered], 1)
            sequence = torch.cat([support, torch.cat([x, x.new_zeros(2)]).unsqueeze(0)])
            for layer in learner.layers:
                sequence = (convolved if isinstance(layer, CausalConvolution) else attended)(layer, sequence)
            expected[query, way] = learner.out(sequence[-1])
    assert apart(found, expected) < 1e-12


def test_queries_do_not_see_each_other() -> None:
    learner, task = make_learner("snail"), make_tasks()[0]
    state = learner.adapt(task.support)
    alone = torch.cat([learner.predict(state, x.unsqueeze(0)) for x in task.query.x])
    assert apart(learner.predict(state, task.query.x), alone) < 1e-12


def test_what_came_later_changes_nothing_before() -> None:
    learner, support = make_learner("snail"), make_tasks()[0].support
    whole, first = (learner.adapt(examples)["made"] for examples in (support, rows(support, slice(4))))
    assert apart(whole[:, :4], first) < 1e-12


def test_convolutions_reach_across_the_stated_length() -> None:
    for length in (2, 3, 16, 17, 33):
        learner = SNAIL(Identity(in_features=1), width=1, length=length)
        reach = sum(layer.dilation for layer in learner.layers if isinstance(layer, CausalConvolution)) / 2
        assert length - 1 <= reach < 2 * (length - 1) + 1
