"""Gradients inside an exported graph equal torch's, for every kind of pooling, with ties, and for batch norm and convolutions."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from quickstudy.errors import ModelError
from quickstudy.export.bundle import to_bundle
from quickstudy.export.measure import logits
from quickstudy.export.trace.decompositions import onnx
from quickstudy.inputs.image import ImageSpec
from quickstudy.layers.batch_norm import BatchNorm
from quickstudy.learners.maml import MAML
from quickstudy.learners.protonet import ProtoNet
from quickstudy.objectives.classes import one_hot
from quickstudy.runtime.learner import Learner
from quickstudy.task import Examples
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
    "mean, over the edge": nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True),
    "mean, padding left out": nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False),
    "mean, another divisor": nn.AvgPool2d(2, divisor_override=3),
    "transposed convolution": nn.ConvTranspose2d(4, 4, 3, stride=2, padding=1, output_padding=1, groups=2),
}


@pytest.mark.parametrize("kind", list(POOLS))
def test_adapted_predictions_equal_torch(kind: str) -> None:
    learner = MAML(Pooled(POOLS[kind], groups=2 if kind == "apart" else 1), inner_lr=0.1, inner_steps=2)
    x, query = torch.rand(6, 1, 11, 11), torch.rand(4, 1, 11, 11)
    x[:, :, :6] = 0.5  # a blank ground: many values tie
    support = Examples(x, one_hot(torch.arange(6) % 3, 3))
    found = logits(Learner(to_bundle(SavedLearner(learner, ImageSpec(11, 11, 1)))), support, query)
    exact = MAML(learner.net.double(), inner_lr=0.1, inner_steps=2)
    double = Examples(support.x.double(), one_hot(torch.arange(6) % 3, 3, torch.float64))  # type: ignore[union-attr]
    expected = exact.predict(exact.adapt(double), query.double()).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())
    start = exact.predict({**exact.adapt(double), "head.weight": torch.zeros(3, exact.net.features).double()}, query.double())  # type: ignore[dict-item]
    assert np.abs(expected - start.detach().numpy()).max() > 0.1 * np.abs(expected).max()  # it did adapt


aten = torch.ops.aten
WINDOWS = [
    (kernel, stride, padding)
    for kernel in ((2, 2), (3, 2), (4, 5))
    for stride in ((), (1, 2), (3, 3))
    for padding in ((0, 0), (1, 1))
]


@pytest.mark.parametrize(("kernel", "stride", "padding"), WINDOWS)
def test_average_pooling_and_its_derivative_are_torchs(kernel: tuple, stride: tuple, padding: tuple) -> None:
    table = onnx()
    for ceil_mode, count_include_pad, divisor in itertools.product((False, True), (False, True), (None, 3)):
        settings = (kernel, stride, padding, ceil_mode, count_include_pad, divisor)
        x = torch.rand(2, 3, 8, 9, dtype=torch.double)
        pooled = aten.avg_pool2d(x, *settings)
        if (composed := table[aten.avg_pool2d.default](x, *settings)) is NotImplemented:
            assert not ceil_mode
            assert divisor is None
        else:
            torch.testing.assert_close(composed, pooled, rtol=1e-12, atol=1e-12)
        grad = torch.rand_like(pooled)
        found = table[aten.avg_pool2d_backward.default](grad, x, *settings)
        torch.testing.assert_close(found, aten.avg_pool2d_backward(grad, x, *settings), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "output_padding"),
    [((1, 1), (0, 0), (1, 1), (0, 0)), ((2, 3), (1, 0), (1, 2), (1, 2)), ((1, 1), (1, 1), (2, 2), (1, 1))],
)
def test_the_derivative_of_a_transposed_convolution_is_torchs(
    stride: tuple, padding: tuple, dilation: tuple, output_padding: tuple, groups: int
) -> None:
    x, weight = (torch.rand(*shape, dtype=torch.double) for shape in ((2, 4, 5, 6), (4, 3, 3, 2)))
    settings = (stride, padding, dilation, True, output_padding, groups)
    grad = torch.rand_like(aten.convolution(x, weight, None, *settings))
    given = (grad, x, weight, [3 * groups], *settings, [True] * 3)
    for ours, torchs in zip(onnx()[aten.convolution_backward.default](*given), aten.convolution_backward(*given), strict=True):
        torch.testing.assert_close(ours, torchs, rtol=1e-12, atol=1e-12)


def test_a_net_that_reads_indices_is_refused() -> None:
    class Reading(nn.Module):
        features = 9

        def forward(self, x: Tensor) -> Tensor:
            values, places = torch.nn.functional.max_pool2d(x, 2, return_indices=True)
            return (values * places).flatten(1)

    with pytest.raises(ModelError, match="indices of a max-pooling"):
        to_bundle(SavedLearner(MAML(Reading(), inner_steps=1), ImageSpec(6, 6, 1)))


class Between(nn.Module):
    """A layer between two linear ones."""

    features = 4

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.first, self.layer, self.last = nn.Linear(8, 8), layer, nn.LazyLinear(4)
        self(torch.zeros(2, 8))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.layer(self.first(x)).flatten(1))


class Bessel(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.special.i0(x)


class Whitening(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.solve(x.mT @ x + torch.eye(8), x.mT).mT


@pytest.mark.parametrize("learner", [MAML, ProtoNet])
@pytest.mark.parametrize(
    ("layer", "function", "instead"),
    [
        (Bessel(), "torch.special.i0 in layer net.layer (Bessel)", "elementwise functions"),  # which torch rewrites
        (Whitening(), "torch.linalg.solve in layer net.layer (Whitening)", "conjugate-gradient"),
        (nn.Sequential(nn.Unflatten(1, (2, 4)), nn.Linear(4, 4), Bessel()), "i0 in layer net.layer.2 (Bessel)", "elementwise"),
    ],
    ids=["rewritten", "named otherwise", "inside another"],
)
def test_an_operator_that_onnx_lacks_is_named_with_its_layer_and_a_way_out(
    learner: type, layer: nn.Module, function: str, instead: str
) -> None:
    with pytest.raises(ModelError, match=rf"{re.escape(function)} has no ONNX form.* Use .*{instead}"):
        to_bundle(SavedLearner(learner(Between(layer))), features=8)


@pytest.mark.parametrize(
    ("layer", "function", "instead"),
    [
        (nn.Conv1d(2, 3, 3), "torch.nn.functional.conv1d in layer net.layer.1 (Conv1d)", "nn.Conv2d"),
        (nn.ConvTranspose1d(2, 3, 3), "conv_transpose1d in layer net.layer.1 (ConvTranspose1d)", "nn.Conv2d"),
        (nn.AdaptiveAvgPool2d(2), "adaptive_avg_pool2d in layer net.layer.1 (AdaptiveAvgPool2d)", "nn.AvgPool2d"),
    ],
    ids=["convolution", "transposed convolution", "pooling"],
)
def test_a_derivative_without_an_exported_form_is_named_with_its_layer(layer: nn.Module, function: str, instead: str) -> None:
    net = Between(nn.Sequential(nn.Unflatten(1, (2, 2, 2) if "Pool" in str(layer) else (2, 4)), layer))
    with pytest.raises(ModelError, match=rf"{re.escape(function)}.* has no .*form.* Use .*{instead}"):
        to_bundle(SavedLearner(MAML(net)), features=8)
    x = torch.rand(6, 8)
    support = Examples(x, one_hot(torch.arange(6) % 3, 3))
    found = logits(Learner(to_bundle(SavedLearner(ProtoNet(net)), features=8)), support, x)  # it takes no derivative
    expected = ProtoNet(net).eval().predict(ProtoNet(net).adapt(support), x).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
