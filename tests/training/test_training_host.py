"""The process that trains: nothing of it is changed for good, and variables of other programs change nothing."""

from __future__ import annotations

import ctypes
import pathlib
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from builders import Prototypes
from torch import nn

from quickstudy.errors import ConfigError, ModelError
from quickstudy.nets.mlp import MLP
from quickstudy.training import memory
from quickstudy.training.evaluate import LIMITS, evaluate
from quickstudy.training.fit import fit
from quickstudy.training.saving import SavedLearner, load_learner
from quickstudy.training.settings import EngineSettings

Make = Callable[..., Any]


def host() -> dict[str, Any]:
    """Return what a library must leave as it is, as this thread sees it and as a new one does."""
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return {
        "threads": torch.get_num_threads(),
        "threads of new threads": seen[0],
        "type": torch.get_default_dtype(),
        "grad": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "random": torch.get_rng_state().tolist(),
        "precision": torch.get_float32_matmul_precision(),
    }


@pytest.mark.parametrize("threads", [None, 1])
def test_training_and_evaluating_leave_their_process_as_it_was(
    rows: Make, make_learner: Make, settings: Make, monkeypatch: pytest.MonkeyPatch, threads: int | None
) -> None:
    def called(*arguments: object) -> None:
        raise AssertionError("the allocator was changed")

    monkeypatch.setattr(memory.ctypes, "CDLL", called)
    assert ctypes.CDLL is called
    torch.set_num_threads(2)
    before = host()
    engine = EngineSettings("vmap", capture=True, workers=2) if threads is None else EngineSettings("loop")
    learner = make_learner()
    after_making = host()
    fit(learner, rows(), rows(seed=1), settings(engine=engine, threads=threads))
    evaluate(learner, rows(), LIMITS.captured_from)
    assert host() == after_making
    assert {name: value for name, value in host().items() if name != "random"} == {
        name: value for name, value in before.items() if name != "random"
    }


@pytest.mark.parametrize(
    "variables",
    [
        {"SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "job", "SLURM_NTASKS": "2"},
        {"LT_CLI_USED": "1", "LT_DEVICES": "2"},
        {"LT_ACCELERATOR": "tpu", "LT_PRECISION": "64-true", "LT_STRATEGY": "ddp", "LT_NUM_NODES": "3"},
        {"PL_TORCH_DISTRIBUTED_BACKEND": "nccl", "GROUP_RANK": "1", "NODE_RANK": "1"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_variables_of_other_programs_change_nothing(
    rows: Make, make_learner: Make, settings: Make, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    expected = fit(make_learner(), rows(), None, settings(steps=2)).learner.state_dict()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = fit(make_learner(), rows(), None, settings(steps=2)).learner.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())


NUMBERS = {
    "steps": np.int64(3),
    "lr": np.float32(1e-3),
    "tasks_per_step": np.int32(2),
    "weight_decay": np.float64(0.1),
    "minutes": np.float32(5),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_settings_may_be_numbers_of_numpy(rows: Make, settings: Make, tmp_path: pathlib.Path, name: str) -> None:
    limits = settings(**{name: NUMBERS[name]})
    assert type(getattr(limits, name)) in (bool, int, float)
    fit(Prototypes(MLP(4)), rows(), rows(seed=1), limits, tmp_path)
    assert load_learner(tmp_path).info["settings"][name] == pytest.approx(float(NUMBERS[name]))


def test_arguments_and_tasks_may_be_numbers_of_numpy(rows: Make, settings: Make, tmp_path: pathlib.Path) -> None:
    net = MLP(np.int64(4), hidden=tuple(np.array([8, 6])))  # type: ignore[arg-type]
    fit(
        Prototypes(net),
        rows(seed=np.int64(3)),
        rows(seed=np.int64(4)),
        settings(engine=EngineSettings(workers=np.int64(1)), validation={"every": np.int64(4), "snapshots": np.bool_(True)}),
        tmp_path,
    )
    saved = load_learner(tmp_path)
    judged = saved.info["settings"]["validation"]
    assert (judged["every"], judged["snapshots"]) == (4, True)
    assert saved.info["trained_on"]["seed"] == 3
    assert saved.learner.net.hidden == (8, 6)


class Kept(Prototypes):
    """A learner with an argument that no file can keep."""

    def __init__(self, net: nn.Module, table: Any = None) -> None:
        super().__init__(net)
        self.table = table


class Forgetful(Prototypes):
    """A learner that does not keep an argument."""

    def __init__(self, net: nn.Module, secret: int = 1) -> None:
        super().__init__(net)


class Steps:
    """Counts the steps that are told."""

    def __init__(self) -> None:
        self.count = 0

    def update(self, done: float, row: object) -> None:
        self.count += 1

    def note(self, text: str) -> None: ...


@pytest.mark.parametrize("culprit", ["learner", "net", "tasks", "validation", "forgetful", "type"])
def test_what_cannot_be_saved_is_refused_before_the_first_step(
    rows: Make, settings: Make, tmp_path: pathlib.Path, culprit: str
) -> None:
    class Odd(rows):  # type: ignore[misc, valid-type]
        def describe(self) -> dict[str, Any]:
            return super().describe() | {"made by": {"object": object()}}

    net = MLP(4)
    if culprit == "net":
        net.hidden = object()  # type: ignore[assignment]
    learner = {
        "learner": lambda: Kept(net, np.arange(3)),
        "forgetful": lambda: Forgetful(net),
        "type": lambda: Prototypes(net).to(torch.float8_e5m2),
    }.get(culprit, lambda: Prototypes(net))()
    tasks, validation = (Odd() if culprit == name else rows() for name in ("tasks", "validation"))
    steps = Steps()
    message = {
        "learner": r"Kept.table is a ndarray .*which a file cannot keep",
        "net": r"MLP.hidden is a object .*which a file cannot keep",
        "tasks": r"tasks.describe\(\).made by.object is a object",
        "validation": r"tasks.describe\(\).made by.object is a object",
        "forgetful": r"does not keep a constructor argument .*secret",
        "type": r"type float8_e5m2 cannot all be saved",
    }[culprit]
    with pytest.raises((ConfigError, ModelError), match=message):
        fit(learner, tasks, validation, settings(), tmp_path / "run", progress=steps)
    assert steps.count == 0
    assert not (tmp_path / "run").exists()


def test_a_temperature_is_that_of_the_learner_that_is_returned(
    rows: Make, make_learner: Make, settings: Make, tmp_path: pathlib.Path
) -> None:
    saved = fit(make_learner(), rows(), rows(seed=1), settings(validation={"tasks": 40}), tmp_path)
    again = load_learner(tmp_path)
    assert saved.temperature == again.temperature != 1.0
    assert saved.statistics == again.statistics
    assert set(saved.statistics) == {"location", "scale"}
    result = evaluate(again, rows(seed=1), 40)
    assert result.to_dict()["ece"] == again.info["validation"]["ece"]
    assert result.scores.tolist() == evaluate(SavedLearner(again.learner), rows(seed=1), 40).scores.tolist()
