"""A loop over the examples stays one loop in every export, with as many steps as there are examples, and equals torch."""

import numpy as np
import pytest
import torch
from builders import make_tasks
from recurrent import Recurrent, trained

from quickstudy.export.bundle import to_bundle
from quickstudy.export.measure import logits
from quickstudy.nets.mlp import MLP
from quickstudy.objectives.classes import OneHot
from quickstudy.runtime import learner as runtime
from quickstudy.task import Examples
from quickstudy.training.saving import SavedLearner


def double(support: Examples) -> Examples:
    """Return the examples in float64."""
    return Examples(support.x.double(), OneHot(support.y.rows.double()))  # type: ignore[union-attr]


@pytest.mark.parametrize("shots", [1, 4])
def test_it_equals_torch_without_torch_for_any_number_of_examples(shots: int) -> None:
    torch.manual_seed(0)
    learner = trained(Recurrent(MLP(in_features=6, hidden=(8, 6))))
    shipped = runtime.Learner(to_bundle(SavedLearner(learner), features=6))
    task = make_tasks(shots=shots, dtype=torch.float32)[0]
    found = logits(shipped, task.support, task.query.x)
    exact = learner.double()
    expected = exact.predict(exact.adapt(double(task.support)), task.query.x.double()).detach()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    graph = shipped.bundle.graphs["adapt.onnx"]
    assert graph.count(b"Loop") == 1
