"""call and with_tensors: a module with other tensors, in a copy that nobody else sees."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from quickstudy.functional.call import call, original, trainable, with_tensors
from quickstudy.layers.batch_norm import BatchNorm, batch_statistics


class Tied(nn.Module):
    """The same layer twice, a weight under two names, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = self.again = nn.Linear(3, 3)
        self.last = nn.Linear(3, 3, bias=False)
        self.last.weight = self.first.weight
        self.register_buffer("scale", torch.tensor(2.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.again(self.first(x).sin())) * self.scale


def net() -> Tied:
    torch.manual_seed(0)
    return Tied().double()


def others(module: nn.Module) -> dict[str, Tensor]:
    named = dict(module.named_parameters()) | dict(module.named_buffers())
    return {name: torch.randn(value.shape, dtype=value.dtype) for name, value in named.items()}


def test_it_is_torchs_and_leaves_the_module_alone() -> None:
    module, x = net(), torch.randn(4, 3).double()
    before = module(x)
    for tensors in (others(module), {"scale": torch.tensor(3.0).double()}, {}):
        torchs = functional_call(copy.deepcopy(module), tensors, (x,))  # which leaves a layer with two names changed
        assert torch.equal(call(module, tensors, x), torchs)
    assert torch.equal(module(x), before)


def test_a_tied_weight_is_replaced_under_every_name() -> None:
    module, weight = net(), torch.randn(3, 3).double()
    copied = with_tensors(module, {"first.weight": weight})
    assert copied.first is copied.again
    assert copied.first.weight is copied.last.weight is weight
    assert copied.first.bias is module.first.bias


def test_names_that_the_module_does_not_have_are_an_error() -> None:
    with pytest.raises(KeyError, match=r"Tied has no parameter or buffer first\.wieght, other"):
        with_tensors(net(), {"first.wieght": torch.zeros(3, 3), "other": torch.zeros(1)})


def test_derivatives_maps_and_captures_go_through() -> None:
    module, x = net(), torch.randn(5, 4, 3).double()
    weights = dict(module.named_parameters())

    def loss(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return call(module, weights, x).square().sum()

    expected = torch.autograd.grad(sum(module(each).square().sum() for each in x), list(weights.values()))
    for way in (vmap(grad(loss), (None, 0)), make_fx(vmap(grad(loss), (None, 0)))(weights, x)):
        for name, value in zip(weights, expected, strict=True):
            torch.testing.assert_close(way(weights, x)[name].sum(0), value)
    joint = grad(lambda weights, x: vmap(loss, (None, 0))(weights, x).sum())(weights, x)
    torch.testing.assert_close(list(joint.values()), list(expected))


def test_hooks_run_in_the_copy_too() -> None:
    module, seen = net(), []
    module.last.register_forward_hook(lambda layer, inputs, output: seen.append(original(layer)))
    module.first.register_forward_pre_hook(lambda layer, inputs: (inputs[0] * 0,))
    x = torch.randn(4, 3).double()
    assert torch.equal(call(module, {"scale": torch.ones(()).double()}, x), module(x) / 2)
    assert seen == [module.last] * 2


def test_statistics_are_recorded_under_the_names_of_the_layers_that_were_copied() -> None:
    module = nn.Sequential(nn.Linear(3, 2), BatchNorm(2))
    x = torch.randn(8, 3)
    twice = with_tensors(with_tensors(module, {"0.bias": torch.ones(2)}), {"0.weight": torch.ones(2, 3)})
    with batch_statistics(keep=True) as recording:
        twice(x)
    assert recording.of(module).keys() == {"1.mean", "1.var"}
    torch.testing.assert_close(recording.of(twice)["1.mean"], (x.sum(1, keepdim=True) + torch.ones(2)).mean(0))


def test_what_does_not_train_is_known_in_a_copy_of_plain_tensors() -> None:
    module = net()
    module.first.bias.requires_grad_(False)
    copied = with_tensors(module, {name: value.detach() for name, value in module.named_parameters()})
    assert trainable(copied).keys() == trainable(module).keys() == {"first.weight"}
