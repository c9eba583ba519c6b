"""Convolution and batch norm with derivatives of their own, against torch's, to the second order, alone and mapped over tasks."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.utils._python_dispatch import TorchDispatchMode

from quickstudy import convolution
from quickstudy.convolution import Conv2d
from quickstudy.learners.maml import MAML
from quickstudy.nets.conv4 import Conv4
from quickstudy.standardize import standardize
from quickstudy.task import Examples, Task, one_hot
from quickstudy.training.engine import Engine, Plan


def meta_gradient(layer: nn.Module, parameters: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
    """Of the loss after one gradient step."""

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        return functional_call(layer, parameters, (x,)).sin().square().sum()

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


@pytest.mark.parametrize("halving", ["pool", "stride"])
@pytest.mark.parametrize("plan", [Plan("loop"), Plan("loop", captured=True), Plan("vmap", captured=True)], ids=str)
def test_mixed_precision_convolves_in_bfloat16_and_keeps_the_direction(plan: Plan, halving: Literal["pool", "stride"]) -> None:
    torch.manual_seed(0)
    learner = MAML(Conv4(channels=8, image_size=16, halving=halving), inner_steps=2)
    y = one_hot(torch.arange(3).repeat(2), 3).expand(2, -1, -1)
    tasks = Task(*(Examples(torch.rand(2, 6, 1, 16, 16), y) for _ in range(2)))
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
    assert torch.cosine_similarity(*gradients, dim=0) > 0.9
