"""Convolution and batch norm with derivatives of their own, against torch's, to the second order, alone and mapped over tasks."""

from __future__ import annotations

import contextlib
from typing import Any, Literal

import pytest
import torch
from builders import Descent
from torch import Tensor, nn
from torch.func import grad, vmap
from torch.utils._python_dispatch import TorchDispatchMode

from quickstudy.errors import ModelError
from quickstudy.functional.call import call
from quickstudy.functional.descent import gradient_descent
from quickstudy.layers import conv2d as convolution
from quickstudy.layers.batch_norm import BatchNorm, batch_statistics
from quickstudy.layers.conv2d import Conv2d
from quickstudy.layers.conv_norm_pool import fold
from quickstudy.layers.standardize import standardize
from quickstudy.nets.conv4 import Conv4
from quickstudy.objectives.classes import OneHot
from quickstudy.task import Examples, Task
from quickstudy.training.engine import Engine
from quickstudy.training.settings import EngineSettings
from quickstudy.training.settings import plan as made


def meta_gradient(layer: nn.Module, parameters: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
    """Of the loss after one gradient step."""

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        return call(layer, parameters, x).sin().square().sum()

    def after_a_step(parameters: dict[str, Tensor]) -> Tensor:
        gradients = grad(loss)(parameters)
        return loss({name: value - 0.1 * gradients[name] for name, value in parameters.items()})

    return grad(after_a_step)(parameters)


@pytest.mark.parametrize("patches", [0, 2**19], ids=["one by one", "matrix product"])
@pytest.mark.parametrize(("stride", "channels"), [(1, 1), (1, 3), (2, 3)])
def test_convolution_has_torchs_second_derivative(
    stride: int, channels: int, patches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convolution, "PATCHES", patches)
    ours = Conv2d(channels, 4, 3, stride=stride, padding=1).double().to(memory_format=torch.channels_last)
    theirs = nn.Conv2d(channels, 4, 3, stride=stride, padding=1).double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 5, channels, 7, 7, dtype=torch.float64)
    mine, right = dict(ours.named_parameters()), dict(theirs.named_parameters())
    mapped = vmap(lambda x: meta_gradient(ours, mine, x))(x)
    for task in range(len(x)):
        expected, alone = meta_gradient(theirs, right, x[task]), meta_gradient(ours, mine, x[task])
        for name, value in expected.items():
            torch.testing.assert_close(alone[name], value, rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(mapped[name][task], value, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", [(4, 3, 2, 2), (5, 3)])
def test_standardize_against_finite_differences_and_torch(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    weight, bias = (torch.rand(3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(lambda *inputs: standardize(*inputs, 1e-5), (x, weight, bias))
    assert torch.autograd.gradgradcheck(lambda *inputs: standardize(*inputs, 1e-5), (x, weight, bias))
    y, mean, var = standardize(x, weight, bias, 1e-5)
    axes = [0, *range(2, x.dim())]
    torch.testing.assert_close(y, torch.batch_norm(x, weight, bias, None, None, True, 0.0, 1e-5, False))
    torch.testing.assert_close((var, mean), torch.var_mean(x, axes, correction=0))


@pytest.mark.parametrize("shared", [True, False], ids=["shared weight", "weight per task"])
def test_standardize_mapped_over_tasks(shared: bool) -> None:
    def after_a_step(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        def loss(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            return sum((part.sin() * part).sum() for part in standardize(x, weight, bias, 1e-5))  # type: ignore[return-value]

        steps = grad(loss, (0, 1, 2))(x, weight, bias)
        return loss(*(value - 0.1 * step for value, step in zip((x, weight, bias), steps, strict=True)))

    tasks = 1 if shared else 3
    x, weight, bias = torch.randn(3, 6, 3, 4, 4), torch.rand(tasks, 3), torch.rand(tasks, 3)
    x, weight, bias = x.double(), weight.double(), bias.double()
    gradient = grad(after_a_step, (0, 1, 2))
    mapped = vmap(gradient, in_dims=(0, None, None))(x, weight[0], bias[0]) if shared else vmap(gradient)(x, weight, bias)
    for task in range(3):
        alone = gradient(x[task], weight[task % tasks], bias[task % tasks])
        for one, each in zip(alone, mapped, strict=True):
            torch.testing.assert_close(each[task], one, rtol=1e-9, atol=1e-9)


class Folded(nn.Sequential):
    """Convolution and batch norm in one."""

    def forward(self, input: Tensor) -> Tensor:
        folded = fold(input, *self)
        assert folded is not None
        return folded[0] + folded[1]


@pytest.mark.parametrize("mask", [None, torch.tensor([True, True, False, True, False])], ids=["all", "padded"])
@pytest.mark.parametrize("batch", [True, False], ids=["batch statistics", "held statistics"])
@pytest.mark.parametrize(("stride", "channels", "bias"), [(1, 1, False), (1, 3, True), (2, 2, False)])
def test_folding_changes_neither_results_nor_second_derivatives(
    stride: int, channels: int, bias: bool, batch: bool, mask: Tensor | None
) -> None:
    torch.manual_seed(0)
    two = nn.Sequential(Conv2d(channels, 4, 3, stride=stride, padding=1, bias=bias), BatchNorm(4)).double()
    with torch.no_grad():
        for value in two.state_dict().values():
            value.add_(torch.rand_like(value))
    one = Folded(*two)
    parameters, x = dict(two.named_parameters()), 2 + torch.randn(3, 5, channels, 7, 8, dtype=torch.float64)
    with batch_statistics(mask) if batch else contextlib.nullcontext():
        mapped = vmap(lambda each: meta_gradient(one, parameters, each))(x)
        for task in range(len(x)):
            torch.testing.assert_close(one(x[task]), two(x[task]), rtol=1e-9, atol=1e-9)
            alone = meta_gradient(one, parameters, x[task])
            for name, value in meta_gradient(two, parameters, x[task]).items():
                torch.testing.assert_close(alone[name], value, rtol=1e-8, atol=1e-8)
                torch.testing.assert_close(mapped[name][task], value, rtol=1e-8, atol=1e-8)
    seen = []
    for layers in (one, two):
        with batch_statistics(mask, keep=True) as recording:
            layers(x[0])
        seen.append(recording.of(layers))
    torch.testing.assert_close(*seen, rtol=1e-9, atol=1e-9)


def test_folding_takes_its_statistics_in_full_precision() -> None:
    layers = Conv2d(1, 4, 3, padding=1), BatchNorm(4)
    x, seen = 5 + torch.rand(6, 1, 8, 8), []
    for mixed in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed), batch_statistics(keep=True) as recording:
            assert fold(x, *layers) is not None
        seen.append(recording.of(layers[1]))
    torch.testing.assert_close(seen[0], seen[1], rtol=0, atol=0)


def test_only_what_gains_is_folded() -> None:
    x = torch.rand(2, 4, 8, 8)
    with batch_statistics():
        assert fold(x, Conv2d(4, 4, 3), BatchNorm(4)) is None  # 36 numbers in a patch
        assert fold(x, Conv2d(4, 4, 1), nn.Identity()) is None
        assert fold(x, nn.Conv2d(4, 4, 1), BatchNorm(4)) is None
        assert fold(x, Conv2d(4, 4, 1), BatchNorm(4)) is not None
    assert fold(x, Conv2d(4, 4, 3), BatchNorm(4), held=False) is None
    for register in ("register_forward_hook", "register_full_backward_hook"):
        watched = Conv2d(4, 4, 3)
        assert fold(x, watched, BatchNorm(4)) is not None
        getattr(watched, register)(lambda *_: None)
        assert fold(x, watched, BatchNorm(4)) is None

    class Doubled(BatchNorm):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    assert fold(x, Conv2d(4, 4, 3), Doubled(4)) is None


@pytest.mark.parametrize("halving", ["pool", "stride"])
def test_a_block_may_grow_and_be_watched(halving: Literal["pool", "stride"]) -> None:
    """What is folded sees to the layers after it, and shows to hooks what these layers do."""
    net, x, seen = Conv4(channels=4, image_size=16, halving=halving), torch.randn(3, 1, 16, 16), []
    for block in net.blocks:
        nn.init.uniform_(block[1].bias)
    block = net.blocks[0]
    net.blocks[1].append(nn.Tanh())
    block[2].register_forward_hook(lambda layer, inputs, output: seen.append((inputs[0], output)))
    found, expected = net(x), x
    for layer in (layer for block in net.blocks for layer in block):
        expected = layer(expected)
    torch.testing.assert_close(found, expected.flatten(1))
    torch.testing.assert_close(seen[0], seen[1])


@pytest.mark.parametrize("options", [{"groups": 2}, {"dilation": 2}, {"padding_mode": "reflect"}, {"padding": "same"}])
def test_a_convolution_refuses_what_it_does_not_do(options: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ModelError), match=next(iter(options))):
        Conv2d(4, 4, 3, **options)


def test_the_inner_loop_of_first_order_leaves_no_graph() -> None:
    """From the adapted weights, the outer gradient reaches the first ones by additions alone."""

    def operations(first_order: bool) -> set[str]:
        start = {"w": torch.randn(3, 3, requires_grad=True)}
        adapted = gradient_descent(
            lambda p: (p["w"] @ p["w"]).sin().sum(), start, inner_lr=0.1, steps=3, first_order=first_order
        )
        nodes, seen = [adapted["w"].grad_fn], set()
        while nodes:
            node = nodes.pop()
            if node is not None:
                seen.add(node.name())
                nodes += [following for following, _ in node.next_functions]
        return seen

    assert operations(True) == {"AddBackward0", "torch::autograd::AccumulateGrad"}
    assert "MmBackward0" in operations(False)


@pytest.mark.parametrize("halving", ["pool", "stride"])
@pytest.mark.parametrize("plan", [made("loop"), made("loop", capture=True), made("vmap", capture=True)], ids=str)
def test_mixed_precision_convolves_in_bfloat16_and_keeps_the_direction(
    plan: EngineSettings, halving: Literal["pool", "stride"]
) -> None:
    torch.manual_seed(0)
    learner = Descent(Conv4(channels=8, image_size=16, halving=halving), inner_steps=2)
    y = OneHot(torch.eye(3).repeat(2, 1).expand(8, -1, -1))
    tasks = Task(*(Examples(torch.rand(8, 6, 1, 16, 16), y) for _ in range(2)))
    convolutions: list[torch.dtype] = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.ops.aten.convolution.default:
                convolutions.append(args[0].dtype)
            return func(*args, **(kwargs or {}))

    gradients = []
    for mixed in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed), Watch():
            Engine(learner, plan)(tasks)
        assert set(convolutions) == {torch.bfloat16 if mixed else torch.float32}
        convolutions.clear()
        gradients.append(torch.cat([p.grad.flatten() for p in learner.parameters() if p.grad is not None]))
    assert gradients[1].dtype == torch.float32
    assert torch.cosine_similarity(*gradients, dim=0) > 0.95
