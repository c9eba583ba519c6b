"""Prefetch: the same tasks, one step ahead, in a thread that ends whatever happens; training is bit for bit the same."""

from __future__ import annotations

import pathlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from builders import DESCENT

from quickstudy import storage
from quickstudy.errors import TaskError
from quickstudy.training import loop
from quickstudy.training.fit import fit
from quickstudy.training.folder import RunFolder
from quickstudy.training.prefetch import Prefetch
from quickstudy.training.tracking import read_metrics

Make = Callable[..., Any]
CPU = torch.device("cpu")
PATIENCE = 60.0
"""Seconds after which a thread that should have done something is given up."""


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """`fit` draws ahead on a CPU, too."""
    monkeypatch.setattr(loop, "Prefetch", lambda draw, steps, device, background: Prefetch(draw, steps, device, True))


def test_the_next_step_is_drawn_in_another_thread_and_nothing_beyond_the_last(rows: Make) -> None:
    drawn: dict[int, threading.Thread] = {}
    there = {step: threading.Event() for step in range(3)}

    def draw(step: int) -> Any:
        drawn[step] = threading.current_thread()
        there[step].set()
        return rows().batch(range(step, step + 2))

    with Prefetch(draw, 3, CPU) as ahead:
        for step in range(3):
            found = ahead.batch(step)
            assert torch.equal(found.query.x, rows().batch(range(step, step + 2)).query.x)
            assert there[min(step + 1, 2)].wait(PATIENCE)  # though nobody asked for it
            assert set(drawn) == set(range(min(step + 2, 3)))
    assert len({*drawn.values()}) == 1
    assert threading.main_thread() not in drawn.values()


def test_steps_out_of_order_and_repeated_are_right_all_the_same() -> None:
    with Prefetch(torch.tensor, 100, CPU) as ahead:
        assert [int(ahead.batch(step)) for step in (7, 8, 8, 3, 99, 0)] == [7, 8, 8, 3, 99, 0]


def test_without_a_background_it_is_this_thread_that_draws() -> None:
    def draw(step: int) -> Any:
        assert threading.current_thread() is threading.main_thread()
        drawn.append(step)
        return torch.tensor(step)

    drawn: list[int] = []
    with Prefetch(draw, 9, CPU, background=False) as ahead:
        assert [int(ahead.batch(step)) for step in range(3)] == [0, 1, 2]
    assert drawn == [0, 1, 2]


@pytest.mark.parametrize("kind", [TaskError, KeyboardInterrupt, StopIteration])
def test_an_error_surfaces_in_the_step_that_it_concerns(kind: type[BaseException]) -> None:
    error = kind("no such image")

    def draw(step: int) -> Any:
        if step == 2:
            raise error
        return torch.tensor(step)

    with Prefetch(draw, 9, CPU) as ahead:
        assert int(ahead.batch(0)) == 0
        assert int(ahead.batch(1)) == 1
        with pytest.raises(kind) as caught:
            ahead.batch(2)
    assert caught.value is error


def test_an_error_in_a_step_that_nobody_asks_for_is_nobodys() -> None:
    raised = threading.Event()

    def draw(step: int) -> Any:
        if step == 1:
            raised.set()
            raise TaskError("of no concern")
        return torch.tensor(step)

    with Prefetch(draw, 9, CPU) as ahead:
        ahead.batch(0)
        assert raised.wait(PATIENCE)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError])
def test_it_ends_when_the_training_breaks_off(kind: type[BaseException]) -> None:
    def train() -> None:
        with Prefetch(torch.tensor, 9, CPU) as ahead:
            ahead.batch(0)
            raise kind

    with pytest.raises(kind):
        train()


class Crash(BaseException):
    """Nothing gets a chance to save."""


class CrashAt:
    def __init__(self, step: int) -> None:
        self.left = step

    def update(self, done: float, row: object) -> None:
        self.left -= 1
        if self.left == 0:
            raise Crash

    def note(self, text: str) -> None: ...


def left(out: pathlib.Path) -> tuple[Any, ...]:
    checkpoint = storage.load(out / "checkpoint.safetensors", "checkpoint")
    table = [(row["step"], row["loss"], row["validation_accuracy"]) for row in read_metrics(out / "metrics.csv")]
    return storage.fingerprint(checkpoint.arrays), table


@pytest.mark.usefixtures("always")
def test_training_is_the_same_bit_for_bit_also_after_a_crash(
    rows: Make, make_learner: Make, settings: Make, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = settings(steps=9, validation={"every": 4})

    def start(name: str, resume: bool = False, **options: Any) -> tuple[Any, ...]:
        out = RunFolder(tmp_path / name, resume=resume)
        fit(make_learner(DESCENT, norm="batch"), rows(), rows(seed=1), limits, out, **options)
        return left(tmp_path / name)

    ahead = start("ahead")
    with pytest.raises(Crash):
        start("crashed", progress=CrashAt(6))
    assert start("crashed", resume=True) == ahead
    monkeypatch.undo()
    assert start("plain") == ahead


@pytest.mark.usefixtures("always")
def test_an_error_of_a_task_source_is_fits(rows: Make, make_learner: Make, settings: Make) -> None:
    class Broken(rows):  # type: ignore[misc, valid-type]
        def batch(self, indices: range) -> Any:
            if 4 in indices:
                raise TaskError("task 4 has no images")
            return super().batch(indices)

    with pytest.raises(TaskError, match="task 4 has no images"):
        fit(make_learner(), Broken(), None, settings())
