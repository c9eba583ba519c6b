"""Exported learners that several test files use. Each is made once in a run: the workers of pytest-xdist share them as files."""

from __future__ import annotations

import fcntl
import functools
import pathlib
from collections.abc import Callable
from typing import Any

import torch
from builders import SHAPES, make_learner

from quickstudy.export.bundle import to_bundle
from quickstudy.inputs.image import ImageSpec
from quickstudy.runtime import Learner
from quickstudy.runtime import bundle as bundles
from quickstudy.training.saving import SavedLearner

FOLDER = pathlib.Path()
"""Folder of this run, the same for all workers; conftest.py sets it."""


def once(name: str, make: Callable[[pathlib.Path], Any]) -> pathlib.Path:
    """Return the file of this name in the folder of this run; the first who asks for it lets `make` write it, the others wait."""
    file = FOLDER / name
    with open(FOLDER / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            unfinished = FOLDER / f"unfinished-{name}"
            make(unfinished)
            unfinished.rename(file)
    return file


def exported(name: str, saved: SavedLearner, features: int | None = None) -> Learner:
    """Return a learner as it runs without torch.

    Args:
        name: of the file; whoever exports under this name has the same learner, with the same weights.
        saved: the learner.
        features: numbers per row, for a learner on rows whose net does not say.
    """
    return Learner(bundles.read(once(f"{name}.qs", lambda file: bundles.write(file, to_bundle(saved, features)))))


@functools.cache
def _bundle(name: str, kind: str, norm: str, target: str, changes: tuple[tuple[str, Any], ...]) -> bundles.Bundle:
    learner = make_learner(name, kind, norm, dtype=torch.float32, **dict(changes))
    spec = ImageSpec(*SHAPES[kind][1:], SHAPES[kind][0]) if len(SHAPES[kind]) == 3 else None
    words = [name, kind, norm, target, *(f"{key}={value}" for key, value in changes)]
    return exported("-".join(words), SavedLearner(learner, spec, target=target)).bundle


def shipped(name: str, kind: str = "mlp", norm: str = "none", target: str = "classes", **changes: Any) -> Learner:
    """Return the learner that `make_learner` makes as it runs without torch, with some hyperparameters changed."""
    return Learner(_bundle(name, kind, norm, target, tuple(sorted(changes.items()))))
