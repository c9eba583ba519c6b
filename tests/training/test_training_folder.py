"""The folder of a run: one training at a time, and nothing of another run is ever overwritten."""

from __future__ import annotations

import multiprocessing
import os
import pathlib
import signal
from collections.abc import Callable
from typing import Any

import pytest
from builders import DESCENT

from quickstudy.errors import BusyError, ConfigError, ConflictError, NotFoundError, ProcessError, TrainingError
from quickstudy.storage import CHECKPOINT, LEARNER
from quickstudy.training.fit import fit
from quickstudy.training.folder import CONFIG, LOCK, METRICS, RunFolder

Make = Callable[..., Any]


def names(folder: pathlib.Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def hold(folder: str, held: Any, job: str = "") -> None:
    """Hold a folder in another process until that is killed."""
    with RunFolder(folder).held(job):
        held.set()
        signal.pause()


def killed_while_holding(folder: pathlib.Path, while_held: Callable[[], None], job: str = "") -> None:
    """Let another process hold the folder, call a function, and kill the process."""
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    process = context.Process(target=hold, args=(str(folder), held, job))
    process.start()
    try:
        assert held.wait(60)
        while_held()
    finally:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()


def test_a_folder_in_which_another_process_trains_is_refused(
    rows: Make, make_learner: Make, settings: Make, tmp_path: pathlib.Path
) -> None:
    def second() -> None:
        with pytest.raises(BusyError, match=r"another training is at work in .* Wait until it has ended") as caught:
            fit(make_learner(), rows(), None, settings(), tmp_path)
        assert caught.value.http_status == 503
        assert names(tmp_path) == {LOCK}

    killed_while_holding(tmp_path, second)
    fit(make_learner(), rows(), None, settings(), tmp_path)  # the lock went with the process that was killed
    assert LOCK not in names(tmp_path)


def test_two_trainings_of_one_process_do_not_share_a_folder(
    rows: Make, make_learner: Make, settings: Make, tmp_path: pathlib.Path
) -> None:
    class Second:
        def update(self, done: float, row: object) -> None:
            if not refusals:
                with pytest.raises((BusyError, ConflictError)) as caught:
                    fit(make_learner(), rows(), None, settings(), tmp_path)
                with pytest.raises(BusyError):
                    fit(make_learner(), rows(), None, settings(), RunFolder(tmp_path, resume=True))
                refusals.append(caught.value)

        def note(self, text: str) -> None: ...

    refusals: list[Exception] = []
    fit(make_learner(), rows(), None, settings(), tmp_path, progress=Second())
    assert len(refusals) == 1


@pytest.mark.parametrize("name", [LEARNER, METRICS, CONFIG, CHECKPOINT])
def test_a_folder_with_a_part_of_a_run_is_never_overwritten(
    rows: Make, make_learner: Make, settings: Make, tmp_path: pathlib.Path, name: str
) -> None:
    (tmp_path / name).write_text("precious")
    with pytest.raises(ConflictError, match=r"holds (files of )?a run.*[Cc]hoose another folder"):
        fit(make_learner(), rows(), None, settings(), tmp_path)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {name: "precious"}


def test_a_finished_run_without_its_checkpoint_is_not_overwritten(
    rows: Make, make_learner: Make, settings: Make, tmp_path: pathlib.Path
) -> None:
    fit(make_learner(), rows(), None, settings(), tmp_path)
    (tmp_path / CHECKPOINT).unlink()
    before = (tmp_path / LEARNER).read_bytes()
    with pytest.raises(ConflictError, match=rf"holds files of a run \({LEARNER}, {METRICS}\)"):
        fit(make_learner(DESCENT), rows(), None, settings(), tmp_path)
    assert (tmp_path / LEARNER).read_bytes() == before


def test_what_is_refused_leaves_no_trace(rows: Make, make_learner: Make, settings: Make, tmp_path: pathlib.Path) -> None:
    with pytest.raises(NotFoundError, match="to resume from"):
        fit(make_learner(), rows(), None, settings(), RunFolder(tmp_path / "none", resume=True))
    assert names(tmp_path) == set()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file; expected a folder"):
        fit(make_learner(), rows(), None, settings(), tmp_path / "file")


def test_options_are_kept_beside_the_run(rows: Make, make_learner: Make, settings: Make, tmp_path: pathlib.Path) -> None:
    fit(make_learner(), rows(), None, settings(), RunFolder(tmp_path, "steps: 6\n"))
    assert (tmp_path / CONFIG).read_text() == "steps: 6\n"


def test_an_attempt_that_follows_a_killed_one_is_known_by_its_job(tmp_path: pathlib.Path) -> None:
    killed_while_holding(tmp_path, lambda: None, job="launch 7")
    with RunFolder(tmp_path).held("launch 7") as again:
        assert again
    with RunFolder(tmp_path).held("launch 7") as again:
        assert not again  # the one before ended well
    with pytest.raises(ProcessError), RunFolder(tmp_path).held("launch 8"):
        raise ProcessError
    with RunFolder(tmp_path).held("launch 9") as again:
        assert not again


def test_a_run_that_makes_no_step_leaves_its_folder_to_the_next_one(
    rows: Make, make_learner: Make, settings: Make, tmp_path: pathlib.Path
) -> None:
    for _ in range(2):
        with pytest.raises(TrainingError, match="at step 0 the loss is nan"):
            fit(make_learner(), rows(poison=0), None, settings(), tmp_path)
        assert names(tmp_path) == set()
    fit(make_learner(), rows(), None, settings(), tmp_path)
    with pytest.raises(ConflictError):
        fit(make_learner(), rows(poison=0), None, settings(), tmp_path)
    assert {CHECKPOINT, LEARNER, METRICS} <= names(tmp_path)  # a refused run removes nothing of another one
