"""Several processes: the same training as in one, whoever stops, fails or is killed."""

from __future__ import annotations

import atexit
import concurrent.futures
import dataclasses
import importlib
import os
import pathlib
import signal
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from builders import DESCENT, HEAD_DESCENT, ORDERED, PROTOTYPES, Prototypes

from quickstudy import discovery
from quickstudy.errors import ConfigError, ConflictError, TrainingError
from quickstudy.nets.mlp import MLP
from quickstudy.training import loop
from quickstudy.training.fit import fit
from quickstudy.training.folder import RunFolder
from quickstudy.training.loop import Trainer
from quickstudy.training.processes import group as distributed
from quickstudy.training.processes import rendezvous
from quickstudy.training.processes.group import Group, Step
from quickstudy.training.processes.interrupt import deferred_interrupt
from quickstudy.training.processes.launch import launch
from quickstudy.training.progress import silent
from quickstudy.training.saving import load_learner
from quickstudy.training.settings import EngineSettings, TrainingSettings, ValidationSettings

from .conftest import FEATURES, Counted, Faded, Rows, table

pytestmark = [pytest.mark.usefixtures("nothing_left_behind"), pytest.mark.xdist_group("training in processes")]
STEPS = 6


class Idle(Prototypes):
    """Has a weight that no loss depends on."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__(net)
        self.idle = torch.nn.Parameter(torch.ones(3))


OWN = {"idle": Idle, "faded": Faded, "counted": Counted}
"""Learners of these tests, by name."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A training, the same in any process."""

    learner: str = PROTOTYPES
    norm: str = "batch"
    validate: bool = True
    tasks: dict[str, Any] = dataclasses.field(default_factory=dict)
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)

    def train(self, out: pathlib.Path | RunFolder) -> torch.nn.Module:
        torch.manual_seed(distributed.is_first())  # other processes begin with other weights, which must not matter
        kind = OWN.get(self.learner) or discovery.load("learners", self.learner)
        learner = kind(MLP(FEATURES, hidden=(8,), norm=self.norm)).double()
        usual = {
            "steps": STEPS,
            "tasks_per_step": 6,
            "engine": EngineSettings("loop", capture=False),
            "lr": 0.05,
        }
        judged = ValidationSettings(**({"every": 4, "tasks": 5} | self.settings.get("validation", {})))
        validation = Rows(seed=1, dtype=torch.float64) if self.validate else None
        tasks = Rows(dtype=torch.float64, **self.tasks)
        return fit(
            learner, tasks, validation, TrainingSettings(**(usual | self.settings | {"validation": judged})), out
        ).learner


EQUAL = {
    "tasks shared evenly": Case(),
    "tasks shared unevenly": Case(DESCENT, settings={"tasks_per_step": 5, "optimizer": "sgd", "schedule": "constant"}),
    "fewer tasks than processes": Case(settings={"tasks_per_step": 1, "validation": {"tasks": 1}}),
    "vmap in chunks": Case(
        HEAD_DESCENT, settings={"engine": EngineSettings("vmap", capture=False, chunk=2), "tasks_per_step": 7}
    ),
    "clipped, without validation": Case(ORDERED, norm="layer", validate=False, settings={"clip": 0.01}),
    "a weight without gradient": Case("idle", settings={"optimizer": "adamw", "weight_decay": 0.1}),
    "a loss that anneals": Case("faded"),
    "a loss that reads what is measured": Case("counted"),
}
UNLIKE = {
    "not a number": Case(DESCENT, tasks={"poison": 2 * 6 + 5}),
    "interrupted": Case(tasks={"interrupt": (2 * 6 + 5,)}),
    "by the clock": Case(settings={"steps": 10**9, "minutes": 0.01, "validation": {"every": 10**9}}),
    "annealing by the clock": Case("faded", settings={"steps": 10**9, "minutes": 0.01, "validation": {"every": 10**9}}),
    "patience": Case(settings={"steps": 10**9, "validation": {"every": 2, "patience": 2}, "lr": 1e-12}),
    "engine": Case(settings={"engine": EngineSettings(), "steps": 1}),
}
"""What only the last process meets, or sees otherwise: a bad task, Ctrl-C, a fast clock."""


def weights(learner: torch.nn.Module) -> np.ndarray:
    return torch.cat([value.flatten() for value in learner.state_dict().values()]).numpy()


def train_all(out: pathlib.Path, names: list[str]) -> None:
    """In each process: train these cases, and leave the end as this process sees it."""
    rank = os.environ["RANK"]
    if rank != "0":
        loop.time = SimpleNamespace(monotonic=lambda: 3 * time.monotonic())  # type: ignore[assignment]
    ends = {}
    for name in names:
        case = (EQUAL | UNLIKE)[name]
        try:
            ends[name] = weights(case.train(out / name))
        except TrainingError as error:
            ends[name] = np.array(str(error))
        except KeyboardInterrupt as interrupt:
            ends[name] = np.array(interrupt.__notes__)
    np.savez(out / f"process{rank}.npz", **ends)


def assert_like_one_process(name: str, ends: list[Any], out: pathlib.Path, alone: pathlib.Path) -> None:
    expected = weights(EQUAL[name].train(alone / name))
    for end in ends:
        np.testing.assert_allclose(end[name], expected, rtol=1e-9, atol=1e-8)  # Adam magnifies what rounds to no gradient
        np.testing.assert_array_equal(end[name], ends[0][name])  # to the last bit
    numbers, reference = (np.array(table(folder / name, "step", "loss", "lr"), dtype=float) for folder in (out, alone))
    np.testing.assert_allclose(numbers, reference, rtol=1e-5)
    validated = [table(folder / name, "validation_accuracy", "validation_ci95") for folder in (out, alone)]
    assert validated[0] == validated[1]
    infos = [load_learner(folder / name, learner=OWN.get(EQUAL[name].learner)).info for folder in (out, alone)]
    for info in infos:
        del info["minutes"], info["engine"], info["megabytes"]  # with the speeds that were measured
    assert infos[0] == infos[1]
    assert {file.name for file in (out / name).iterdir()} == {file.name for file in (alone / name).iterdir()}
    assert len(list((out / name / "tensorboard").iterdir())) == 1


@pytest.mark.slow
def test_three_processes_train_as_one(tmp_path: pathlib.Path) -> None:
    out, alone = tmp_path / "three", tmp_path / "one"
    out.mkdir()
    launch(train_all, 3, out, [*EQUAL, *UNLIKE], restarts=0)
    ends = [np.load(out / f"process{rank}.npz") for rank in range(3)]
    for name in EQUAL:
        assert_like_one_process(name, ends, out, alone)
    for name in UNLIKE:
        for end in ends[1:]:
            np.testing.assert_array_equal(ends[0][name], end[name])
    with pytest.raises(TrainingError) as caught:
        UNLIKE["not a number"].train(alone / "not a number")
    assert str(ends[0]["not a number"]).replace(str(out), str(alone)) == str(caught.value)
    assert "at step 2" in str(caught.value)
    [note] = ends[0]["interrupted"]
    assert note.startswith("interrupted after step 3; saved in ")
    case = dataclasses.replace(UNLIKE["interrupted"], tasks={})
    resumed = case.train(RunFolder(out / "interrupted", resume=True))  # alone: the number of processes may change
    assert len(table(out / "interrupted", "step")) == STEPS
    np.testing.assert_allclose(weights(resumed), ends[0]["tasks shared evenly"], rtol=1e-9, atol=1e-8)
    assert len(table(out / "patience", "step")) == 2 * (1 + 2)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [0, 1, 5, 6, 20])
def test_shares_are_all_tasks_in_order(size: int, count: int) -> None:
    shares = [Group(rank, size).share(range(3, 3 + count)) for rank in range(size)]
    assert [index for share in shares for index in share] == list(range(3, 3 + count))
    lengths = [len(share) for share in shares]
    assert max(lengths) - min(lengths) <= 1
    assert lengths[0] == max(lengths)  # the first process measures the engines, so it needs a task


def test_alone_nothing_changes() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.tensor([0.1, 0.3])
    group, before = Group.join(), weight.grad
    assert group == Group()
    assert group.mean_([weight], 7, Step(0.1, 2.0, True)) == Step(0.1, 2.0, True)
    assert weight.grad is before
    assert (group.first(lambda: 5), group.any(True), group.gather([1.0])) == (5, True, [1.0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two'; expected a whole number"),
        ({"RANK": ""}, "RANK is ''; expected a whole number"),
        ({}, "MASTER_ADDR expected, but not set. Start them with torchrun"),
    ],
)
def test_an_environment_that_makes_no_group(monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], message: str) -> None:
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    for name, value in ({"RANK": "0", "WORLD_SIZE": "2"} | changes).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        Group.join()
    assert message in str(caught.value)


def test_every_process_needs_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match=r"2 processes .* 1 GPUs; .*CUDA_VISIBLE_DEVICES="):
        launch(print, 2)
    with pytest.raises(ConfigError, match="0 processes and 3 restarts"):
        launch(print, 0)


class Heard:
    """Keeps what is worth knowing."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def update(self, done: float, row: object) -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)


def fail(out: pathlib.Path, how: str) -> None:
    """Work that does not end well, in the last process only; the others wait for it."""
    group = Group.join()
    with (out / f"process{group.rank}").open("a") as file:
        file.write("began\n")
    if group.rank == group.size - 1:
        if how == "refuse":
            raise ConfigError("no such thing")
        if how == "exit":
            os._exit(3)
        if how == "stop":
            raise KeyboardInterrupt
        raise ZeroDivisionError("on purpose")
    if how == "stop":
        time.sleep(600)
    group.any(False)


@pytest.mark.slow
def test_a_process_that_does_not_stop_with_the_others_is_ended(tmp_path: pathlib.Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        launch(fail, 2, tmp_path, "stop")
    assert (tmp_path / "process0").read_text() == "began\n"


@pytest.mark.slow
def test_an_error_of_one_process_is_raised_once(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match=r"^no such thing$"):
        launch(fail, 2, tmp_path, "refuse")
    assert (tmp_path / "process0").read_text() == "began\n"  # nothing was started again


def leave_threads(out: pathlib.Path) -> None:
    """Work that loads the compiler once there is a group, as optimizers do, and writes which threads there are with the group and after."""

    def write(when: str) -> None:
        tasks = [pathlib.Path("/proc/self/task", task, "comm") for task in os.listdir("/proc/self/task")]
        names = " ".join(task.read_text().strip() for task in tasks if task.exists())
        (out / f"{when}{os.environ['RANK']}").write_text(names)

    atexit.register(write, "after")  # what is registered first is called last
    group = Group.join()
    importlib.import_module("torch._dynamo")
    group.any(False)
    write("with")


def test_no_thread_of_a_group_outlives_it(tmp_path: pathlib.Path) -> None:
    launch(leave_threads, 2, tmp_path)
    for rank in range(2):
        assert "gloo" in (tmp_path / f"with{rank}").read_text()
        after = (tmp_path / f"after{rank}").read_text()
        assert "gloo" not in after  # a thread that is left makes the interpreter abort at times, as it ends


def test_an_unexpected_exception_is_reported_with_its_traceback(tmp_path: pathlib.Path) -> None:
    with pytest.raises(TrainingError, match=r"(?s)process 0 of 1 failed:\nTraceback .* in fail.*ZeroDivisionError: on purpose"):
        launch(fail, 1, tmp_path, "raise")
    assert (tmp_path / "process0").read_text() == "began\n"


@pytest.mark.slow
def test_a_process_that_dies_again_and_again(tmp_path: pathlib.Path) -> None:
    heard = Heard()
    with pytest.raises(TrainingError, match="process 0 terminated with exit code 3, after 1 restarts"):
        launch(fail, 1, tmp_path, "exit", restarts=1, progress=heard)
    assert (tmp_path / "process0").read_text() == "began\nbegan\n"
    [note] = heard.notes
    assert note.startswith("process 0 terminated with exit code 3; all start again (1 of 1)")


def test_every_start_meets_under_a_name_of_its_own() -> None:
    store, starts = torch.distributed.HashStore(), []
    for _ in range(3):  # each finds what the ones before have left
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            others = [pool.submit(rendezvous._name, store, rank, 3) for rank in (1, 2)]
            time.sleep(0.2)  # the first process comes last
            first = pool.submit(rendezvous._name, store, 0, 3)
            starts.append({start.result(timeout=60) for start in (first, *others)})
    assert [len(start) for start in starts] == [1, 1, 1]
    assert len(set.union(*starts)) == 3


def test_what_is_started_again_goes_on_with_its_own_run_only(tmp_path: pathlib.Path) -> None:
    def begun(job: str, restarted: bool = True) -> int:
        learner = Prototypes(MLP(FEATURES, hidden=(8,)))
        trainer = Trainer(
            learner, Rows(), None, TrainingSettings(steps=2), RunFolder(tmp_path), Group(restarted=restarted, job=job)
        )
        trainer.begin()
        trainer.train(silent)
        return trainer.run.step

    assert begun("one", restarted=False) == 2
    assert begun("one") == 2
    with pytest.raises(ConflictError, match="holds a run already"):
        begun("two")
    with pytest.raises(ConflictError, match="holds a run already"):
        begun("one", restarted=False)


def test_sigterm_is_noted_and_all_signals_where_processes_must_stop_together() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with deferred_interrupt() as interrupted:
        assert not interrupted()
        signal.raise_signal(signal.SIGTERM)
        assert interrupted()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    signal.raise_signal(signal.SIGINT)  # it waits
    with deferred_interrupt(shared=True) as interrupted:
        assert interrupted()
        signal.raise_signal(signal.SIGINT)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
