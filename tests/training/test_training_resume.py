"""Checkpoints: stopped anywhere and resumed, a run ends bit for bit as an unbroken one; Ctrl-C saves between steps; disks fill up."""

from __future__ import annotations

import errno
import os
import pathlib
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
from builders import DESCENT, ORDERED, PROTOTYPES

from quickstudy import storage
from quickstudy.errors import FileFormatError, StorageError
from quickstudy.training.fit import fit
from quickstudy.training.folder import RunFolder
from quickstudy.training.processes.interrupt import deferred_interrupt
from quickstudy.training.tracking import read_metrics

Make = Callable[..., Any]
STEPS = 9
LEARNERS = {
    PROTOTYPES: {"name": PROTOTYPES, "norm": "batch"},
    DESCENT: {"name": DESCENT, "inner_steps": 2},
    ORDERED: {"name": ORDERED, "inner_steps": 2, "adapt_steps": 2},
}


class Crash(BaseException):
    """Like SIGKILL: nothing gets a chance to save."""


class CrashAt:
    """Stops a run after a step, without a word."""

    def __init__(self, step: int) -> None:
        self.left = step

    def update(self, done: float, row: object) -> None:
        self.left -= 1
        if self.left == 0:
            raise Crash

    def note(self, text: str) -> None: ...


def state(out: pathlib.Path) -> tuple[Any, ...]:
    """Everything that a run leaves, apart from the clock and the memory of its process."""
    checkpoint, learner = (
        storage.load(out / "checkpoint.safetensors", "checkpoint"),
        storage.load(out / "learner.safetensors", "learner"),
    )
    checkpoint.meta["run"].pop("seconds")
    learner.meta["info"] = {key: value for key, value in learner.meta["info"].items() if key not in ("minutes", "megabytes")}
    columns = ("step", "loss", "lr", "validation_accuracy", "validation_ci95")
    table = [[row[column] for column in columns] for row in read_metrics(out / "metrics.csv")]
    assert len(table) == STEPS
    return storage.fingerprint(checkpoint.arrays), checkpoint.meta, storage.fingerprint(learner.arrays), learner.meta, table


@pytest.fixture(params=LEARNERS)
def start(request: pytest.FixtureRequest, rows: Make, make_learner: Make, settings: Make) -> Callable[..., Any]:
    """Start (or resume) one run, with tasks that may be changed."""

    def begin(out: pathlib.Path, tasks: dict[str, Any] | None = None, resume: bool = False, **options: Any) -> Any:
        limits = settings(steps=STEPS, validation={"snapshots": True}, schedule=None, lr=None)
        learner = make_learner(**LEARNERS[request.param])
        return fit(learner, rows(**(tasks or {})), rows(seed=1), limits, RunFolder(out, resume=resume), **options)

    return begin


def test_crashed_after_any_step_and_resumed(start: Make, tmp_path: pathlib.Path) -> None:
    start(tmp_path / "unbroken")
    expected = state(tmp_path / "unbroken")
    for step in range(5, STEPS + 1):
        out = tmp_path / f"crash{step}"
        with pytest.raises(Crash):
            start(out, progress=CrashAt(step))
        assert storage.load(out / "checkpoint.safetensors", "checkpoint").meta["run"]["step"] == (4 if step < 9 else 8)
        start(out, resume=True)
        assert state(out) == expected


def test_crashed_many_times(start: Make, tmp_path: pathlib.Path) -> None:
    start(tmp_path / "unbroken")
    out = tmp_path / "crashed"
    for _ in range(3):
        with pytest.raises(Crash):
            start(out, progress=CrashAt(3), resume=(out / "checkpoint.safetensors").exists())
    with pytest.raises(Crash):
        start(out, progress=CrashAt(5), resume=True)  # the first one to reach a second checkpoint
    with pytest.raises(Crash):
        start(out, progress=CrashAt(5), resume=True)
    start(out, resume=True)
    assert state(out) == state(tmp_path / "unbroken")


@pytest.mark.parametrize("step", [0, 3, 5, 8])
def test_interrupted_inside_any_step_and_resumed(start: Make, tmp_path: pathlib.Path, step: int) -> None:
    start(tmp_path / "unbroken")
    out = tmp_path / "interrupted"
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt) as caught:
        start(out, {"interrupt": (2 * step + 1,)})  # while the tasks of this step are drawn
    assert signal.getsignal(signal.SIGINT) is handler
    assert storage.load(out / "checkpoint.safetensors", "checkpoint").meta["run"]["step"] == step + 1
    [note] = caught.value.__notes__
    assert note.startswith(f"interrupted after step {step + 1}; saved in ")
    assert note.endswith(
        f"fit(..., out=RunFolder({str(out)!r}, resume=True))"
    )  # the command line names its own command, where there is a config.yaml
    start(out, resume=True)
    assert state(out) == state(tmp_path / "unbroken")


def test_a_second_ctrl_c_stops_at_once(rows: Make, make_learner: Make, settings: Make, tmp_path: pathlib.Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(make_learner(), rows(interrupt=(5, 5)), None, settings(checkpoint_minutes=1e-9), tmp_path)
    assert storage.load(tmp_path / "checkpoint.safetensors", "checkpoint").meta["run"]["step"] == 2  # the step before


def test_ctrl_c_without_a_folder(rows: Make, make_learner: Make, settings: Make) -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        fit(make_learner(), rows(interrupt=(5,)), None, settings())
    assert caught.value.__notes__ == ["interrupted after step 3"]


def test_fit_works_in_a_thread_where_signals_are_not_its_business(rows: Make, make_learner: Make, settings: Make) -> None:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(fit(make_learner(), rows(), None, settings())))
    thread.start()
    thread.join()
    assert results[0].info["steps"] == 6


def test_an_ignored_interrupt_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with deferred_interrupt() as interrupted:
            signal.raise_signal(signal.SIGINT)
            assert not interrupted()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_keeps_the_old_checkpoint(
    rows: Make, make_learner: Make, settings: Make, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    real, calls = getattr(os, call), []

    def full(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments)

    limits = settings(checkpoint_minutes=1e-9)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(StorageError, match=r"could not write .*checkpoint.safetensors: No space left.*unchanged") as caught:
            fit(make_learner(), rows(), None, limits, tmp_path)
    assert caught.value.exit_code == 1
    assert storage.load(tmp_path / "checkpoint.safetensors", "checkpoint").meta["run"]["step"] == 3
    assert {file.name for file in tmp_path.iterdir()} == {"checkpoint.safetensors", "metrics.csv", "tensorboard"}
    assert fit(make_learner(), rows(), None, limits, RunFolder(tmp_path, resume=True)).info["steps"] == 6


def test_a_full_disk_for_metrics(
    rows: Make, make_learner: Make, settings: Make, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: object, step: int, row: object) -> None:
        if step == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("quickstudy.training.tracking.Events.add", full)
    with pytest.raises(StorageError, match=r"metrics in .*: No space left.*last checkpoint is unchanged"):
        fit(make_learner(), rows(), None, settings(checkpoint_minutes=1e-9), tmp_path)
    assert storage.load(tmp_path / "checkpoint.safetensors", "checkpoint").meta["run"]["step"] == 2


@pytest.mark.parametrize("damage", ["cut", "flip", "learner", "optimizer", "missing moment"])
def test_a_damaged_or_foreign_checkpoint_is_refused(
    rows: Make, make_learner: Make, settings: Make, tmp_path: pathlib.Path, damage: str
) -> None:
    fit(make_learner(), rows(), rows(seed=1), settings(), tmp_path)
    file = tmp_path / "checkpoint.safetensors"
    good, learner = file.read_bytes(), make_learner()
    _, arrays, meta = storage.load(file, "checkpoint")
    if damage == "cut":
        file.write_bytes(good[: len(good) // 2])
    elif damage == "flip":
        file.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    elif damage == "learner":
        learner = make_learner(norm="layer")
    elif damage == "optimizer":
        storage.save(file, "checkpoint", arrays, meta | {"param_groups": []})
    else:
        storage.save(file, "checkpoint", {key: arrays[key] for key in arrays if not key.startswith("learner")}, meta)
    others = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(FileFormatError, match=r"checkpoint\.safetensors"):
        fit(learner, rows(), rows(seed=1), settings(), RunFolder(tmp_path, resume=True))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == others
