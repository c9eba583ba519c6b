"""Exported learners that several test files use. Each is made once in a run: the workers of pytest-xdist share them as files."""

from __future__ import annotations

import fcntl
import functools
import pathlib
from typing import Any

import torch
from builders import make_learner

from quickstudy.export.bundle import to_bundle
from quickstudy.runtime import Learner
from quickstudy.runtime import bundle as bundles
from quickstudy.training.saving import SavedLearner

FOLDER = pathlib.Path()
"""Folder of this run, the same for all workers; conftest.py sets it."""


def shipped(name: str, **changes: Any) -> Learner:
    """Return a discovered learner on rows of six numbers as it runs without torch, with some hyperparameters changed."""
    return Learner(_bundle(name, tuple(sorted(changes.items()))))


@functools.cache
def _bundle(name: str, changes: tuple[tuple[str, Any], ...]) -> bundles.Bundle:
    words = [name, *(f"{key}={value}" for key, value in changes)]
    file = FOLDER / f"{'-'.join(words)}.qs"
    with open(file.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # whoever comes second waits, and reads
        if not file.exists():
            learner = make_learner(name, dtype=torch.float32, **dict(changes))
            bundles.write(file, to_bundle(SavedLearner(learner), features=6))
    return bundles.read(file)
