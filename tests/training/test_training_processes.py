"""Several processes from the command line and under torchrun: interrupted, killed, resumed, and never left behind."""

from __future__ import annotations

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
from typing import Any

import numpy as np
import pytest
from builders import DESCENT

from quickstudy import storage
from quickstudy.cli import main
from quickstudy.errors import ProcessError
from quickstudy.training.processes.group import Group
from quickstudy.training.tracking import read_metrics

from .conftest import table

pytestmark = [pytest.mark.usefixtures("nothing_left_behind"), pytest.mark.xdist_group("processes of the command line")]


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
        "steps": 100,
        "validation.every": 5,
    }
    options |= {"validation.tasks": 3, "engine.mapping": "loop", "engine.capture": "false", "learner": DESCENT}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUICKSTUDY_CACHE", str(folder / "cache"))
        patch.setenv("OMP_NUM_THREADS", "1")  # for child processes
        patch.setenv("PYTHONFAULTHANDLER", "1")
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


def errors_of(process: subprocess.Popen[str]) -> str:
    """Wait for a process to end, and return what it said on its standard error; fail with where it stands if it does not end."""
    try:
        return process.communicate(timeout=60)[1]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGABRT)  # every process then says where each of its threads is
        pytest.fail(f"not ended after 60 seconds:\n{process.communicate()[1]}")


BEYOND = 8
"""Rows after which a training counts as under way: beyond its first validation, which leaves a checkpoint."""


def under_way(out: pathlib.Path) -> bool:
    """Whether a training has a checkpoint and rows beyond it."""
    ready = (out / "checkpoint.safetensors").exists() and (out / "metrics.csv").exists()
    return ready and len(read_metrics(out / "metrics.csv")) >= BEYOND


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"waited for more than {seconds} seconds"
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
    """A training by two processes that was interrupted, resumed, and lost one of them.

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
    out, processes = tmp_path_factory.mktemp("story") / "run", 2
    with running("-m", "quickstudy", *words(out), f"--processes={processes}") as training:
        wait_until(lambda: under_way(out) or training.poll() is not None)
        os.killpg(training.pid, signal.SIGINT)  # as a terminal does: to every process
        interrupted = errors_of(training)
    step, killed, others = len(table(out, "step")), [], set(multiprocessing.active_children())

    def kill() -> None:
        wait_until(lambda: len(table(out, "step")) >= step + BEYOND)
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
    assert ended(story.out) == ended(unbroken(2))


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


@pytest.mark.slow
def test_processes_do_not_outlive_their_launcher(words: Callable[[pathlib.Path], list[str]], tmp_path: pathlib.Path) -> None:
    out = tmp_path / "run"
    with running("-m", "quickstudy", *words(out), "--processes=2", "--steps=1000000") as process:
        wait_until(lambda: under_way(out) or process.poll() is not None)
        assert under_way(out)
        process.kill()
        process.communicate(timeout=60)  # its pipes are closed once the last process has ended
    saved = storage.load(out / "checkpoint.safetensors", "checkpoint").meta["run"]["step"]
    assert saved == len(table(out, "step")) < 1000000


def test_a_process_whose_launcher_has_died_does_not_look_for_its_store(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dead:
        """A parent process that was killed."""

        def is_alive(self) -> bool:
            return False

    monkeypatch.setattr(multiprocessing, "parent_process", Dead)
    for name, value in {
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "RANK": "1",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_PORT", "9")
    with pytest.raises(ProcessError, match="process 1 of 2 has lost the others: the launcher has died"):
        Group.join()


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
