"""The hypernetwork against class means, maps written by hand, and correlations."""

from __future__ import annotations

import pytest
import torch
from builders import apart, make_learner, make_tasks, rows

from quickstudy.errors import ConfigError
from quickstudy.learners.hypernetwork import HyperNetwork
from quickstudy.nets.identity import Identity
from quickstudy.objectives.classes import one_hot
from quickstudy.objectives.values import Values
from quickstudy.task import Examples

X = torch.tensor([[1.0, 0.0], [3.0, 2.0], [0.0, 5.0]])
LABELS = torch.tensor([0, 0, 1])


def test_untrained_it_writes_class_means_into_the_head() -> None:
    state = HyperNetwork(Identity(2)).adapt(Examples(X, one_hot(LABELS, 2)))
    assert state["head.weight"].tolist() == [[2.0, 1.0], [0.0, 5.0]]
    assert state["head.bias"].tolist() == [0.0, 0.0]


def test_untrained_it_writes_means_of_values_times_inputs() -> None:
    state = HyperNetwork(Identity(2)).adapt(Examples(X, Values(torch.tensor([[3.0], [1.0], [-1.0]]))))
    torch.testing.assert_close(state["head.weight"], torch.tensor([[2.0, -1.0]]))


def test_a_linear_map_of_class_means_is_applied_to_each_class() -> None:
    """Qiao et al. 2018: the row of a class is the map of its mean activation, whatever the other classes are."""
    learner = HyperNetwork(Identity(2), scales=True)
    with torch.no_grad():
        learner.direct.weight.zero_()
        learner.direct.weight[:, :2] = torch.tensor([[0.0, 1.0], [2.0, 0.0], [1.0, 1.0]])  # two weights and the bias
        learner.scaler.bias.copy_(torch.tensor([0.0, 9.0]))  # 1 + 9 times the second feature
    state = learner.adapt(Examples(X, one_hot(LABELS, 2)))
    assert state["head.weight"].tolist() == [[1.0, 40.0], [5.0, 0.0]]
    assert state["head.bias"].tolist() == [3.0, 5.0]
    assert learner.predict(state, torch.tensor([[1.0, 1.0]])).tolist() == [[44.0, 10.0]]


@pytest.mark.parametrize("scales", [False, True])
def test_the_same_examples_twice_write_the_same_weights(scales: bool) -> None:
    learner, task = make_learner("hypernetwork", scales=scales), make_tasks()[0]
    twice = rows(task.support, torch.arange(2 * task.support.count) % task.support.count)
    once, again = learner.adapt(task.support), learner.adapt(twice)
    for key in ("head.weight", "head.bias"):
        assert apart(again[key], once[key]) < 1e-12


def test_no_width_is_an_error() -> None:
    with pytest.raises(ConfigError, match="width is 0; expected 1 or more"):
        HyperNetwork(Identity(2), width=0)
