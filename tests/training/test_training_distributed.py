"""Several processes: the same training as in one, whoever stops, fails or is killed."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import io
import multiprocessing
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from builders import DESCENT, HEAD_DESCENT, ORDERED, PROTOTYPES, Prototypes

from quickstudy import discovery, storage
from quickstudy.cli import main
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
from quickstudy.training.tracking import read_metrics

from .conftest import FEATURES, Rows

STEPS = 6


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """No process outlives its test, however that ends; those of other tests' pools are theirs."""
    before = set(multiprocessing.active_children())
    yield
    left = [process for process in multiprocessing.active_children() if process not in before]
    for process in left:
        process.kill()
        process.join()
    assert not left


class Idle(Prototypes):
    """Has a weight that no loss depends on."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__(net)
        self.idle = torch.nn.Parameter(torch.ones(3))


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
        kind = Idle if self.learner == "idle" else discovery.load("learners", self.learner)
        learner = kind(MLP(FEATURES, hidden=(8,), norm=self.norm)).double()
        usual = {
            "steps": STEPS,
            "tasks_per_step": 6,
            "engine": EngineSettings("loop"),
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
    "vmap in chunks": Case(HEAD_DESCENT, settings={"engine": EngineSettings("vmap", chunk=2), "tasks_per_step": 7}),
    "clipped, without validation": Case(ORDERED, norm="layer", validate=False, settings={"clip": 0.01}),
    "a weight without gradient": Case("idle", settings={"optimizer": "adamw", "weight_decay": 0.1}),
}
UNLIKE = {
    "not a number": Case(DESCENT, tasks={"poison": 2 * 6 + 5}),
    "interrupted": Case(tasks={"interrupt": (2 * 6 + 5,)}),
    "by the clock": Case(settings={"steps": 10**9, "minutes": 0.01, "validation": {"every": 10**9}}),
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


def table(out: pathlib.Path, *columns: str) -> list[list[str]]:
    return [[row[column] for column in columns] for row in read_metrics(out / "metrics.csv")]


def assert_like_one_process(name: str, ends: list[Any], out: pathlib.Path, alone: pathlib.Path) -> None:
    expected = weights(EQUAL[name].train(alone / name))
    for end in ends:
        np.testing.assert_allclose(end[name], expected, rtol=1e-9, atol=1e-8)  # Adam magnifies what rounds to no gradient
        np.testing.assert_array_equal(end[name], ends[0][name])  # to the last bit
    numbers, reference = (np.array(table(folder / name, "step", "loss", "lr"), dtype=float) for folder in (out, alone))
    np.testing.assert_allclose(numbers, reference, rtol=1e-5)
    validated = [table(folder / name, "validation_accuracy", "validation_ci95") for folder in (out, alone)]
    assert validated[0] == validated[1]
    infos = [load_learner(folder / name, learner=Idle if name.startswith("a weight") else None).info for folder in (out, alone)]
    for info in infos:
        del info["minutes"], info["engine"]  # with the speeds that were measured
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
        raise ZeroDivisionError("on purpose")
    group.any(False)


@pytest.mark.slow
def test_an_error_of_one_process_is_raised_once(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match=r"^no such thing$"):
        launch(fail, 2, tmp_path, "refuse")
    assert (tmp_path / "process0").read_text() == "began\n"  # nothing was started again


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


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[pathlib.Path], list[str]]]:
    """Return the words of a training of a few seconds on a small data set."""
    random, folder = np.random.default_rng(0), tmp_path_factory.mktemp("distributed")
    patterns = random.random((12, 1, 8, 8)) < 0.4
    images = (patterns ^ (random.random((12, 8, 8, 8)) < 0.1)).astype(np.uint8) * 255
    np.savez(folder / "set.npz", images=images.reshape(-1, 8, 8), labels=np.repeat(np.arange(12), 8))
    options = {
        "ways": 2,
        "queries": 3,
        "net": "mlp",
        "net.hidden": "[8]",
        "tasks_per_step": 3,
        "steps": 200,
        "validation.every": 7,
    }
    options |= {"validation.tasks": 3, "engine.mapping": "loop", "engine.capture": "false", "learner": DESCENT}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUICKSTUDY_CACHE", str(folder / "cache"))
        patch.setenv("OMP_NUM_THREADS", "1")  # for child processes
        yield lambda out: [
            *(
                "train",
                f"--data={folder / 'set.npz'}",
                f"--out={out}",
                *(f"--{name}={value}" for name, value in options.items()),
            )
        ]


@contextlib.contextmanager
def running(*command: object) -> Iterator[subprocess.Popen[str]]:
    """Return a command in a process group of its own, as a terminal starts it; none of its processes is left afterwards."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, *map(str, command)], start_new_session=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def under_way(out: pathlib.Path) -> bool:
    """Whether a training has a checkpoint and rows beyond it."""
    ready = (out / "checkpoint.safetensors").exists() and (out / "metrics.csv").exists()
    return ready and len(read_metrics(out / "metrics.csv")) >= 17


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.005)


def ended(out: pathlib.Path) -> tuple[Any, ...]:
    """All that a training leaves, but for the clock."""
    files = [storage.load(out / f"{kind}.safetensors", kind) for kind in ("learner", "checkpoint")]
    columns = ("step", "loss", "lr", "validation_accuracy", "validation_ci95")
    return *(storage.fingerprint(file.arrays) for file in files), table(out, *columns)


@pytest.fixture(scope="module")
def unbroken(
    words: Callable[[pathlib.Path], list[str]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[int], pathlib.Path]:
    """Return a training by so many processes under torchrun."""

    @functools.cache
    def train(processes: int) -> pathlib.Path:
        out = tmp_path_factory.mktemp("unbroken") / "run"
        torchrun = ("-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", "-m", "quickstudy")
        with running(*torchrun, *words(out), "--json") as process:
            printed, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        assert printed.count('"steps"') == 1  # only the first process speaks
        assert errors.count("100 %") == 1
        return out

    return train


@dataclasses.dataclass(frozen=True)
class Story:
    """A training by three processes that was interrupted, resumed, and lost one of them.

    Args:
        out: folder of the run.
        code: exit code after Ctrl-C.
        interrupted: what was said until then.
        step: where it was interrupted.
        killed: exit code of the process that was killed.
        resumed: exit code of the training that went on.
        said: what that said.
    """

    out: pathlib.Path
    code: int
    interrupted: str
    step: int
    killed: int | None
    resumed: int
    said: str


@pytest.fixture(scope="module")
def story(words: Callable[[pathlib.Path], list[str]], tmp_path_factory: pytest.TempPathFactory) -> Story:
    out, processes = tmp_path_factory.mktemp("story") / "run", 3
    with running("-m", "quickstudy", *words(out), f"--processes={processes}") as training:
        wait_until(lambda: under_way(out) or training.poll() is not None)
        os.killpg(training.pid, signal.SIGINT)  # as a terminal does: to every process
        _, interrupted = training.communicate(timeout=60)
    step, killed, others = len(table(out, "step")), [], set(multiprocessing.active_children())

    def kill() -> None:
        wait_until(lambda: len(table(out, "step")) >= step + 17)
        killed.extend([process for process in multiprocessing.active_children() if process not in others][:1])
        killed[0].kill()

    thread, said = threading.Thread(target=kill), io.StringIO()
    thread.start()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        resumed = main(["train", "--resume", str(out), f"--processes={processes}"])
    thread.join()
    return Story(out, training.returncode, interrupted, step, killed[0].exitcode, resumed, said.getvalue())


@pytest.mark.slow
def test_ctrl_c_stops_all_processes_saved(story: Story) -> None:
    assert story.code == 130, story.interrupted
    assert story.interrupted.splitlines()[-1] == (
        f"interrupted after step {story.step}; saved in {story.out}. Go on with: quickstudy train --resume {story.out}"
    )
    assert "Traceback" not in story.interrupted


@pytest.mark.slow
def test_a_killed_process_is_started_again(story: Story) -> None:
    assert story.killed == -signal.SIGKILL
    assert story.resumed == 0, story.said
    assert story.said.count("terminated with signal SIGKILL; all start again (1 of 3) and go on from the last checkpoint") == 1
    assert "Traceback" not in story.said


@pytest.mark.slow
def test_interrupted_and_killed_ends_bit_for_bit_as_unbroken(story: Story, unbroken: Callable[[int], pathlib.Path]) -> None:
    assert ended(story.out) == ended(unbroken(3))


@pytest.mark.slow
def test_nothing_holds_the_folder_of_a_run_that_has_ended(story: Story) -> None:
    assert {file.name for file in story.out.iterdir()} == {
        *("learner.safetensors", "checkpoint.safetensors", "metrics.csv", "tensorboard", "config.yaml")
    }


@pytest.mark.slow
@pytest.mark.product
def test_two_machines_of_which_one_loses_its_process(
    words: Callable[[pathlib.Path], list[str]], unbroken: Callable[[int], pathlib.Path], tmp_path: pathlib.Path
) -> None:
    out = tmp_path / "run"
    with socket.create_server(("127.0.0.1", 0)) as free:
        meeting = f"--rdzv_endpoint=127.0.0.1:{free.getsockname()[1]}"
    machine = (
        "-m",
        "torch.distributed.run",
        "--nnodes=2",
        "--nproc_per_node=1",
        "--rdzv_backend=c10d",
        "--rdzv_id=both",
        meeting,
    )
    command = (*machine, "--max_restarts=2", "-m", "quickstudy", *words(out), "--json")
    with running(*command) as first, running(*command) as second:
        wait_until(lambda: under_way(out) or first.poll() is not None)
        (worker,) = pathlib.Path(f"/proc/{second.pid}/task/{second.pid}/children").read_text().split()
        os.kill(int(worker), signal.SIGKILL)
        told = [machine.communicate(timeout=120) for machine in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], told
    assert sum(printed.count('"steps"') for printed, _ in told) == 1  # only the first process of all speaks
    assert sum(errors.count("started again, going on after step ") for _, errors in told) == 1
    assert ended(out) == ended(unbroken(2))


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


@pytest.mark.slow
def test_processes_do_not_outlive_their_launcher(words: Callable[[pathlib.Path], list[str]], tmp_path: pathlib.Path) -> None:
    out = tmp_path / "run"
    with running("-m", "quickstudy", *words(out), "--processes=2", "--steps=1000000") as process:
        wait_until(lambda: under_way(out) or process.poll() is not None)
        process.kill()
        process.communicate(timeout=60)  # its pipes are closed once the last process has ended
    saved = storage.load(out / "checkpoint.safetensors", "checkpoint").meta["run"]["step"]
    assert saved == len(table(out, "step")) < 1000000


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


def test_what_is_wrong_is_said_once_before_any_process_starts(
    words: Callable[[pathlib.Path], list[str]], tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for wrong, message in (
        ("--ways=20", "a task needs 20 ways"),
        ("--stps=3", "unknown option --stps"),
        ("--lr=-1", "lr is -1"),
    ):
        assert main([*words(tmp_path / "run"), "--processes=2", wrong]) == 2
        assert capfd.readouterr().err.count(message) == 1
    assert not (tmp_path / "run").exists()
