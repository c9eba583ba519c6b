"""Whole learners in C against torch: in float64, within a small multiple of torch's own float32 error."""

from __future__ import annotations

import contextlib
import copy
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from builders import Descent, HeadDescent, Memory, Prototypes, case, learner_class
from networks import one_layer
from torch import Tensor, nn

from quickstudy import discovery
from quickstudy.errors import ConfigError, ModelError
from quickstudy.export.c.firmware import FirmwareSettings, write_firmware
from quickstudy.learner import Learner
from quickstudy.nets.conv4 import Conv4
from quickstudy.nets.mlp import MLP
from quickstudy.nets.resnet12 import ResNet12
from quickstudy.nets.spoken import Spoken
from quickstudy.objectives.classes import OneHot, one_hot
from quickstudy.objectives.values import Values
from quickstudy.task import Examples
from quickstudy.training.saving import SavedLearner

MiniBatches = learner_class(takes="adapt_steps inner_batch inner_optimizer")
IMAGE = (1, 16, 16)


class Strange(nn.Module):
    """Odd sizes, windows, strides and paddings, and functions other than ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 5, 5, stride=3, padding=2), nn.Conv2d(5, 6, 1)
        self.c = nn.Conv2d(6, 3, 2, padding=1)
        self.features = 3 * 2 * 2

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.a(x.reshape(-1, *IMAGE)))
        x = nn.functional.max_pool2d(x, 3, stride=2, padding=1)
        x = nn.functional.leaky_relu(self.b(x), 0.1)
        return nn.functional.max_pool2d(torch.sigmoid(self.c(x)), 3, stride=2, ceil_mode=True).flatten(1)


class Biased(nn.Sequential):
    """Convolutions with a bias of their own before ReLU, and a function whose derivative torch computes in place."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 3, 3, stride=2), nn.SiLU(), nn.Flatten())
        self.features = 3 * 3 * 3


def conv4(norm: str = "none", halving: str = "stride") -> Conv4:
    return Conv4(channels=6, image_size=16, norm=norm, halving=halving)  # type: ignore[arg-type]


CASES: dict[str, Callable[[], Learner]] = {
    "gradient steps": lambda: Descent(conv4(), inner_lr=1.0, inner_steps=4),
    "gradient steps, pooling": lambda: Descent(conv4("none", "pool"), inner_lr=1.0, inner_steps=4),
    "gradient steps, batch norm": lambda: Descent(conv4("batch", "pool"), inner_lr=0.1, inner_steps=2),
    "gradient steps, group norm": lambda: Descent(conv4("group"), inner_lr=0.1),
    "gradient steps, layer norm": lambda: Descent(conv4("layer", "pool"), inner_lr=0.1, inner_steps=2),
    "gradient steps, learned head": lambda: Descent(conv4(), head_ways=5, inner_lr=0.5),
    "gradient steps, strange net": lambda: Descent(Strange(), inner_lr=0.5),
    "gradient steps, torch's convolutions": lambda: Descent(Biased(), inner_lr=0.5),
    "gradient steps, mlp": lambda: Descent(MLP(256, (20, 10)), inner_lr=0.5),
    "the head": lambda: HeadDescent(conv4(), inner_lr=1.0),
    "the head, batch norm": lambda: HeadDescent(conv4("batch", "pool"), inner_lr=0.1),
    "mini-batches": lambda: MiniBatches(conv4(), inner_lr=0.002, adapt_steps=5, inner_batch=4),
    "mini-batches, sgd, batch norm": lambda: MiniBatches(conv4("batch"), inner_lr=0.05, adapt_steps=3, inner_optimizer="sgd"),
    "prototypes": lambda: Prototypes(conv4("batch", "pool")),
    "prototypes, support statistics": lambda: Prototypes(conv4("batch", "pool"), statistics="support"),
    "prototypes, words in time": lambda: Prototypes(Spoken(channels=6, image_size=16, levels=(0.5, 0.1))),
    "prototypes, resnet12": lambda: Prototypes(ResNet12(1, (4, 4, 6, 6))),
    "examples": lambda: Memory(conv4("batch")),
}


def in_precision(learner: Learner, dtype: torch.dtype, data: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    learner = copy.deepcopy(learner).to(dtype)
    x, y, queries = (value.to(dtype) for value in data)
    return learner.predict(learner.adapt(Examples(x, OneHot(y))), queries).detach().double()


PRODUCT = {
    "the head, batch norm",
    "mini-batches, sgd, batch norm",
    "prototypes, support statistics",
    "gradient steps, layer norm",
}
"""Cases that join what others show one by one."""


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.product] * (name in PRODUCT)) for name in CASES])
def test_equal_to_torch(name: str, build: Callable) -> None:
    check_equal(CASES[name](), (256,) if "mlp" in name else IMAGE, build)


@pytest.mark.parametrize("name", discovery.names("learners"))
def test_every_learner_equals_torch_or_is_refused_with_what_it_does(name: str, build: Callable) -> None:
    learner = discovery.load("learners", name)(MLP(256, (12,)), **case(name, "SMALL", {}))
    refused = case(name, "REFUSED_IN_C", "")
    with pytest.raises(ModelError, match=refused) if refused else contextlib.nullcontext():
        check_equal(learner, (256,), build)


def check_equal(learner: Learner, shape: tuple[int, ...], build: Callable) -> None:
    """Hold the C of a learner against torch, on a task of four ways and a fifth without examples."""
    classes = torch.arange(11) % 4  # the fifth way has no example
    x = torch.randn(11, *shape) + torch.randn(4, *shape)[classes]
    queries, data = torch.randn(6, *shape), one_hot(classes, 5).rows
    saved = SavedLearner(learner) if shape == (256,) else SavedLearner(Rows(learner))
    host = build(saved, ways=5, examples=12, features=256, precision="float32")
    assert host.adapt(x.numpy(), classes.numpy()) == 0
    answers, scores = host.predict(queries.numpy())
    exact = in_precision(learner, torch.float64, (x, data, queries))
    error = (in_precision(learner, torch.float32, (x, data, queries)) - exact)[:, :4].abs().max().item()
    scale = exact[:, :4].abs().max().item()
    assert np.abs(scores[:, :4] - exact[:, :4].numpy()).max() <= 10 * error + 2e-5 * max(scale, 1e-3)
    assert (scores[:, 4] == np.float32(-1e30)).all()  # hidden
    clear = exact.topk(2).values.diff().abs().squeeze(1) > 1e-4 * scale
    assert clear.any()
    assert (answers == exact.argmax(1).numpy())[clear.numpy()].all()


def Rows(learner: Learner) -> Learner:  # noqa: N802
    """Return a learner on images that is given them as float rows."""
    learner = copy.deepcopy(learner)
    net = learner.net
    learner.net = _Unflattened(net)  # type: ignore[assignment]
    return learner


class _Unflattened(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.inner, self.features = net, net.features

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.reshape(x.shape[0], *IMAGE))


class Running(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.cumsum(1)


class First(nn.Module):
    """Less the first example, which one pass over the examples does not know."""

    def __init__(self, which: int | slice) -> None:
        super().__init__()
        self.which = which

    def forward(self, x: Tensor) -> Tensor:
        return x - x[self.which]


def test_memory_does_not_grow_with_shots_without_batch_norm(tmp_path: pathlib.Path) -> None:
    for norm, grows in (("none", False), ("group", False), ("batch", True)):
        sizes = [
            write_firmware(
                tmp_path, SavedLearner(Rows(Descent(one_layer(norm)))), FirmwareSettings(examples=examples), features=256
            )
            for examples in (5, 50)
        ]
        assert (sizes[1].arena > sizes[0].arena) == grows == sizes[0].grows


class Overflowing(nn.Module):
    """A layer whose results are too large for float32, so that differences of them are no numbers."""

    features = 4

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        large = self.layer(x).exp() * 1e38 * 1e38
        return F.relu(large - large)


@pytest.mark.parametrize("kind", [Prototypes, Memory, Descent, HeadDescent])
def test_a_result_that_is_not_a_number_is_reported_though_an_activation_follows(kind: type[Learner], build: Callable) -> None:
    learner, x, classes = kind(Overflowing()), torch.randn(6, 4), torch.arange(6) % 3
    state = learner.adapt(Examples(x, one_hot(classes, 3)))
    assert not all(value.isfinite().all() for value in state.values())
    host = build(SavedLearner(learner), ways=3, examples=6, features=4)
    not_finite, not_adapted = -5, -7
    assert host.adapt(x.numpy(), classes.numpy()) == not_finite
    assert (host.predict(x.numpy())[0] == not_adapted).all()


def test_regression(build: Callable) -> None:
    learner = Descent(MLP(1, (10, 10)), inner_lr=0.05)
    host = build(SavedLearner(learner, target="values"), ways=1, examples=10)
    x = torch.linspace(-1, 1, 10).unsqueeze(1)
    assert host.adapt(x.numpy(), x.sin().numpy()) == 0
    expected = learner.predict(learner.adapt(Examples(x, Values(x.sin()))), x).detach()
    answers, scores = host.predict(x.numpy())
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert (answers == 0).all()


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (nn.Sequential(nn.Conv2d(1, 4, 3, groups=1, dilation=2), nn.ReLU(), nn.Flatten()), "dilation"),
        (nn.Sequential(nn.Flatten(), nn.Linear(256, 4), Running()), "cumsum"),
        (nn.Sequential(nn.Flatten(), nn.Linear(256, 4), First(0)), "select.*picks examples"),
        (nn.Sequential(nn.Flatten(), nn.Linear(256, 4), First(slice(0, 1))), "slice.*picks examples"),
    ],
)
def test_what_has_no_c_form_is_named(net: nn.Module, words: str, tmp_path: pathlib.Path) -> None:
    net.features = 4 * 12 * 12 if words == "dilation" else 4  # type: ignore[assignment]
    with pytest.raises(ModelError, match=rf"(?s){words}.*(Use|Write|export)"):
        write_firmware(tmp_path, SavedLearner(Rows(Descent(net))), features=256)


class Tallying(Prototypes):
    """Prototypes that count their examples in whole numbers."""

    def adapt(self, support: Examples, state: Any = None) -> Any:
        found = super().adapt(support, state)
        return {**found, "counts": found["counts"].long()}


def test_a_state_of_whole_numbers_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ModelError, match=r"counts in the state of Tallying is int64; expected float32\. Convert it"):
        write_firmware(tmp_path, SavedLearner(Tallying(MLP(4, (4,)))))


def test_queries_are_not_normalised_by_a_batch(tmp_path: pathlib.Path) -> None:
    saved = SavedLearner(Descent(MLP(4, (4,), norm="batch"), statistics="query"))
    with pytest.raises(ModelError, match="statistics='support'"):
        write_firmware(tmp_path, saved)


def test_arguments_out_of_range(tmp_path: pathlib.Path) -> None:
    saved = SavedLearner(Descent(MLP(4, (4,))))
    for options in ({"ways": 0}, {"examples": 0}, {"precision": "int4"}):
        with pytest.raises(ConfigError):
            write_firmware(tmp_path, saved, FirmwareSettings(**options))
    assert not list(tmp_path.iterdir())
