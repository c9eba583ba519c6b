"""fit: engines, chunks, clipping, schedules, early stopping, the clock, snapshots and what is returned, for any learner."""

from __future__ import annotations

import itertools
import math
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from quickstudy import convolution, discovery, storage
from quickstudy.errors import ConfigError, ModelError, TrainingError
from quickstudy.learner import Learner
from quickstudy.learners.maml import MAML
from quickstudy.nets.conv4 import Conv4
from quickstudy.task import Examples, Task, one_hot
from quickstudy.training import capture
from quickstudy.training import engine as engines
from quickstudy.training import fit as fit_module
from quickstudy.training.engine import Engine, Plan, Wanted, choose_engine, meta_gradient
from quickstudy.training.evaluate import Result
from quickstudy.training.fit import fit
from quickstudy.training.memory import Made
from quickstudy.training.saving import load_learner
from quickstudy.training.tracking import read_metrics

Make = Callable[..., Any]
NAMES = [name for name in discovery.names("learners") if name != "nearest"]
TINY = {"reptile": {"inner_steps": 2, "adapt_steps": 2, "inner_batch": 4}}


def column(out: pathlib.Path, name: str) -> list[float]:
    return [float(row[name]) for row in read_metrics(out / "metrics.csv") if row[name]]


def weights(learner: nn.Module) -> torch.Tensor:
    return torch.cat([value.detach().flatten().double() for value in learner.parameters()])


@pytest.mark.parametrize("name", NAMES)
def test_both_engines_train_any_learner_alike(
    name: str, rows: Make, make_learner: Make, settings: Make, tmp_path: pathlib.Path
) -> None:
    ends = []
    for engine in ("loop", "vmap"):
        learner = make_learner(name, norm="batch", dtype=torch.float64, **TINY.get(name, {}))
        before = weights(learner)
        fit(learner, rows(dtype=torch.float64), None, settings(engine=engine, steps=3), tmp_path / engine)
        assert not torch.equal(weights(learner), before)
        ends.append(weights(learner))
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(column(tmp_path / "loop", "loss"), column(tmp_path / "vmap", "loss"), rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("chunk", [1, 3, 8, 100])
def test_chunks_accumulate_to_the_whole_gradient(name: str, chunk: int, rows: Make, make_learner: Make) -> None:
    tasks = rows(dtype=torch.float64).batch(range(8))
    learner = make_learner(name, dtype=torch.float64, **TINY.get(name, {}))

    def gradient(engine: str, size: int | None) -> tuple[torch.Tensor, torch.Tensor]:
        loss = meta_gradient(learner, tasks, engine, size)  # type: ignore[arg-type]
        return loss, torch.cat([value.grad.flatten() for value in learner.parameters() if value.grad is not None])

    whole, chunked, looped = gradient("vmap", None), gradient("vmap", chunk), gradient("loop", None)
    for other in (chunked, looped):
        torch.testing.assert_close(other[0], whole[0], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(other[1], whole[1], rtol=1e-9, atol=1e-12)


def test_the_meta_gradient_is_that_of_finite_differences(rows: Make, make_learner: Make) -> None:
    tasks = rows(dtype=torch.float64).batch(range(3))
    learner = make_learner("maml", norm="layer", dtype=torch.float64, inner_lr=0.2, inner_steps=2)
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


def test_auto_measures_both_engines_and_says_so(rows: Make, make_learner: Make, settings: Make) -> None:
    class Heard:
        notes: list[str] = []  # noqa: RUF012

        def update(self, done: float, row: object) -> None: ...

        def note(self, text: str) -> None:
            self.notes.append(text)

    saved = fit(make_learner(), rows(), None, settings(engine="auto", steps=1), progress=Heard())
    [note] = Heard.notes
    assert note.startswith(("engine: loop (tasks/s: loop ", "engine: vmap (tasks/s: loop "))
    assert ", vmap " in note
    assert f"engine: {saved.info['engine']}" == note
    saved = fit(make_learner(), rows(), None, settings(engine="vmap", capture=False, steps=1))
    assert saved.info["engine"] == "vmap (as set)"


def test_what_a_long_training_measures(rows: Make, make_learner: Make) -> None:
    tasks = rows().batch(range(4))
    engine, why = choose_engine(make_learner("maml"), tasks, Wanted(compiled=False), run=lambda per_task: 1e9)
    assert engine.plan.mapping in ("loop", "vmap", "joint")
    assert "captured loop " in why or "captured vmap " in why
    engine, why = choose_engine(make_learner("maml"), tasks, Wanted("loop", captured=True), run=lambda per_task: 0.0)
    assert engine.plan == Plan("loop", captured=True)
    assert "vmap" not in why
    engine, why = choose_engine(make_learner("maml"), tasks, Wanted("vmap", workers=2), run=lambda per_task: 0.0)
    assert engine.plan == Plan("vmap", captured=True, workers=2)
    engine, why = choose_engine(make_learner("maml"), tasks, Wanted("vmap"), run=lambda per_task: 0.0)
    assert engine.plan == Plan("vmap")  # too short to capture
    assert Wanted("vmap", True, 2, 3).plan() == Plan("vmap", True, 2, 3)
    assert Wanted("vmap", None, 2, 3).plan() is None
    assert Wanted("vmap", True, 1).plan() is None  # whether to compile is open
    assert Wanted("vmap", True, 1, compiled=True).plan() == Plan("vmap", True, 1, compiled=True)


def test_vmap_holds_no_more_tasks_than_memory_does(rows: Make, make_learner: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    learner, tasks = make_learner("maml"), rows().batch(range(8))
    with Made() as one:
        Engine(learner, Plan())(tasks[:1])
    with Made() as three:
        Engine(learner, Plan())(tasks[:3])
    assert one.bytes * 3 <= three.bytes <= one.bytes * 3.5  # and the sums over tasks
    for bound, chunk in ((3.5, 3), (0.5, 1), (8.5, None)):
        monkeypatch.setattr(engines, "MOST_BYTES", int(bound * one.bytes))
        assert choose_engine(learner, tasks, Wanted("vmap"), run=lambda per_task: 0.0)[0].plan == Plan("vmap", chunk=chunk)


def test_a_long_graph_is_not_compiled_unasked(rows: Make, make_learner: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def compiled(*arguments: object) -> None:
        raise RuntimeError("the compiler was called")

    monkeypatch.setattr(capture, "_compiled", compiled)
    monkeypatch.setattr(engines, "SHORT", math.inf)
    whys = []
    for most in (10**6, 1):
        monkeypatch.setattr(engines, "MOST_COMPILED", most)
        wanted = Wanted("vmap", captured=True, workers=1)
        whys.append(choose_engine(make_learner("maml"), rows().batch(range(1)), wanted, run=lambda per_task: 1e9)[1])
    assert "compiled vmap fails (the compiler was called)" in whys[0]
    assert "compiled" not in whys[1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of its own affairs
def test_a_compiled_graph_gives_the_same_gradient_and_follows_the_weights(rows: Make, make_learner: Make) -> None:
    learner, tasks = make_learner("anil").double(), rows(dtype=torch.float64).batch(range(2))
    engine, why = choose_engine(learner, tasks, Wanted("vmap", compiled=True), run=lambda per_task: 0.0)
    assert engine.plan == Plan("vmap", captured=True, compiled=True), why
    for _ in range(2):
        loss = engine(tasks)
        found = torch.cat([loss.view(1), *(parameter.grad.flatten() for parameter in learner.parameters())])
        loss = meta_gradient(learner, tasks, "loop")
        expected = torch.cat([loss.view(1), *(parameter.grad.flatten() for parameter in learner.parameters())])
        assert torch.dist(found, expected) < 1e-10 * expected.norm()
        torch.nn.init.normal_(next(learner.parameters()))


@pytest.mark.parametrize("mapping", ["loop", "vmap", "joint"])
@pytest.mark.parametrize("name", ["protonet", "maml", "anil", "reptile"])
def test_every_plan_gives_the_same_gradient(rows: Make, make_learner: Make, name: str, mapping: str) -> None:
    learner, tasks = make_learner(name).double(), rows(dtype=torch.float64).batch(range(5))
    found = []
    for plan in (
        Plan("loop"),
        Plan(mapping, captured=True),
        Plan(mapping, True, 2),
        Plan(mapping),
        Plan(mapping, True, 1, 2),
    ):
        engine = Engine(learner, plan)
        for _ in range(2):  # captured, and replayed
            loss = engine(tasks)
            found.append(torch.cat([loss.view(1), *(parameter.grad.flatten() for parameter in learner.parameters())]))
    assert found[0].norm() > 0
    assert max(float(torch.dist(each, found[0])) for each in found) < 1e-12


def test_a_captured_graph_follows_weights_buffers_and_hyperparameters(rows: Make, make_learner: Make) -> None:
    learner, tasks = make_learner("maml").double(), rows(dtype=torch.float64).batch(range(3))
    captured = Engine(learner, Plan("vmap", captured=True))
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
def test_a_plan_that_gives_another_gradient_is_not_chosen(rows: Make, make_learner: Make, factor: float, mixed: bool) -> None:
    learner = make_learner("maml")
    whole = learner.loss

    def fickle(task: Task) -> torch.Tensor:
        return whole(task) * (1.0 if get_proxy_mode() is None else factor)

    learner.loss = fickle
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        engine, why = choose_engine(learner, rows().batch(range(1)), Wanted("loop", workers=1), run=lambda per_task: 1e9)
    assert engine.plan == Plan("loop")
    assert "captured loop fails (another gradient)" in why


@pytest.mark.parametrize(("factor", "refused"), [(1.9, False), (-1.0, True), (math.nan, True)])
def test_only_rounding_is_forgiven_in_mixed_precision(rows: Make, make_learner: Make, factor: float, refused: bool) -> None:
    """Second order through kinks may differ by its own size there; what points the other way, or nowhere, is wrong."""
    learner = make_learner("maml")
    whole = learner.loss

    def rounded(task: Task) -> torch.Tensor:
        differs = torch.is_autocast_enabled("cpu") and get_proxy_mode() is not None
        return whole(task) * (factor if differs else 1.0)

    learner.loss = rounded
    with torch.autocast("cpu", torch.bfloat16):
        why = choose_engine(learner, rows().batch(range(1)), Wanted("loop", workers=1), run=lambda per_task: 100.0)[1]
    assert ("captured loop fails (another gradient)" in why) == refused
    assert ("fails" in why) == refused


@pytest.mark.parametrize("norm", ["none", "batch", "group"])
@pytest.mark.parametrize("name", NAMES)
def test_a_joint_gradient_is_exact_through_layers_of_ours(rows: Make, make_learner: Make, name: str, norm: str) -> None:
    learner, tasks = make_learner(name, norm=norm, **TINY.get(name, {})).double(), rows(dtype=torch.float64).batch(range(4))
    found = []
    for mapping in ("loop", "joint"):
        loss = meta_gradient(learner, tasks, mapping)  # type: ignore[arg-type]
        found.append(
            torch.cat([loss.view(1), *(value.grad.flatten() for value in learner.parameters() if value.grad is not None)])
        )
    assert found[0].norm() > 0
    torch.testing.assert_close(found[1], found[0], rtol=1e-9, atol=1e-11)


SECONDS = {(False, "loop"): 1.0, (False, "vmap"): 0.9, (True, "loop"): 0.9, (True, "vmap"): 0.5, (True, "joint"): 0.4}
"""What trials are told to have taken, by whether they are captured and how tasks are mapped."""


@pytest.mark.parametrize("halving", ["pool", "stride"])
@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("patches", [0, 2**19], ids=["one by one", "matrix product"])
def test_so_it_is_through_convolutions(patches: int, norm: Any, halving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "PATCHES", patches)
    learner = MAML(Conv4(channels=4, image_size=16, norm=norm, halving=halving), inner_steps=2, statistics="query").double()
    x, y = torch.rand(2, 3, 6, 1, 16, 16).double(), one_hot(torch.arange(3).repeat(2), 3).double().expand(3, -1, -1)
    tasks, found = Task(Examples(x[0], y), Examples(x[1], y)), []
    for mapping in ("loop", "joint"):
        meta_gradient(learner, tasks, mapping)  # type: ignore[arg-type]
        found.append(torch.cat([value.grad.flatten() for value in learner.parameters() if value.grad is not None]))
    assert found[0].norm() > 0
    torch.testing.assert_close(found[1], found[0], rtol=1e-9, atol=1e-11)
    assert engines._Trials(learner, tasks).joint_is_exact()


def test_a_joint_gradient_through_torchs_layer_norm_is_refused(rows: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where its mistake does not show yet, as nothing comes back through a layer of zeros."""
    last = nn.Linear(8, 8)
    net = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), last, nn.Tanh())
    net.features = 8  # type: ignore[assignment]
    nn.init.zeros_(last.weight)
    trials = engines._Trials(MAML(net, inner_lr=0.1, inner_steps=1, head_ways=3), rows().batch(range(3)))
    before = weights(trials.learner)
    assert not trials.joint_is_exact()
    assert trials.failures == ["joint fails (another gradient in float64)"]
    assert torch.equal(weights(trials.learner), before)
    monkeypatch.setattr(engines, "NUDGE", 0.0)
    assert trials.joint_is_exact()


@pytest.mark.parametrize(("off", "refused"), [(1.0, False), (1.0 + 1e-4, True)])
def test_a_joint_gradient_is_compared_in_float64(
    rows: Make, make_learner: Make, monkeypatch: pytest.MonkeyPatch, off: float, refused: bool
) -> None:
    """An error of 1e-4 is lost in the rounding of float32, and yet an error."""
    summed, mappings = engines.summed_gradient, []

    def slightly_wrong(learner: Learner, mapping: str) -> Any:
        gradient = summed(learner, mapping)  # type: ignore[arg-type]
        mappings.append(mapping)
        if mapping != "joint":
            return gradient
        return lambda *given: ({name: off * value for name, value in gradient(*given)[0].items()}, gradient(*given)[1])

    monkeypatch.setattr(engines, "summed_gradient", slightly_wrong)
    monkeypatch.setattr(engines._Trials, "_seconds", lambda _, engine: SECONDS[engine.plan.captured, engine.plan.mapping])
    engine, why = choose_engine(
        make_learner("anil"), rows().batch(range(3)), Wanted(workers=1, compiled=False), run=lambda per_task: 1e6
    )
    assert "joint" in mappings
    assert ("joint fails (another gradient in float64)" in why) == refused
    assert engine.plan == Plan("vmap" if refused else "joint", captured=True)


def test_a_short_training_tries_no_joint_gradient(rows: Make, make_learner: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines._Trials, "_seconds", lambda _, engine: SECONDS[engine.plan.captured, engine.plan.mapping])
    wanted = Wanted(captured=True, workers=1, compiled=False)
    why = choose_engine(make_learner("anil"), rows().batch(range(3)), wanted, run=lambda per_task: 1e-3)[1]
    assert "captured vmap" in why
    assert "joint" not in why


@pytest.mark.parametrize("clip", [0.01, 0.05])
def test_clip_bounds_the_norm_of_the_meta_gradient(rows: Make, make_learner: Make, settings: Make, clip: float) -> None:
    learner = make_learner("maml")
    seen = [weights(learner)]

    class Watch:
        def update(self, done: float, row: object) -> None:
            seen.append(weights(learner))

    fit(learner, rows(), None, settings(clip=clip, optimizer="sgd", lr=1.0, schedule="constant", steps=4), progress=Watch())
    lengths = [float((after - before).norm()) for before, after in itertools.pairwise(seen)]
    assert lengths == pytest.approx([clip] * 4, rel=1e-3)  # these gradients are all longer than that


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_the_rate_of_each_step_follows_the_schedule(
    rows: Make, make_learner: Make, settings: Make, tmp_path: pathlib.Path, schedule: str
) -> None:
    fit(make_learner(), rows(), None, settings(schedule=schedule, steps=4, lr=0.5), tmp_path)
    expected = {
        "cosine": [0.25 * (1 + math.cos(math.pi * step / 4)) for step in range(4)],
        "linear": [0.5, 0.375, 0.25, 0.125],
        "constant": [0.5] * 4,
    }[schedule]
    assert column(tmp_path, "lr") == pytest.approx(expected, rel=1e-5)


def test_one_sgd_step_is_the_gradient_times_the_rate(rows: Make, make_learner: Make, settings: Make) -> None:
    learner, twin = make_learner("maml"), make_learner("maml")
    start = settings(optimizer="sgd", lr=0.3, schedule="constant", clip=None, steps=1, tasks_per_step=4)
    fit(learner, rows(), None, start)
    meta_gradient(twin, rows().batch(range(4)), "loop")
    moved = [p.detach() - 0.3 * p.grad for p in twin.parameters() if p.grad is not None]
    for found, expected in zip(learner.parameters(), moved, strict=True):
        torch.testing.assert_close(found.detach(), expected)


def test_steps_use_fresh_tasks_in_order(rows: Make, make_learner: Make, settings: Make) -> None:
    drawn = []

    class Watched(rows):  # type: ignore[misc, valid-type]
        def batch(self, indices: range) -> Any:
            drawn.append(list(indices))
            return super().batch(indices)

    fit(make_learner(), Watched(), None, settings(steps=3))
    assert drawn[:3] == [[0, 1], [2, 3], [4, 5]]
    assert min(drawn[3]) > 2**39  # calibration draws tasks of its own


def test_learns(rows: Make, make_learner: Make, settings: Make) -> None:
    learner = make_learner("maml", inner_lr=0.5)
    before = fit_module.evaluate(learner, rows(seed=9), 100).mean
    saved = fit(learner, rows(), rows(seed=1), settings(steps=150, lr=0.02, validate_every=50, validation_tasks=50))
    assert fit_module.evaluate(saved.learner, rows(seed=9), 100).mean > before + 0.03


def test_minutes_bound_the_training(rows: Make, make_learner: Make, settings: Make, tmp_path: pathlib.Path) -> None:
    saved = fit(make_learner(), rows(), rows(seed=1), settings(steps=10**9, minutes=0.005, validate_every=10**6), tmp_path)
    seconds = column(tmp_path, "seconds")
    assert seconds[-1] >= 0.3
    assert all(second < 0.3 for second in seconds[:-1])
    expected = [0.005 * (1 + math.cos(math.pi * second / 0.3)) for second in [0.0, *seconds[:-1]]]
    assert column(tmp_path, "lr") == pytest.approx(expected, rel=1e-3, abs=1e-6)  # the schedule is as short as the time
    assert len(column(tmp_path, "validation_accuracy")) == 1
    assert saved.info["steps"] == len(seconds)


@pytest.mark.parametrize("patience", [1, 3])
def test_patience_stops_early(rows: Make, make_learner: Make, settings: Make, tmp_path: pathlib.Path, patience: int) -> None:
    limits = settings(steps=1000, validate_every=2, patience=patience, lr=1e-12)
    saved = fit(make_learner(), rows(), rows(seed=1), limits, tmp_path)
    assert len(column(tmp_path, "loss")) == 2 * (1 + patience)  # the first validation is the best; then patience runs out
    assert saved.info["steps"] == 2
    again = fit(make_learner(), rows(), rows(seed=1), limits, tmp_path, resume=True)
    assert again.info["steps"] == 2
    assert len(column(tmp_path, "loss")) == 2 * (1 + patience)


@pytest.mark.parametrize("keep", [True, False])
def test_the_best_by_validation_is_returned(
    rows: Make, make_learner: Make, settings: Make, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, keep: bool
) -> None:
    accuracies = iter([0.3, 0.8, 0.5])
    seen = []

    def scripted(learner: Learner, tasks: Any, count: int, **options: Any) -> Result:
        seen.append(weights(learner))
        return Result(np.full(count, next(accuracies)), "inductive", tasks.describe(), tasks.fingerprint(count))

    monkeypatch.setattr(fit_module, "evaluate", scripted)
    learner = make_learner("maml", head_ways=3)
    out = tmp_path if keep else None
    saved = fit(learner, rows(), rows(seed=1), settings(validate_every=2, snapshots=True), out)
    assert torch.equal(weights(saved.learner), seen[1])
    assert torch.equal(weights(learner), seen[1])
    assert not torch.equal(seen[1], seen[2])
    if keep:
        assert saved.info["steps"] == 4
        assert torch.equal(weights(load_learner(tmp_path).learner), seen[1])
        files = sorted(file.name for file in (tmp_path / "snapshots").iterdir())
        assert files == [f"step-{step:07d}.safetensors" for step in (2, 4, 6)]
        for file, expected in zip(files, seen, strict=True):
            assert torch.equal(weights(load_learner(tmp_path / "snapshots" / file).learner), expected)


class Mine(Learner):
    """A user's own learner: not in the package, on the user's own net."""

    def __init__(self, net: nn.Module, scale: float = 1.0) -> None:
        super().__init__()
        self.net, self.scale = net, scale

    def adapt(self, support: Any, state: Any = None) -> Any:
        return {"mean": support.y.t() @ self.net(support.x) / support.y.sum(0).unsqueeze(-1)}

    def predict(self, state: Any, x: Any) -> torch.Tensor:
        return self.scale * self.net(x) @ state["mean"].t()


@pytest.mark.parametrize("validate", [True, False])
def test_a_learner_and_net_of_the_users_own(rows: Make, settings: Make, tmp_path: pathlib.Path, validate: bool) -> None:
    torch.manual_seed(0)
    learner = Mine(nn.Sequential(nn.Linear(4, 6), nn.Tanh()))
    saved = fit(learner, rows(), rows(seed=1) if validate else None, settings(), tmp_path)
    arrays = storage.load(tmp_path / "learner.safetensors", "learner").arrays
    for name, value in saved.learner.state_dict().items():
        assert arrays[name].tobytes() == value.numpy().tobytes()
    fit(
        Mine(nn.Sequential(nn.Linear(4, 6), nn.Tanh())),
        rows(),
        rows(seed=1) if validate else None,
        settings(),
        tmp_path,
        resume=True,
    )


def test_a_learner_without_parameters_to_train(rows: Make, settings: Make) -> None:
    from quickstudy.learners.nearest import Nearest
    from quickstudy.nets.identity import Identity

    with pytest.raises(ModelError, match="Nearest on this net has no parameters to train"):
        fit(Nearest(Identity(4)), rows(), None, settings())


def test_a_run_is_never_overwritten(rows: Make, make_learner: Make, settings: Make, tmp_path: pathlib.Path) -> None:
    fit(make_learner(), rows(), None, settings(), tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises(ConfigError, match=r"holds a run already.*resume=True"):
        fit(make_learner("maml"), rows(), None, settings(steps=9), tmp_path)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_a_run_resumes_only_as_it_began(rows: Make, make_learner: Make, settings: Make, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match="to resume from"):
        fit(make_learner(), rows(), None, settings(), tmp_path / "none", resume=True)
    fit(make_learner("maml", inner_steps=3), rows(), None, settings(), tmp_path)
    metrics = (tmp_path / "metrics.csv").read_bytes()
    with pytest.raises(ConfigError, match=r"steps: 6 -> 8"):
        fit(make_learner("maml", inner_steps=3), rows(), None, settings(steps=8), tmp_path, resume=True)
    with pytest.raises(ConfigError, match=r"ways: 3 -> 4"):
        fit(make_learner("maml", inner_steps=3), rows(ways=4), None, settings(), tmp_path, resume=True)
    with pytest.raises(ConfigError, match=r"inner_steps: 3 -> 2"):
        fit(make_learner("maml", inner_steps=2), rows(), None, settings(), tmp_path, resume=True)
    assert (tmp_path / "metrics.csv").read_bytes() == metrics


def test_unknown_options_of_fit(rows: Make, make_learner: Make, settings: Make) -> None:
    with pytest.raises(TypeError, match="resum"):
        fit(make_learner(), rows(), None, settings(), resum=True)


@pytest.mark.parametrize(
    ("name", "options", "changes", "culprit"),
    [
        ("maml", {"inner_lr": 1e30, "inner_steps": 3}, {}, "inner_lr=1e+30"),
        ("maml", {"inner_lr": 0.1}, {"lr": 1e30, "optimizer": "sgd", "clip": None}, "lr=1e+30"),
        ("protonet", {}, {"lr": 1e30, "optimizer": "sgd", "clip": None}, "lr=1e+30"),
    ],
)
def test_a_loss_that_is_no_number_names_the_likely_hyperparameter(
    rows: Make, make_learner: Make, settings: Make, name: str, options: dict[str, Any], changes: dict[str, Any], culprit: str
) -> None:
    learner = make_learner(name, **options)
    with pytest.raises(TrainingError, match=r"at step \d the loss is") as caught:
        fit(learner, rows(), None, settings(**changes))
    assert f"Most likely {culprit} is too large" in str(caught.value)
    assert "checkpoint" not in str(caught.value)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("engine", ["loop", "vmap"])
def test_a_loss_that_is_no_number_keeps_the_last_good_checkpoint(
    rows: Make, make_learner: Make, settings: Make, tmp_path: pathlib.Path, engine: str
) -> None:
    limits = settings(validate_every=2, engine=engine)
    with pytest.raises(TrainingError, match=rf"at step 5 the loss is nan.*last good checkpoint, in {tmp_path}, stays"):
        fit(make_learner("maml"), rows(poison=10), rows(seed=1), limits, tmp_path)
    facts = storage.load(tmp_path / "checkpoint.safetensors", "checkpoint")
    assert facts.meta["run"]["step"] == 4
    assert all(np.isfinite(value).all() for value in facts.arrays.values())
    assert len(column(tmp_path, "loss")) == 5
    saved = fit(make_learner("maml"), rows(), rows(seed=1), limits, tmp_path, resume=True)  # on mended data
    assert len(column(tmp_path, "loss")) == 6
    assert bool(torch.isfinite(weights(saved.learner)).all())
