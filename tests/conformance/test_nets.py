"""What every net promises, checked for every net that there is and every normalisation that it takes; a net without a case fails."""

from __future__ import annotations

import functools
import inspect
import itertools
import json
import re
import typing
from collections.abc import Callable
from typing import Any

import pytest
import torch
from builders import DESCENT, PROTOTYPES, Descent, Prototypes, case, furthest, gradients
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map

from quickstudy import discovery
from quickstudy.errors import ConfigError, ModelError
from quickstudy.functional.features import frame_count
from quickstudy.inputs.image import ImageSpec
from quickstudy.inputs.rows import RowsSpec
from quickstudy.inputs.several import SeveralSpec
from quickstudy.inputs.sound import SoundSpec
from quickstudy.inputs.text import TextSpec
from quickstudy.layers.batch_norm import batch_statistics
from quickstudy.layers.check import check_net
from quickstudy.layers.norm import NormKind
from quickstudy.learner import Learner, hyperparameters
from quickstudy.nets import _sizes
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.sequences import Tokens, tokens
from quickstudy.task import Examples, Input, Task
from quickstudy.training.describing import build_net, describe_module
from quickstudy.training.engine import meta_gradient


def configurations() -> list[tuple[str, int, str | None]]:
    found = []
    for name in discovery.names("nets"):
        has_norm = "norm" in inspect.signature(discovery.load("nets", name)).parameters
        norms = case(name, "NORMS", typing.get_args(NormKind)) if has_norm else [None]
        examples = range(len(case(name, "EXAMPLES", [None])))  # without a case, one test that fails
        found += [(name, example, norm) for example in examples for norm in norms]
    return found


each_net = pytest.mark.parametrize(("name", "example", "norm"), configurations())


def make(name: str, example: int, norm: str | None, **changes: Any) -> tuple[nn.Module, Input]:
    """Return a net, with its parameters and statistics moved away from zero and one, and five examples."""
    examples = case(name, "EXAMPLES")
    assert examples, f"tests/cases/{name}.py is missing; write its arguments and the shape of an example there: EXAMPLES"
    arguments, shape = examples[example]
    net = discovery.load("nets", name)(**(arguments | ({"norm": norm} if norm else {}) | changes)).double()
    with torch.no_grad():
        for value in net.state_dict().values():
            value.add_(0.2 * torch.rand_like(value))
    return net, draw(name, 5, *shape)


def frames_of(net: nn.Module) -> tuple[int, ...]:
    """Return the number of frames of a net's output, empty for a net with one row of features per example."""
    frames = frame_count(net)
    return () if frames is None else (frames,)


def some(x: Input, rows: slice) -> Input:
    """Return some examples of an input, of whatever parts."""
    return tree_map(lambda part: part[rows], x)


def draw(name: str, *sizes: int) -> Input:
    """Return random inputs of a net: normal numbers, unless its case draws others."""
    normal = functools.partial(torch.randn, dtype=torch.float64)
    return case(name, "draw", normal)(*sizes)


@each_net
def test_shape(name: str, example: int, norm: str | None) -> None:
    net, x = make(name, example, norm)
    assert net(x).shape == (5, *frames_of(net), net.features)
    assert bool(torch.isfinite(net(x)).all())
    assert float(net(x).detach().std(0).max()) > 1e-6, "every example has the same features"


@each_net
def test_examples_do_not_meet(name: str, example: int, norm: str | None) -> None:
    """Outside `batch_statistics`, an example's features do not depend on its neighbours; inside, only batch norm lets them meet."""
    net, x = make(name, example, norm)
    alone = torch.cat([net(some(x, slice(i, i + 1))) for i in range(5)])
    assert torch.allclose(net(x), alone, rtol=1e-9, atol=1e-12)
    with batch_statistics():
        together, fewer = net(x)[:3], net(some(x, slice(3)))
    assert torch.allclose(together, fewer, rtol=1e-9, atol=1e-12) == (norm != "batch" or not list(net.parameters()))


@each_net
def test_described_and_built_it_is_the_same(name: str, example: int, norm: str | None) -> None:
    net, x = make(name, example, norm)
    again = build_net(json.loads(json.dumps(describe_module(net)))).double()
    assert type(again) is type(net)
    assert hyperparameters(again) == hyperparameters(net)
    again.load_state_dict(net.state_dict())
    assert torch.equal(again(x), net(x))
    arguments = case(name, "EXAMPLES")[example][0]
    assert {key: hyperparameters(net)[key] for key in arguments} == arguments


@each_net
def test_learners_accept_it(name: str, example: int, norm: str | None) -> None:
    net, _ = make(name, example, norm)
    assert check_net(net) is net


@each_net
def test_forward_changes_nothing(name: str, example: int, norm: str | None) -> None:
    net, x = make(name, example, norm)
    before, given = {key: value.clone() for key, value in net.state_dict().items()}, tree_map(torch.clone, x)
    for mode in (True, False):
        with batch_statistics(torch.tensor([True] * 4 + [False])):
            net.train(mode)(x)
        assert torch.equal(net(x), net(x))
    assert all(torch.equal(one, other) for one, other in zip(tree_leaves(x), tree_leaves(given), strict=True))
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


@each_net
def test_second_derivative_is_finite(name: str, example: int, norm: str | None) -> None:
    net, x = make(name, example, norm)
    moved = [*net.parameters()] if case(name, "DISCRETE", False) else [x.requires_grad_()]
    with batch_statistics():
        first = torch.autograd.grad(net(x).square().sum(), moved, create_graph=True)
    total = torch.stack([value.square().sum() for value in first]).sum()
    second = torch.autograd.grad(total, {*moved, *net.parameters()}, materialize_grads=True)
    assert all(bool(torch.isfinite(value).all()) for value in second)
    assert max(float(value.abs().max()) for value in second) > 1e-6


@each_net
@pytest.mark.parametrize(
    "make_learner", [functools.partial(Descent, inner_lr=0.01, inner_steps=2), Prototypes], ids=[DESCENT, PROTOTYPES]
)
def test_batched_is_looped(name: str, example: int, norm: str | None, make_learner: Callable[..., Learner]) -> None:
    """Also for weights in channels-last order, as `fit` stores them."""
    net, _ = make(name, example, norm)
    learner = make_learner(net).double().to(memory_format=torch.channels_last)
    if not list(learner.parameters()):
        return
    shape = case(name, "EXAMPLES")[example][1]
    y = OneHot(torch.eye(2)[[0, 1, 0, 1, 0]].double().expand(2, -1, -1))
    if frames_of(net):
        if Tokens not in learner.targets:
            with pytest.raises(ModelError, match="This net is for sequences of symbols"):
                learner.adapt(Examples(draw(name, 5, *shape), OneHot(y.rows[0])))
            return
        y = Tokens(tokens(["a", "b", "ab", "ba", "a"], "ab").places.double().expand(2, -1, -1, -1))
    parts = [Examples(draw(name, 2, 5, *shape), y) for _ in range(2)]
    meta_gradient(learner, Task(*parts), "loop")
    looped = gradients(learner)
    if max(float(value.abs().max()) for value in looped.values()) == 0:
        assert "hidden" in case(name, "EXAMPLES")[example][0]
        assert not case(name, "EXAMPLES")[example][0]["hidden"]
        return
    meta_gradient(learner, Task(*parts), "vmap")
    assert furthest(gradients(learner), looped) < 1e-8


def test_mlp_refuses_instance_norm() -> None:
    with pytest.raises(ConfigError, match="not defined on rows"):
        discovery.load("nets", "mlp")(in_features=3, norm="instance")


# ---------------------------------------------------------------------------------------------------- sizes

SPECS = {
    "grey": ImageSpec(height=28, width=28, channels=1),
    "colour": ImageSpec(height=32, width=32, channels=3),
    "wide": ImageSpec(height=28, width=40, channels=1),
    "rows": RowsSpec(features=7),
    "sound": SoundSpec(),
    "text": TextSpec(length=9),
    "several": SeveralSpec({"text": TextSpec(length=9), "grey": ImageSpec(height=28, width=28, channels=1)}),
}


@pytest.mark.parametrize("name", discovery.names("nets"))
@pytest.mark.parametrize("kind", SPECS)
def test_a_net_fits_its_inputs_or_says_why_not(name: str, kind: str) -> None:
    made, spec = discovery.load("nets", name), SPECS[kind]
    try:
        fitting = _sizes.fit_to(made, spec)
    except ConfigError as error:
        assert re.search(rf"{name} takes .*, but the data has .*another net", str(error))
        assert kind in case(name, "REFUSED", ("wide", "rows", "text", "several"))
        return
    assert set(fitting) == set(_sizes.from_data(made)) <= set(inspect.signature(made).parameters)
    parts = {name: torch.zeros(2, *part.shape) for name, part in spec.layout().items()}
    net, x = made(**fitting), parts if len(parts) > 1 else next(iter(parts.values()))
    assert net(x).shape == (2, *frames_of(net), net.features)


@pytest.mark.parametrize("name", discovery.names("nets"))
def test_narrower_nets_have_fewer_weights(name: str) -> None:
    made = discovery.load("nets", name)
    net = made()
    nets = [net] + [made(**(hyperparameters(net) | change)) for change in _sizes.narrower(net)]
    sizes = [sum(value.numel() for value in one.parameters()) for one in nets]
    assert all(after < before for before, after in itertools.pairwise(sizes))
    assert (len(nets) > 1) == bool(_sizes.width_of(made))
