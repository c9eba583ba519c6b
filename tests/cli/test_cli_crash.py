"""Runs that are killed, interrupted, or meet a full disk: what was saved stays, and a resumed run ends bit for bit as an unbroken one."""

from __future__ import annotations

import pathlib
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from quickstudy import storage
from quickstudy.cli import main
from quickstudy.training.tracking import read_metrics

Call = Callable[..., Any]
STEPS = 150
START = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "  # a shell may have made children ignore it
QUICKSTUDY = START + "import sys; from quickstudy.cli import main; sys.exit(main())"


def rows(out: pathlib.Path) -> int:
    return len(read_metrics(out / "metrics.csv")) if (out / "metrics.csv").exists() else 0


def stopped_by(number: signal.Signals, words: list[str], out: pathlib.Path) -> tuple[int, str]:
    """Exit code and stderr of a training that gets a signal once it has a checkpoint and rows beyond it."""
    with subprocess.Popen(
        [sys.executable, "-c", QUICKSTUDY, *words], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as process:
        until = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < until:
            if rows(out) >= 17 and (out / "checkpoint.safetensors").exists():
                process.send_signal(number)
                break
            time.sleep(0.002)
        _, err = process.communicate(timeout=60)
    return process.returncode, err.decode()


def assert_same_end(out: pathlib.Path, unbroken: pathlib.Path) -> None:
    """Learner, optimizer, losses, rates and accuracies are equal to the last bit; only the clock differs."""
    for name, kind in (("learner.safetensors", "learner"), ("checkpoint.safetensors", "checkpoint")):
        found, expected = (storage.load(folder / name, kind) for folder in (out, unbroken))
        assert found.arrays.keys() == expected.arrays.keys()
        for key, value in expected.arrays.items():
            assert found.arrays[key].tobytes() == value.tobytes(), key
        for meta in (found.meta, expected.meta):
            for part in ("info", "run"):
                for measured in ("minutes", "seconds", "megabytes", "engine"):
                    meta.get(part, {}).pop(measured, None)
        assert found.meta == expected.meta
    columns = ("step", "loss", "lr", "validation_accuracy", "validation_ci95")
    tables = [[[row[column] for column in columns] for row in read_metrics(o / "metrics.csv")] for o in (out, unbroken)]
    assert tables[0] == tables[1]
    assert len(tables[0]) == STEPS


def test_killed_and_resumed_ends_bit_for_bit_as_unbroken(train: Call, finished: pathlib.Path, tmp_path: pathlib.Path) -> None:
    out = tmp_path / "run"
    code, _ = stopped_by(signal.SIGKILL, train(out, steps=STEPS), out)
    assert code == -signal.SIGKILL
    assert rows(out) < STEPS
    assert main(["train", "--resume", str(out)]) == 0
    assert_same_end(out, finished)


def test_interrupted_saves_says_how_to_resume_and_ends_as_unbroken(
    train: Call, pasted: Call, finished: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    out = tmp_path / "my run"
    code, err = stopped_by(signal.SIGINT, train(out, steps=STEPS), out)
    assert code == 130
    assert "Traceback" not in err
    done = storage.load(out / "checkpoint.safetensors", "checkpoint").meta["run"]["step"]
    assert done == rows(out) < STEPS
    assert f"after step {done}" in err
    assert pasted(err) == [f"quickstudy train --resume '{out}'"]
    assert_same_end(out, finished)


@pytest.fixture
def limited_files() -> Iterator[Callable[[int], None]]:
    """No file of this process can grow beyond a number of bytes: like a full disk, writing fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_while_saving_a_skill_keeps_the_old_one(
    cli: Call, finished: pathlib.Path, support: Call, tmp_path: pathlib.Path, limited_files: Callable[[int], None]
) -> None:
    examples = support("a", "b")
    task = tmp_path / "tasks" / "my.qs"
    assert cli("adapt", finished, examples, "-o", task).code == 0
    before = task.read_bytes()
    limited_files(1000)
    outcome = cli("adapt", finished, examples, "-o", task)
    limited_files(resource.RLIM_INFINITY)
    assert outcome.code == 1
    assert "StorageError" in outcome.err
    assert str(task) in outcome.err
    assert "unchanged" in outcome.err
    assert task.read_bytes() == before
    assert [file.name for file in task.parent.iterdir()] == ["my.qs"]


def test_a_full_disk_while_training_keeps_the_checkpoint_and_resumes(
    cli: Call, train: Call, tmp_path: pathlib.Path, limited_files: Callable[[int], None]
) -> None:
    out, unbroken = tmp_path / "run", tmp_path / "unbroken"
    options = {"net": "mlp", "net__hidden": "[1]", "steps": 120, "validation__every": 10, "validation__split": "all"}
    options["checkpoint_minutes"] = 1e-6
    small = [word for word in train(out, **options) if not word.startswith("--net.channels")]
    limited_files(8_000)
    outcome = cli(*small)
    limited_files(resource.RLIM_INFINITY)
    assert outcome.code == 1
    assert "StorageError" in outcome.err
    assert "resume" in outcome.err
    saved = storage.load(out / "checkpoint.safetensors", "checkpoint").meta["run"]["step"]
    assert 0 < saved < 120
    assert cli("train", "--resume", out).code == 0
    assert cli(*[word.replace(str(out), str(unbroken)) for word in small]).code == 0
    ends = [storage.load(folder / "checkpoint.safetensors", "checkpoint") for folder in (out, unbroken)]
    assert storage.fingerprint(ends[0].arrays) == storage.fingerprint(ends[1].arrays)
    assert [row["loss"] for row in read_metrics(out / "metrics.csv")] == [
        row["loss"] for row in read_metrics(unbroken / "metrics.csv")
    ]
