"""Firmware built for this machine and called through ctypes."""

from __future__ import annotations

import ctypes
import dataclasses
import pathlib
import subprocess
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from quickstudy.export.c.firmware import FirmwareSettings, write_firmware
from quickstudy.training.saving import SavedLearner

FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-O1"]


@dataclasses.dataclass
class Host:
    """Firmware as a library of this machine."""

    folder: pathlib.Path
    state_bytes: int
    ways: int
    score: type[np.generic]

    def __post_init__(self) -> None:
        call(["gcc", *FLAGS, "-shared", "-fPIC", "-o", str(self.folder / "learner.so"), str(self.folder / "learner.c"), "-lm"])
        self.library = ctypes.CDLL(str(self.folder / "learner.so"))
        self.state = np.zeros(self.state_bytes, np.uint8)

    def adapt(self, support: np.ndarray, targets: np.ndarray) -> int:
        support = np.ascontiguousarray(support)
        kind = np.float32 if targets.ndim == 2 else np.int32
        targets = np.ascontiguousarray(targets.astype(kind))
        return self.library.qs_adapt(pointer(self.state), pointer(support), pointer(targets), len(support), None)

    def predict(self, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Answers `[query]` and scores `[query, way]`."""
        scores = np.zeros((len(queries), self.ways), self.score)
        rows = [(np.ascontiguousarray(query), scores[i]) for i, query in enumerate(queries)]
        answers = [self.library.qs_predict(pointer(self.state), pointer(query), pointer(row)) for query, row in rows]
        return np.array(answers), scores


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)


def call(command: list[str], folder: pathlib.Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


Build = Callable[..., Host]


@pytest.fixture
def build(tmp_path: pathlib.Path) -> Build:
    def built(
        saved: SavedLearner, *, calibration: np.ndarray | None = None, features: int | None = None, **options: object
    ) -> Host:
        settings = FirmwareSettings(**options)  # type: ignore[arg-type]
        written = write_firmware(tmp_path, saved, settings, calibration=calibration, features=features)
        score = np.int32 if written.precision == "int8" else np.float32
        return Host(tmp_path, written.state, settings.ways, score)

    return built


@pytest.fixture(scope="module")
def inputs(request: pytest.FixtureRequest) -> dict[str, Tensor]:
    """Random numbers for each of the module's `SHAPES`."""
    torch.manual_seed(0)
    return {name: torch.randn(shape) for name, shape in request.module.SHAPES.items()}
