"""Gradients inside an exported graph equal torch's, for every kind of pooling, with ties, and for batch norm and convolutions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from quickstudy.data.image import ImageSpec
from quickstudy.errors import ModelError
from quickstudy.export.bundle import to_bundle
from quickstudy.export.measure import logits
from quickstudy.learners.maml import MAML
from quickstudy.learners.protonet import ProtoNet
from quickstudy.normalization import BatchNorm
from quickstudy.runtime.learner import Learner
from quickstudy.task import Examples, one_hot
from quickstudy.training.saving import SavedLearner


class Pooled(nn.Module):
    """A convolution, batch norm, a pooling, and a second convolution, so that the derivative of a convolution's input is there too."""

    def __init__(self, pool: nn.Module, groups: int = 1) -> None:
        super().__init__()
        self.first, self.norm, self.pool = nn.Conv2d(1, 4, 3, padding=1), BatchNorm(4), pool
        self.second = nn.Conv2d(4, 6 * groups, 3, padding=1, groups=groups)
        self.features = 6 * groups

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.pool(torch.relu(self.norm(self.first(x))))).amax((2, 3))


POOLS = {
    "apart": nn.MaxPool2d(2),
    "apart, remainder": nn.MaxPool2d(3),
    "padded": nn.MaxPool2d(3, stride=3, padding=1),
    "overlapping": nn.MaxPool2d(3, stride=2, padding=1),
    "ceil": nn.MaxPool2d(2, ceil_mode=True),
    "mean": nn.AvgPool2d(2),
}


@pytest.mark.parametrize("kind", list(POOLS))
def test_adapted_predictions_equal_torch(kind: str) -> None:
    learner = MAML(Pooled(POOLS[kind], groups=2 if kind == "apart" else 1), inner_lr=0.1, inner_steps=2)
    x, query = torch.rand(6, 1, 11, 11), torch.rand(4, 1, 11, 11)
    x[:, :, :6] = 0.5  # a blank ground: many values tie
    support = Examples(x, one_hot(torch.arange(6) % 3, 3))
    found = logits(Learner(to_bundle(SavedLearner(learner, ImageSpec(11, 11, 1)))), support, query)
    exact = MAML(learner.net.double(), inner_lr=0.1, inner_steps=2)
    double = Examples(support.x.double(), support.y.double())  # type: ignore[union-attr]
    expected = exact.predict(exact.adapt(double), query.double()).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())
    start = exact.predict({**exact.adapt(double), "head.weight": torch.zeros(3, exact.net.features).double()}, query.double())  # type: ignore[dict-item]
    assert np.abs(expected - start.detach().numpy()).max() > 0.1 * np.abs(expected).max()  # it did adapt


def test_a_net_that_reads_indices_is_refused() -> None:
    class Reading(nn.Module):
        features = 9

        def forward(self, x: Tensor) -> Tensor:
            values, places = torch.nn.functional.max_pool2d(x, 2, return_indices=True)
            return (values * places).flatten(1)

    with pytest.raises(ModelError, match="indices of a max-pooling"):
        to_bundle(SavedLearner(MAML(Reading(), inner_steps=1), ImageSpec(6, 6, 1)))


def test_an_operator_that_onnx_lacks_is_named_with_its_layer_and_a_way_out() -> None:
    class Whitening(nn.Module):
        features = 4

        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            return torch.linalg.solve(x.mT @ x + torch.eye(4), x.mT).mT

    expected = r"operator _linalg_solve_ex in layer net\.first has no ONNX form\. Use .*conjugate-gradient"
    with pytest.raises(ModelError, match=expected):
        to_bundle(SavedLearner(ProtoNet(Whitening())), features=4)
