"""fit: engines, clipping, schedules, early stopping, the clock, snapshots and what is returned, for any learner."""

from __future__ import annotations

import itertools
import math
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from builders import DESCENT, PROTOTYPES, Memory
from torch import nn

from quickstudy import storage
from quickstudy.errors import ConfigError, ConflictError, ModelError, NotFoundError, TrainingError
from quickstudy.learner import Learner
from quickstudy.training.engine import meta_gradient
from quickstudy.training.evaluate import Evaluator, Result, evaluate
from quickstudy.training.fit import fit
from quickstudy.training.folder import RunFolder
from quickstudy.training.saving import load_learner
from quickstudy.training.settings import EngineSettings
from quickstudy.training.tracking import read_metrics

from .conftest import KINDS, weights

Make = Callable[..., Any]


def column(out: pathlib.Path, name: str) -> list[float]:
    return [float(row[name]) for row in read_metrics(out / "metrics.csv") if row[name]]


@pytest.mark.parametrize("name", KINDS)
def test_both_engines_train_any_learner_alike(
    name: str, rows: Make, make_learner: Make, settings: Make, tmp_path: pathlib.Path
) -> None:
    ends = []
    for engine in ("loop", "vmap"):
        learner = make_learner(name, norm="batch", dtype=torch.float64)
        before = weights(learner)
        fit(
            learner,
            rows(dtype=torch.float64),
            None,
            settings(engine=EngineSettings(engine, capture=False), steps=3),
            tmp_path / engine,
        )
        assert not torch.equal(weights(learner), before)
        ends.append(weights(learner))
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(column(tmp_path / "loop", "loss"), column(tmp_path / "vmap", "loss"), rtol=1e-5)


def test_auto_measures_both_engines_and_says_so(rows: Make, make_learner: Make, settings: Make) -> None:
    class Heard:
        notes: list[str] = []  # noqa: RUF012

        def update(self, done: float, row: object) -> None: ...

        def note(self, text: str) -> None:
            self.notes.append(text)

    saved = fit(
        make_learner(), rows(), None, settings(engine=EngineSettings(capture=False, workers=1), steps=1), progress=Heard()
    )
    [note] = Heard.notes
    assert note.startswith(("engine: loop (tasks/s: loop ", "engine: vmap (tasks/s: loop "))
    assert ", vmap " in note
    assert f"engine: {saved.info['engine']}" == note
    saved = fit(make_learner(), rows(), None, settings(engine=EngineSettings("vmap", capture=False), steps=1))
    assert saved.info["engine"] == "vmap (as set)"


@pytest.mark.parametrize("clip", [0.01, 0.05])
def test_clip_bounds_the_norm_of_the_meta_gradient(rows: Make, make_learner: Make, settings: Make, clip: float) -> None:
    learner = make_learner(DESCENT)
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
    learner, twin = make_learner(DESCENT), make_learner(DESCENT)
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
    learner = make_learner(DESCENT, inner_lr=0.5)
    before = evaluate(learner, rows(seed=9), 100).mean
    saved = fit(learner, rows(), rows(seed=1), settings(steps=150, lr=0.02, validation={"every": 50, "tasks": 50}))
    assert evaluate(saved.learner, rows(seed=9), 100).mean > before + 0.03


def test_minutes_bound_the_training(rows: Make, make_learner: Make, settings: Make, tmp_path: pathlib.Path) -> None:
    saved = fit(
        make_learner(), rows(), rows(seed=1), settings(steps=10**9, minutes=0.005, validation={"every": 10**6}), tmp_path
    )
    seconds = column(tmp_path, "seconds")
    assert seconds[-1] >= 0.3
    assert all(second < 0.3 for second in seconds[:-1])
    expected = [0.005 * (1 + math.cos(math.pi * second / 0.3)) for second in [0.0, *seconds[:-1]]]
    assert column(tmp_path, "lr") == pytest.approx(expected, rel=1e-3, abs=1e-6)  # the schedule is as short as the time
    assert len(column(tmp_path, "validation_accuracy")) == 1
    assert saved.info["steps"] == len(seconds)


@pytest.mark.parametrize("patience", [1, 3])
def test_patience_stops_early(rows: Make, make_learner: Make, settings: Make, tmp_path: pathlib.Path, patience: int) -> None:
    limits = settings(steps=1000, validation={"every": 2, "patience": patience}, lr=1e-12)
    saved = fit(make_learner(), rows(), rows(seed=1), limits, tmp_path)
    assert len(column(tmp_path, "loss")) == 2 * (1 + patience)  # the first validation is the best; then patience runs out
    assert saved.info["steps"] == 2
    again = fit(make_learner(), rows(), rows(seed=1), limits, RunFolder(tmp_path, resume=True))
    assert again.info["steps"] == 2
    assert len(column(tmp_path, "loss")) == 2 * (1 + patience)


@pytest.mark.parametrize("keep", [True, False])
def test_the_best_by_validation_is_returned(
    rows: Make, make_learner: Make, settings: Make, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, keep: bool
) -> None:
    accuracies = iter([0.3, 0.8, 0.5])
    seen = []

    def scripted(evaluator: Evaluator, tasks: Any, indices: range, **options: Any) -> Result:
        seen.append(weights(evaluator.learner))
        return Result(np.full(len(indices), next(accuracies)), "inductive", tasks.describe(), tasks.fingerprint(len(indices)))

    monkeypatch.setattr(Evaluator, "__call__", scripted)
    learner = make_learner(DESCENT, head_ways=3)
    out = tmp_path if keep else None
    saved = fit(learner, rows(), rows(seed=1), settings(validation={"every": 2, "snapshots": True}), out)
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
        return {"mean": support.y.rows.t() @ self.net(support.x) / support.y.rows.sum(0).unsqueeze(-1)}

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
        RunFolder(tmp_path, resume=True),
    )


def test_a_learner_without_parameters_to_train(rows: Make, settings: Make) -> None:
    from quickstudy.nets.identity import Identity

    with pytest.raises(ModelError, match=f"{Memory.__name__} on this net has no parameters to train"):
        fit(Memory(Identity(4)), rows(), None, settings())


def test_a_run_is_never_overwritten(rows: Make, make_learner: Make, settings: Make, tmp_path: pathlib.Path) -> None:
    fit(make_learner(), rows(), None, settings(), tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises(ConflictError, match=r"holds a run already.*resume=True"):
        fit(make_learner(DESCENT), rows(), None, settings(steps=9), tmp_path)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_a_run_resumes_only_as_it_began(rows: Make, make_learner: Make, settings: Make, tmp_path: pathlib.Path) -> None:
    with pytest.raises(NotFoundError, match="to resume from"):
        fit(make_learner(), rows(), None, settings(), RunFolder(tmp_path / "none", resume=True))
    fit(make_learner(DESCENT, inner_steps=3), rows(), None, settings(), tmp_path)
    metrics = (tmp_path / "metrics.csv").read_bytes()
    with pytest.raises(ConfigError, match=r"steps: 6 -> 8"):
        fit(make_learner(DESCENT, inner_steps=3), rows(), None, settings(steps=8), RunFolder(tmp_path, resume=True))
    with pytest.raises(ConfigError, match=r"ways: 3 -> 4"):
        fit(make_learner(DESCENT, inner_steps=3), rows(ways=4), None, settings(), RunFolder(tmp_path, resume=True))
    with pytest.raises(ConfigError, match=r"\(inner_steps: 3 -> 2\)"):
        fit(make_learner(DESCENT, inner_steps=2), rows(), None, settings(), RunFolder(tmp_path, resume=True))
    assert (tmp_path / "metrics.csv").read_bytes() == metrics


def test_unknown_options_of_fit(rows: Make, make_learner: Make, settings: Make) -> None:
    with pytest.raises(TypeError, match="resum"):
        fit(make_learner(), rows(), None, settings(), resum=True)


@pytest.mark.parametrize(
    ("name", "options", "changes", "culprit"),
    [
        (DESCENT, {"inner_lr": 1e30, "inner_steps": 3}, {}, "inner_lr=1e+30"),
        (DESCENT, {"inner_lr": 0.1}, {"lr": 1e30, "optimizer": "sgd", "clip": None}, "lr=1e+30"),
        (PROTOTYPES, {}, {"lr": 1e30, "optimizer": "sgd", "clip": None}, "lr=1e+30"),
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
    limits = settings(validation={"every": 2}, engine=EngineSettings(engine, capture=False))
    with pytest.raises(TrainingError, match=rf"at step 5 the loss is nan.*last good checkpoint, in {tmp_path}, stays"):
        fit(make_learner(DESCENT), rows(poison=10), rows(seed=1), limits, tmp_path)
    facts = storage.load(tmp_path / "checkpoint.safetensors", "checkpoint")
    assert facts.meta["run"]["step"] == 4
    assert all(np.isfinite(value).all() for value in facts.arrays.values())
    assert len(column(tmp_path, "loss")) == 5
    saved = fit(make_learner(DESCENT), rows(), rows(seed=1), limits, RunFolder(tmp_path, resume=True))  # on mended data
    assert len(column(tmp_path, "loss")) == 6
    assert bool(torch.isfinite(weights(saved.learner)).all())
