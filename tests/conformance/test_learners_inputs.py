"""What users bring: numbers of another type, labels out of range, nets that give something else, layers that change while they run."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from builders import JUDGED, Blobs, apart, case, furthest, gradients, make_learner, make_tasks, shown, variants
from torch import Tensor, nn

from quickstudy import discovery
from quickstudy.errors import DataError, ModelError
from quickstudy.objectives.classes import OneHot, one_hot
from quickstudy.objectives.values import Values
from quickstudy.task import Examples
from quickstudy.training.engine import meta_gradient
from quickstudy.training.evaluate import evaluate
from quickstudy.training.fit import fit
from quickstudy.training.settings import EngineSettings, TrainingSettings

LEARNERS = discovery.names("learners")
each_learner = pytest.mark.parametrize("name", LEARNERS)
each_variant = pytest.mark.parametrize(
    ("name", "changes"), [(name, changes) for name in LEARNERS for changes in variants(name)], ids=shown
)


def on_net(name: str, net: nn.Module) -> Any:
    return discovery.load("learners", name)(net, **case(name, "SMALL", {}))


# ---------------------------------------------------------------------------------------------------- types


@each_variant
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_inputs_take_the_type_of_the_weights(name: str, changes: dict[str, Any], dtype: torch.dtype) -> None:
    learner, task = make_learner(name, norm="batch", dtype=dtype, **changes), make_tasks(dtype=torch.float32)[0]
    state = learner.adapt(task.support)
    prediction = learner.predict(state, task.query.x)
    assert prediction.dtype == dtype
    assert all(value.dtype == dtype for value in state.values() if value.is_floating_point())
    loss = learner.loss(task)
    assert loss.dtype == dtype
    right = make_learner(name, norm="batch", **changes)
    expected = right.predict(right.adapt(task.support), task.query.x)
    rough = {torch.float64: 1e-12, torch.float32: 1e-4}.get(dtype, 0.5)
    assert apart(prediction.double(), expected) < rough


@pytest.fixture
def _doubles_by_default() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@each_learner
@pytest.mark.usefixtures("_doubles_by_default")
def test_another_default_type_changes_nothing(name: str) -> None:
    learner = make_learner(name, norm="batch", dtype=torch.float32)
    task = make_tasks(dtype=torch.float32)[0]
    y = one_hot(task.support.y.labels, 3)
    assert y.rows.dtype == torch.float64
    expected = learner.predict(learner.adapt(task.support), task.query.x)
    found = learner.predict(learner.adapt(Examples(task.support.x.double(), y)), task.query.x.double())  # type: ignore[union-attr]
    assert torch.equal(found, expected)
    assert evaluate(learner, Blobs(), 3).scores.shape == (3,)


# ---------------------------------------------------------------------------------------------------- right answers


@pytest.mark.parametrize(("labels", "wrong"), [([3, 3, 7, 7], 3), ([0, 1, -1], -1), ([0, 2], 2)])
def test_labels_that_are_no_way_are_named(labels: list[int], wrong: int) -> None:
    with pytest.raises(DataError, match=rf"label {wrong} is given for 2 ways; expected labels from 0 to 1"):
        one_hot(torch.tensor(labels), ways=2)


def test_no_labels_are_no_error() -> None:
    assert one_hot(torch.zeros(0, dtype=torch.int64), ways=2).rows.shape == (0, 2)


def test_answers_of_no_kind_are_refused() -> None:
    x = torch.zeros(4, 2)
    for y in (torch.tensor([0, 1, 0, 1]), torch.zeros(4, 2)):
        with pytest.raises(DataError, match=r"y is a tensor of shape \[4.*one_hot\(labels, ways\)"):
            Examples(x, y)  # type: ignore[arg-type]
    for kind in (OneHot, Values):
        with pytest.raises(DataError, match="rows are int64; expected floating-point numbers"):
            kind(F.one_hot(torch.tensor([0, 1, 0, 1])))


# ---------------------------------------------------------------------------------------------------- nets


class Gives(nn.Module):
    """A net that gives something else than a row of 4 numbers."""

    def __init__(self, what: Callable[[Tensor], Any], features: int = 4) -> None:
        super().__init__()
        self.linear, self.what, self.features = nn.Linear(6, 4), what, features

    def forward(self, x: Tensor) -> Any:
        return self.what(self.linear(x))


WRONG: dict[str, tuple[Callable[[Tensor], Any], int, str]] = {
    "not flat": (
        lambda x: x.unflatten(1, (2, 2)),
        4,
        r"shape \[\d, 2, 2\]; expected \[example, feature\]. Let it end with x.flatten",
    ),
    "a mean": (lambda x: x.mean(), 4, r"shape \[\]; expected"),
    "a tuple": (lambda x: (x, x), 4, "returns a tuple; expected one tensor"),
    "whole numbers": (lambda x: x.long(), 4, "returns torch.int64; expected floating-point"),
    "another length": (lambda x: x, 5, "returns 4 features, but says net.features = 5; set it to 4"),
}


@each_learner
@pytest.mark.parametrize("kind", WRONG)
def test_what_a_net_gives_is_checked(name: str, kind: str) -> None:
    what, features, message = WRONG[kind]
    learner, task = on_net(name, Gives(what, features)), make_tasks(dtype=torch.float32)[0]
    with pytest.raises(ModelError, match=f"Gives (returns|).*{message}"):
        learner.adapt(task.support)


class Noisy(nn.Module):
    """Dropout, stochastic depth and spectral norm, all of which look at `self.training`."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.features = nn.utils.parametrizations.spectral_norm(nn.Linear(6, 4)), 4

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(self.first(x), 0.5, self.training)
        return x * torch.rand(()) if self.training else x


@each_learner
def test_a_learner_is_always_in_eval_mode(name: str) -> None:
    """Whatever looks at `self.training` is still, in adapting, predicting, training and evaluating; modes are nobody's business."""
    torch.manual_seed(0)
    learner, tasks = on_net(name, Noisy()), make_tasks(2, dtype=torch.float32)
    before = {key: value.clone() for key, value in learner.net.named_buffers()}
    assert before
    for ask in (learner, learner.train(), learner.eval()):
        task = tasks[0]
        first, second = (ask.predict(ask.adapt(task.support), task.query.x) for _ in range(2))
        assert torch.equal(first, second)
    meta_gradient(learner, tasks, "loop")
    looped = gradients(learner)
    meta_gradient(learner, tasks, "vmap")
    assert furthest(gradients(learner), looped) < 1e-4
    fit(
        learner,
        Blobs(),
        None,
        TrainingSettings(steps=2, tasks_per_step=2, validation=JUDGED, engine=EngineSettings(capture=False)),
    )
    evaluate(learner, Blobs(), 2)
    assert not any(module.training for module in learner.modules())
    assert all(torch.equal(value, before[key]) for key, value in learner.net.named_buffers())


class Counting(nn.Module):
    """A layer that counts its calls in a buffer, whatever the mode."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


@each_learner
def test_a_layer_that_changes_its_buffers_is_named(name: str) -> None:
    net = nn.Sequential(nn.Linear(6, 4), Counting())
    net.features = 4  # type: ignore[assignment]
    message = r"layer 'net.1' \(Counting\) changes a buffer of its own while it is used"
    with pytest.raises(ModelError, match=message):
        evaluate(on_net(name, net), Blobs(), 2, engine="loop")
    with pytest.raises(ModelError, match=message):
        fit(
            on_net(name, net),
            Blobs(),
            None,
            TrainingSettings(steps=2, validation=JUDGED, engine=EngineSettings("loop", capture=False)),
        )


# ---------------------------------------------------------------------------------------------------- second derivatives


class Attentive(nn.Module):
    """Self-attention over the numbers of a row."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.attention, self.features = nn.Linear(1, 8), nn.MultiheadAttention(8, 2, batch_first=True), 8

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x.unsqueeze(-1))
        return self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(1)


class Written(nn.Module):
    """The same attention as plain operations, with the same parameters under the same names."""

    def __init__(self, of: nn.MultiheadAttention) -> None:
        super().__init__()
        self.in_proj_weight, self.in_proj_bias, self.out_proj = of.in_proj_weight, of.in_proj_bias, of.out_proj

    def forward(self, query: Tensor, key: Tensor, value: Tensor, need_weights: bool) -> tuple[Tensor]:
        parts = F.linear(query, self.in_proj_weight, self.in_proj_bias).unflatten(-1, (3, 2, 4)).movedim(-3, 0)
        q, k, v = (part.transpose(1, 2) for part in parts)
        mixed = ((q @ k.mT / 2).softmax(-1) @ v).transpose(1, 2).flatten(2)
        return (F.linear(mixed, self.out_proj.weight, self.out_proj.bias),)


@each_learner
def test_attention_has_derivatives_of_every_order(name: str) -> None:
    """The meta-gradient through torch's fused attention is that of attention written out, in a loop and mapped."""
    torch.manual_seed(0)
    learner = on_net(name, Attentive()).double()
    written, tasks = copy.deepcopy(learner), make_tasks(2)
    written.net.attention = Written(learner.net.attention)
    meta_gradient(written, tasks, "loop")
    exact = gradients(written)
    enabled = torch.backends.cuda.flash_sdp_enabled()
    for mapping in ("loop", "vmap"):
        meta_gradient(learner, tasks, mapping)  # type: ignore[arg-type]
        found = gradients(learner)
        assert furthest(found, exact) < 1e-9
    assert torch.backends.cuda.flash_sdp_enabled() == enabled


class Apart(nn.Module):
    """A net around an operation whose derivative has none of its own: distances in another norm."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.features = nn.Linear(6, 4), 3
        self.places = nn.Parameter(torch.randn(3, 4))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cdist(self.linear(x), self.places, p=3.0)


@pytest.mark.parametrize("name", [name for name in LEARNERS if {"recompute": True} in variants(name)])
def test_an_operation_without_a_second_derivative_is_named(name: str) -> None:
    learner = on_net(name, Apart())
    with pytest.raises(ModelError, match="the net uses cdist, whose derivative has none of its own"):
        meta_gradient(learner, make_tasks(2, dtype=torch.float32), "loop")
    first = discovery.load("learners", name)(Apart(), first_order=True)
    meta_gradient(first, make_tasks(2, dtype=torch.float32), "loop")
