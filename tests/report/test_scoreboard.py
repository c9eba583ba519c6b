"""The scoreboard compares task by task, and writes the same files for the same entries."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from quickstudy.report.scoreboard import Entry, behind, rows, write
from quickstudy.training.evaluate import Result


def result(scores: list[float], tasks_hash: str = "a") -> Result:
    return Result(np.array(scores), "inductive", {"dataset": "d", "ways": 5, "shots": 1}, tasks_hash)


def test_learners_are_compared_task_by_task() -> None:
    lost = behind({"best": result([1.0, 0.8, 0.9]), "other": result([0.9, 0.7, 0.8]), "elsewhere": result([0.1, 0.2], "b")})
    assert lost["best"] == (0.0, 0.0)
    assert lost["other"] == pytest.approx((10.0, 0.0), abs=1e-9)  # always ten points behind, so that the interval is empty
    assert lost["elsewhere"] is None


def entries() -> list[Entry]:
    figures = {"adapt_seconds": 0.002, "onnx_bytes": 2048}
    slow = Entry("slow", "one", [result([0.9, 0.8]).to_dict()], figures, 10, 600.0, 300.0)
    return [slow, Entry("unknown", "two", [result([1.0, 0.9]).to_dict()])]


def test_the_best_comes_first_and_what_is_not_known_is_a_dash() -> None:
    assert rows(entries()) == [
        ["unknown", "two", "95.00 ± 9.80", "inductive", "-", "-", "-", "-"],
        ["slow", "one", "85.00 ± 9.80", "inductive", "10", "2", "2", "300"],
    ]


def test_a_page_is_written_with_its_plots_and_the_same_twice(tmp_path: pathlib.Path) -> None:
    files = write(tmp_path / "board.md", entries(), "Board", "About.")
    assert [file.name for file in files] == ["board.md", "training.svg", "size.svg", "adapting.svg", "memory.svg"]
    before = [file.read_bytes() for file in files]
    page = before[0].decode()
    assert "| slow | one | 85.00 ± 9.80 |" in page
    assert all(f"](board/{file.name})" in page for file in files[1:])
    write(tmp_path / "board.md", entries(), "Board", "About.")
    assert [file.read_bytes() for file in files] == before
