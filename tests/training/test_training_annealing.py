"""A loss that follows the training's progress: it meets the same values in every engine, after a resume, and in every process."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from builders import JUDGED, Descent, Prototypes, make_tasks
from torch import Tensor, nn

from quickstudy.learner import Learner, annealing, set_progress
from quickstudy.nets.mlp import MLP
from quickstudy.task import Task
from quickstudy.training import estimate, graphs, plans
from quickstudy.training.fit import fit
from quickstudy.training.folder import RunFolder
from quickstudy.training.settings import EngineSettings, TrainingSettings, ValidationSettings, plan
from quickstudy.training.tracking import read_metrics
from quickstudy.transfer.distil import Distilled

from .conftest import FEATURES, Faded, Rows, weights

Make = Callable[..., Any]
STEPS = 6


class Told(Prototypes):
    """Prototypes whose loss is 1 and how far training is, to be read from what is logged."""

    anneals: ClassVar[bool] = True

    def loss(self, task: Task) -> Tensor:
        return 0 * super().loss(task) + 1 + self.progress


def make(kind: type[Prototypes] = Faded) -> Prototypes:
    torch.manual_seed(0)
    return kind(MLP(FEATURES, hidden=(8,), norm="batch")).double()


def limits(engine: EngineSettings | None = None, **changes: Any) -> TrainingSettings:
    usual: dict[str, Any] = {
        "steps": STEPS,
        "tasks_per_step": 2,
        "engine": engine or plan(),
        "lr": 0.05,
        "optimizer": "sgd",
        "validation": JUDGED,
    }
    return TrainingSettings(**(usual | changes))


def losses(out: pathlib.Path) -> list[float]:
    return [float(row["loss"]) for row in read_metrics(out / "metrics.csv")]


def test_only_learners_that_anneal_have_progress_and_no_file_has_it() -> None:
    assert "progress" not in dict(make(Prototypes).named_buffers())
    learner = make()
    assert dict(learner.named_buffers())["progress"].shape == ()
    assert "progress" not in learner.state_dict()
    set_progress(learner, 0.25)
    assert float(learner.progress) == 0.25


def test_a_learner_with_a_constructor_of_its_own_has_progress() -> None:
    class Own(Faded):
        def __init__(self, net: nn.Module) -> None:
            Learner.__init__(self)
            super().__init__(net)

    assert float(Own(MLP(FEATURES)).progress) == 0


def test_it_is_what_the_schedule_goes_by(tmp_path: pathlib.Path) -> None:
    learner = fit(make(Told), Rows(dtype=torch.float64), None, limits(), tmp_path).learner
    assert float(learner.progress) == 0
    assert losses(tmp_path) == pytest.approx([1 + step / STEPS for step in range(STEPS)], rel=1e-4)


def test_a_time_limit_shortens_it(tmp_path: pathlib.Path) -> None:
    fit(make(Told), Rows(dtype=torch.float64), None, limits(steps=10**6, minutes=0.01), tmp_path)
    told = losses(tmp_path)
    assert told == sorted(told)
    assert told[0] == 1
    assert 1.5 < told[-1] < 2


@pytest.mark.parametrize("mapping", ["loop", "vmap"])
def test_captured_graphs_take_it_as_an_input(mapping: Any) -> None:
    found = [fit(make(), Rows(dtype=torch.float64), None, limits(plan(mapping, capture))) for capture in (False, True)]
    torch.testing.assert_close(weights(found[1].learner), weights(found[0].learner), rtol=1e-10, atol=1e-12)
    steady = fit(make(Prototypes), Rows(dtype=torch.float64), None, limits())
    assert torch.dist(weights(steady.learner), weights(found[0].learner)) > 1e-3


class InPhases(Prototypes):
    """Prototypes that learn twice as fast in the first half of their training, which plain Python decides."""

    anneals: ClassVar[bool] = True
    phases: ClassVar[tuple[str, ...]] = ("half",)
    half: float = 0.5

    def loss(self, task: Task) -> Tensor:
        return super().loss(task) if self.over("half") else 2 * super().loss(task)


@pytest.mark.parametrize("mapping", ["loop", "vmap"])
def test_each_phase_has_graphs_of_its_own(mapping: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are captured when the phase begins, and not again."""
    found, captured = [], []
    make_fx = graphs.make_fx
    monkeypatch.setattr(graphs, "make_fx", lambda function, **how: captured.append(function) or make_fx(function, **how))
    for capture in (False, True):
        found.append(fit(make(InPhases), Rows(dtype=torch.float64), None, limits(plan(mapping, capture))).learner)
    assert len(captured) == 2
    torch.testing.assert_close(weights(found[1]), weights(found[0]), rtol=1e-10, atol=1e-12)
    slow = fit(make(Prototypes), Rows(dtype=torch.float64), None, limits())
    assert torch.dist(weights(slow.learner), weights(found[0])) > 1e-3


def test_an_estimate_is_the_mean_over_phases_by_their_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    learner, told = make(InPhases), []

    def seconds(step: Callable[[int], None]) -> float:
        step(0)
        told.append(learner.done)
        return 3.0 if learner.over("half") else 1.0

    learner.half = 0.25
    monkeypatch.setattr(estimate, "_seconds", seconds)
    found = estimate.estimate(learner, Rows(dtype=torch.float64), None, limits())
    assert told == [0.0, 0.25]
    assert found.step_seconds == 0.25 * 1 + 0.75 * 3
    assert learner.done == 0


def test_validations_know_nothing_of_phases(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what is captured for them stays."""
    told: list[float] = []
    monkeypatch.setattr(InPhases, "calibrate", lambda self, tasks: told.append(self.done))
    settings = limits(validation=ValidationSettings(every=1, tasks=2))
    fit(make(InPhases), Rows(dtype=torch.float64), Rows(dtype=torch.float64), settings)
    assert told == [0.0] * STEPS


def test_a_student_in_training_is_told() -> None:
    learner = Distilled(make(), make(Prototypes))
    assert annealing(learner) == [learner.student]
    set_progress(learner, 0.5)
    assert float(learner.student.progress) == 0.5


def test_a_joint_gradient_is_compared_at_other_fractions_of_the_training() -> None:
    """A loss that is exact as long as it is off: torch's layer norm has another joint gradient in second order."""
    net = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 8), nn.Tanh())
    net.features = 8  # type: ignore[assignment]

    class Late(Descent):
        anneals: ClassVar[bool] = True

        def loss(self, task: Task) -> Tensor:
            start = (self.net(task.query.x).sum(1) / 100).square().mean()
            return start + torch.where(self.progress > 0.25, 1.0, 0.0) * super().loss(task)

    tasks = make_tasks(3)
    trials = plans._Trials(Late(net, inner_lr=0.1, inner_steps=1, head_ways=3).double(), tasks, EngineSettings(), lambda _: 1e9)
    assert not trials.joint_is_exact()


def test_resumed_it_is_as_far_as_unbroken(tmp_path: pathlib.Path) -> None:
    class Stop(BaseException): ...

    class StopAt:
        def update(self, done: float, row: object) -> None:
            if done > 0.4:
                raise Stop

        def note(self, text: str) -> None: ...

    settings = limits(checkpoint_minutes=1e-9)
    whole = fit(make(), Rows(dtype=torch.float64), None, settings, tmp_path / "whole").learner
    with pytest.raises(Stop):
        fit(make(), Rows(dtype=torch.float64), None, settings, tmp_path / "broken", progress=StopAt())
    resumed = RunFolder(tmp_path / "broken", resume=True)
    found = fit(make(), Rows(dtype=torch.float64), None, settings, resumed).learner
    assert torch.equal(weights(found), weights(whole))
    assert losses(tmp_path / "broken") == losses(tmp_path / "whole")
