"""Gradients inside an exported graph equal torch's, for every kind of pooling, with ties, and for batch norm and convolutions."""

from __future__ import annotations

import dataclasses
import itertools
import re
from typing import Any

import numpy as np
import pytest
import torch
from builders import Descent, Prototypes
from networks import NETS
from torch import Tensor, nn

from quickstudy.errors import ModelError
from quickstudy.export.bundle import to_bundle
from quickstudy.export.measure import logits
from quickstudy.export.trace.decompositions import onnx
from quickstudy.functional.call import call, trainable
from quickstudy.inputs.image import ImageSpec
from quickstudy.layers.batch_norm import BatchNorm, batch_statistics
from quickstudy.learner import Learner
from quickstudy.objectives.classes import one_hot
from quickstudy.runtime.learner import Learner as Runnable
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


@dataclasses.dataclass(eq=False, repr=False)
class Derivative(Learner):
    """State: the derivative of a loss with respect to the weights of a net, and to the inputs. It learns nothing else.

    Args:
        net: `[example, ...]` to `[example, feature]`.
    """

    net: nn.Module

    def adapt(self, support: Examples, state: Any = None) -> dict[str, Tensor]:
        def loss(weights: dict[str, Tensor], x: Tensor) -> Tensor:
            with batch_statistics():
                squares = call(self.net, weights, x).square().sum(1)
            return (squares * (1 + support.y.rows[:, 0])).sum()

        to_weights, to_x = torch.func.grad(loss, (0, 1))(trainable(self.net), support.x)
        return {**to_weights, "x": to_x}

    def predict(self, state: Any, x: Tensor) -> Tensor:
        return x.flatten(1)


def check_derivative(net: nn.Module, x: Tensor) -> None:
    """Hold the derivative without torch against torch's in float64."""
    shipped = Runnable(to_bundle(SavedLearner(Derivative(net), ImageSpec(*x.shape[2:], x.shape[1]))))
    y = one_hot(torch.arange(len(x)) % 3, 3)
    found = shipped.run("adapt", {"support.image": x.numpy(), "support.y": y.rows.numpy()})
    state = Derivative(net.double()).adapt(Examples(x.double(), y))
    expected = {name: value.detach() for name, value in state.items()}
    assert found.keys() == expected.keys()
    largest = max(float(value.abs().max()) for value in expected.values())
    for name, value in expected.items():
        np.testing.assert_allclose(
            found[name], value, rtol=0, atol=2e-4 * float(value.abs().max()) + 1e-5 * largest, err_msg=name
        )


@pytest.mark.parametrize("kind", list(POOLS))
def test_the_derivative_of_a_layer_is_torchs(kind: str) -> None:
    x = torch.rand(6, 1, 11, 11)
    x[:, :, :6] = 0.5  # a blank ground: many values tie
    check_derivative(Pooled(POOLS[kind], groups=2 if kind == "apart" else 1), x)


@pytest.mark.parametrize("name", NETS)
def test_the_derivative_of_a_net_is_torchs(name: str) -> None:
    check_derivative(NETS[name](), torch.rand(6, 1, 16, 16))


def test_predictions_after_gradient_steps_equal_torch() -> None:
    learner = Descent(Pooled(POOLS["overlapping"]), inner_lr=0.1, inner_steps=2)
    x, query = torch.rand(6, 1, 11, 11), torch.rand(4, 1, 11, 11)
    support = Examples(x, one_hot(torch.arange(6) % 3, 3))
    found = logits(Runnable(to_bundle(SavedLearner(learner, ImageSpec(11, 11, 1)))), support, query)
    exact = Descent(learner.net.double(), inner_lr=0.1, inner_steps=2)
    double = Examples(x.double(), one_hot(torch.arange(6) % 3, 3, torch.float64))
    expected = exact.predict(exact.adapt(double), query.double()).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())
    unmoved = exact.predict({**exact.adapt(double), "head.weight": torch.zeros(3, exact.net.features).double()}, query.double())
    assert np.abs(expected - unmoved.detach().numpy()).max() > 0.1 * np.abs(expected).max()  # it did adapt


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
        to_bundle(SavedLearner(Derivative(Reading()), ImageSpec(6, 6, 1)))


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


@pytest.mark.parametrize("learner", [Derivative, Prototypes], ids=["derivative", "layer"])
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
    learner: Any, layer: nn.Module, function: str, instead: str
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
        to_bundle(SavedLearner(Derivative(net)), features=8)
    x = torch.rand(6, 8)
    support = Examples(x, one_hot(torch.arange(6) % 3, 3))
    found = logits(Runnable(to_bundle(SavedLearner(Prototypes(net)), features=8)), support, x)  # it takes no derivative
    expected = Prototypes(net).eval().predict(Prototypes(net).adapt(support), x).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
