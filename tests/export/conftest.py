"""A data set of drawn patterns with three splits, and learners that were trained on it for a moment, once for all workers."""

from __future__ import annotations

import pathlib

import exports
import numpy as np
import pytest
import torch
from builders import HEAD_DESCENT, PROTOTYPES

from quickstudy import discovery, load_data
from quickstudy.export.source import Source
from quickstudy.nets.conv4 import Conv4
from quickstudy.runtime.learner import Learner as Runnable
from quickstudy.tasks.classes import ClassTasks
from quickstudy.training.fit import fit
from quickstudy.training.saving import load_learner, save_learner
from quickstudy.training.settings import EngineSettings, TrainingSettings


def draw(path: pathlib.Path) -> None:
    """Write 30 classes of 10 noisy patterns of 16x16 pixels."""
    random = np.random.default_rng(0)
    pattern = np.kron(random.random((30, 8, 8)) < 0.4, np.ones((2, 2)))
    noise = random.integers(-50, 51, (30, 10, 16, 16))
    images = np.clip(60 + 140 * pattern[:, None] + noise, 0, 255).astype(np.uint8).reshape(-1, 16, 16)
    np.savez(path, images=images, labels=np.repeat(np.arange(30), 10))


def trained(name: str, channels: int, steps: int, npz: pathlib.Path, **hyperparameters: float) -> Source:
    """Return a learner that was trained for some steps, with its data."""

    def train(path: pathlib.Path) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(0)
        learner = discovery.load("learners", name)(Conv4(image_size=16, channels=channels), **hyperparameters)
        tasks = ClassTasks(load_data(str(npz), "train"), ways=5, shots=1, queries=4)
        engine = EngineSettings("loop", capture=False)
        save_learner(
            path, fit(learner, tasks, settings=TrainingSettings(steps=steps, tasks_per_step=2, engine=engine, lr=0.01))
        )

    return Source(load_learner(exports.once(f"trained-{name}.safetensors", train)), str(npz))


@pytest.fixture(scope="session")
def npz() -> pathlib.Path:
    return exports.once("set.npz", draw)


@pytest.fixture(scope="session")
def prototypes(npz: pathlib.Path) -> Source:
    return trained(PROTOTYPES, 16, 40, npz)


@pytest.fixture(scope="session")
def head_descent(npz: pathlib.Path) -> Source:
    return trained(HEAD_DESCENT, 8, 20, npz, inner_lr=0.4)


@pytest.fixture(scope="session")
def shipped(prototypes: Source) -> Runnable:
    """Return the learner of `prototypes` as it runs without torch."""
    return exports.exported(f"trained-{PROTOTYPES}", prototypes.saved)
