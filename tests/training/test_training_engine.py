"""The engine: every plan gives the exact meta-gradient, and what is tried, refused and chosen."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from builders import DESCENT, HEAD_DESCENT, Descent
from torch import nn
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from quickstudy.layers import conv2d as convolution
from quickstudy.learner import Learner
from quickstudy.nets.conv4 import Conv4
from quickstudy.nets.mlp import MLP
from quickstudy.objectives.classes import OneHot
from quickstudy.task import Examples, Task
from quickstudy.training import engine as engine_module
from quickstudy.training import graphs
from quickstudy.training import plans as engines
from quickstudy.training.engine import Engine, meta_gradient
from quickstudy.training.memory import Made
from quickstudy.training.plans import choose_engine
from quickstudy.training.settings import EngineSettings, plan

from .conftest import KINDS, weights

Make = Callable[..., Any]


def gradient(learner: nn.Module) -> torch.Tensor:
    """Return what an engine has set, in one row."""
    return torch.cat([value.grad.flatten() for value in learner.parameters() if value.grad is not None])


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("chunk", [1, 3, 8, 100])
def test_chunks_accumulate_to_the_whole_gradient(name: str, chunk: int, rows: Make, make_learner: Make) -> None:
    tasks = rows(dtype=torch.float64).batch(range(8))
    learner = make_learner(name, dtype=torch.float64)

    def found(engine: str, size: int | None) -> tuple[torch.Tensor, torch.Tensor]:
        loss = meta_gradient(learner, tasks, engine, size)  # type: ignore[arg-type]
        return loss, gradient(learner)

    whole, chunked, looped = found("vmap", None), found("vmap", chunk), found("loop", None)
    for other in (chunked, looped):
        torch.testing.assert_close(other[0], whole[0], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(other[1], whole[1], rtol=1e-9, atol=1e-12)


def test_the_meta_gradient_is_that_of_finite_differences(rows: Make, make_learner: Make) -> None:
    tasks = rows(dtype=torch.float64).batch(range(3))
    learner = make_learner(DESCENT, norm="layer", dtype=torch.float64, inner_lr=0.2, inner_steps=2)
    meta_gradient(learner, tasks, "vmap", 2)
    weight = next(learner.parameters())
    assert weight.grad is not None
    with torch.no_grad():
        for index in (0, 7, 21):
            losses = []
            for step in (1e-5, -2e-5):
                weight.view(-1)[index] += step
                losses.append(float(torch.stack([learner.loss(tasks[i]) for i in range(3)]).mean()))
            weight.view(-1)[index] += 1e-5
            expected = (losses[0] - losses[1]) / 2e-5
            assert float(weight.grad.view(-1)[index]) == pytest.approx(expected, rel=1e-5, abs=1e-8)


def test_what_a_long_training_measures(rows: Make, make_learner: Make) -> None:
    tasks = rows().batch(range(4))
    engine, why = choose_engine(make_learner(DESCENT), tasks, EngineSettings(compile=False), run=lambda per_task: 1e9)
    assert engine.plan.mapping in ("loop", "vmap", "joint")
    assert "captured loop " in why or "captured vmap " in why
    engine, why = choose_engine(make_learner(DESCENT), tasks, EngineSettings("loop", capture=True), run=lambda per_task: 0.0)
    assert engine.plan == plan("loop", capture=True)
    assert "vmap" not in why
    engine, why = choose_engine(make_learner(DESCENT), tasks, EngineSettings("vmap", workers=2), run=lambda per_task: 0.0)
    assert engine.plan == plan("vmap", capture=True, workers=2)
    engine, why = choose_engine(make_learner(DESCENT), tasks, EngineSettings("vmap"), run=lambda per_task: 0.0)
    assert engine.plan == plan("vmap")  # too short to capture
    assert EngineSettings("vmap", True, 2, chunk=3).plan() == plan("vmap", True, 2, chunk=3)
    assert EngineSettings("vmap", None, 2, chunk=3).plan() is None
    assert EngineSettings("vmap", True, 1).plan() is None  # whether to compile is open
    assert EngineSettings("vmap", True, 1, compile=True).plan() == plan("vmap", True, 1, compile=True)


def test_vmap_holds_no_more_tasks_than_memory_does(rows: Make, make_learner: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    learner, tasks = make_learner(DESCENT), rows().batch(range(8))
    with Made() as one:
        Engine(learner, plan())(tasks[:1])
    with Made() as three:
        Engine(learner, plan())(tasks[:3])
    assert one.bytes * 3 <= three.bytes <= one.bytes * 3.5  # and the sums over tasks
    for bound, chunk in ((3.5, 3), (0.5, 1), (8.5, None)):
        monkeypatch.setattr(engines, "LIMITS", dataclasses.replace(engines.LIMITS, bytes=int(bound * one.bytes)))
        assert choose_engine(learner, tasks, EngineSettings("vmap"), run=lambda per_task: 0.0)[0].plan == plan(
            "vmap", chunk=chunk
        )


def test_what_takes_too_much_of_a_training_is_not_compiled_unasked(
    rows: Make, make_learner: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compiled(*arguments: object) -> None:
        raise RuntimeError("the compiler was called")

    monkeypatch.setattr(graphs, "_compiled", compiled)
    monkeypatch.setattr(engines, "LIMITS", dataclasses.replace(engines.LIMITS, call=math.inf))
    whys = []
    for seconds in (1e9, 100.0):
        wanted = EngineSettings("vmap", capture=True, workers=1)
        whys.append(
            choose_engine(make_learner(DESCENT), rows().batch(range(1)), wanted, run=lambda per_task, whole=seconds: whole)[1]
        )
    assert "compiled vmap fails (the compiler was called)" in whys[0]
    assert "compiled" not in whys[1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of its own affairs
def test_a_compiled_graph_gives_the_same_gradient_and_follows_the_weights(rows: Make, make_learner: Make) -> None:
    learner, tasks = make_learner(HEAD_DESCENT).double(), rows(dtype=torch.float64).batch(range(2))
    engine, why = choose_engine(learner, tasks, EngineSettings("vmap", compile=True), run=lambda per_task: 0.0)
    assert engine.plan == plan("vmap", capture=True, compile=True), why
    for _ in range(2):
        loss = engine(tasks)
        found = torch.cat([loss.view(1), gradient(learner)])
        loss = meta_gradient(learner, tasks, "loop")
        expected = torch.cat([loss.view(1), gradient(learner)])
        assert torch.dist(found, expected) < 1e-10 * expected.norm()
        torch.nn.init.normal_(next(learner.parameters()))


@pytest.mark.parametrize("mapping", ["loop", "vmap", "joint"])
@pytest.mark.parametrize("name", KINDS)
def test_every_plan_gives_the_same_gradient(rows: Make, make_learner: Make, name: str, mapping: str) -> None:
    learner, tasks = make_learner(name).double(), rows(dtype=torch.float64).batch(range(5))
    found = []
    for each in (
        plan("loop"),
        plan(mapping, capture=True),
        plan(mapping, True, 2),
        plan(mapping),
        plan(mapping, True, 1, chunk=2),
    ):
        engine = Engine(learner, each)
        for _ in range(2):  # captured, and replayed
            loss = engine(tasks)
            found.append(torch.cat([loss.view(1), gradient(learner)]))
    assert found[0].norm() > 0
    assert max(float(torch.dist(each, found[0])) for each in found) < 1e-12


def test_a_captured_graph_follows_weights_buffers_and_hyperparameters(rows: Make, make_learner: Make) -> None:
    learner, tasks = make_learner(DESCENT).double(), rows(dtype=torch.float64).batch(range(3))
    captured = Engine(learner, plan("vmap", capture=True))
    before = float(captured(tasks))
    for change in ("weights", "hyperparameter"):
        if change == "weights":
            torch.manual_seed(1)
            torch.nn.init.normal_(next(learner.parameters()))
        else:
            learner.inner_lr = 2 * learner.inner_lr
        loss = float(captured(tasks))
        assert loss == pytest.approx(float(meta_gradient(learner, tasks, "loop")), rel=1e-12)
        assert loss != pytest.approx(before, rel=1e-6)
        before = loss


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("factor", [2.0, math.nan])
def test_a_plan_that_gives_another_gradient_is_not_chosen(rows: Make, factor: float, mixed: bool) -> None:
    class Fickle(Descent):
        def loss(self, task: Task) -> torch.Tensor:
            return super().loss(task) * (1.0 if get_proxy_mode() is None else factor)

    learner = Fickle(MLP(4, hidden=(8,)))
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        engine, why = choose_engine(
            learner, rows().batch(range(1)), EngineSettings("loop", workers=1), run=lambda per_task: 1e9
        )
    assert engine.plan == plan("loop")
    assert "captured loop fails (another gradient)" in why


@pytest.mark.parametrize(("factor", "refused"), [(1.9, False), (-1.0, True), (math.nan, True)])
def test_only_rounding_is_forgiven_in_mixed_precision(rows: Make, factor: float, refused: bool) -> None:
    """Second order through kinks may differ by its own size there; what points the other way, or nowhere, is wrong."""

    class Rounded(Descent):
        def loss(self, task: Task) -> torch.Tensor:
            differs = torch.is_autocast_enabled("cpu") and get_proxy_mode() is not None
            return super().loss(task) * (factor if differs else 1.0)

    learner = Rounded(MLP(4, hidden=(8,)))
    with torch.autocast("cpu", torch.bfloat16):
        why = choose_engine(learner, rows().batch(range(1)), EngineSettings("loop", workers=1), run=lambda per_task: 100.0)[1]
    assert ("captured loop fails (another gradient)" in why) == refused
    assert ("fails" in why) == refused


@pytest.mark.parametrize("norm", ["none", "batch", "group"])
@pytest.mark.parametrize("name", KINDS)
def test_a_joint_gradient_is_exact_through_layers_of_ours(rows: Make, make_learner: Make, name: str, norm: str) -> None:
    learner, tasks = make_learner(name, norm=norm).double(), rows(dtype=torch.float64).batch(range(4))
    found = []
    for mapping in ("loop", "joint"):
        loss = meta_gradient(learner, tasks, mapping)  # type: ignore[arg-type]
        found.append(torch.cat([loss.view(1), gradient(learner)]))
    assert found[0].norm() > 0
    torch.testing.assert_close(found[1], found[0], rtol=1e-9, atol=1e-11)


SECONDS = {(False, "loop"): 1.0, (False, "vmap"): 0.9, (True, "loop"): 0.9, (True, "vmap"): 0.5, (True, "joint"): 0.4}
"""What trials are told to have taken, by whether they are captured and how tasks are mapped."""


@pytest.mark.parametrize("halving", ["pool", "stride"])
@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("patches", [0, 2**19], ids=["one by one", "matrix product"])
def test_so_it_is_through_convolutions(patches: int, norm: Any, halving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "PATCHES", patches)
    learner = Descent(Conv4(channels=4, image_size=16, norm=norm, halving=halving), inner_steps=2, statistics="query").double()
    x, y = torch.rand(2, 3, 6, 1, 16, 16).double(), OneHot(torch.eye(3).repeat(2, 1).double().expand(3, -1, -1))
    tasks, found = Task(Examples(x[0], y), Examples(x[1], y)), []
    for mapping in ("loop", "joint"):
        meta_gradient(learner, tasks, mapping)  # type: ignore[arg-type]
        found.append(gradient(learner))
    assert found[0].norm() > 0
    torch.testing.assert_close(found[1], found[0], rtol=1e-9, atol=1e-11)
    assert engines._Trials(learner, tasks, EngineSettings(), lambda per_task: 1e9).joint_is_exact()


def test_a_joint_gradient_through_torchs_layer_norm_is_refused(rows: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where its mistake does not show yet, as nothing comes back through a layer of zeros."""
    last = nn.Linear(8, 8)
    net = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), last, nn.Tanh())
    net.features = 8  # type: ignore[assignment]
    nn.init.zeros_(last.weight)
    trials = engines._Trials(
        Descent(net, inner_lr=0.1, inner_steps=1, head_ways=3), rows().batch(range(3)), EngineSettings(), lambda per_task: 1e9
    )
    before = weights(trials.learner)
    assert not trials.joint_is_exact()
    assert trials.failures == ["joint fails (another gradient in float64)"]
    assert torch.equal(weights(trials.learner), before)
    monkeypatch.setattr("quickstudy.training.meta_gradient.NUDGE", 0.0)
    trials.joint = None
    assert trials.joint_is_exact()


@pytest.mark.parametrize(("off", "refused"), [(1.0, False), (1.0 + 1e-4, True)])
def test_a_joint_gradient_is_compared_in_float64(
    rows: Make, make_learner: Make, monkeypatch: pytest.MonkeyPatch, off: float, refused: bool
) -> None:
    """An error of 1e-4 is lost in the rounding of float32, and yet an error."""
    summed, mappings = engine_module.summed_gradient, []

    def slightly_wrong(learner: Learner, mapping: str) -> Any:
        gradient = summed(learner, mapping)  # type: ignore[arg-type]
        mappings.append(mapping)
        if mapping != "joint":
            return gradient
        return lambda *given: ({name: off * value for name, value in gradient(*given)[0].items()}, gradient(*given)[1])

    monkeypatch.setattr(engine_module, "summed_gradient", slightly_wrong)
    monkeypatch.setattr(engines._Trials, "_seconds", lambda _, engine: SECONDS[engine.plan.capture, engine.plan.mapping])
    engine, why = choose_engine(
        make_learner(HEAD_DESCENT), rows().batch(range(3)), EngineSettings(workers=1, compile=False), run=lambda per_task: 1e6
    )
    assert "joint" in mappings
    assert ("joint fails (another gradient in float64)" in why) == refused
    assert engine.plan == plan("vmap" if refused else "joint", capture=True)


def test_a_short_training_tries_no_joint_gradient(rows: Make, make_learner: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines._Trials, "_seconds", lambda _, engine: SECONDS[engine.plan.capture, engine.plan.mapping])
    wanted = EngineSettings(capture=True, workers=1, compile=False)
    why = choose_engine(make_learner(HEAD_DESCENT), rows().batch(range(3)), wanted, run=lambda per_task: 1e-3)[1]
    assert "captured vmap" in why
    assert "joint" not in why
