"""A data set of drawn patterns with three splits, and learners on it that were trained for a moment."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import torch

from quickstudy.export.source import Source
from quickstudy.learner import Learner
from quickstudy.learners.anil import ANIL
from quickstudy.learners.protonet import ProtoNet
from quickstudy.nets.conv4 import Conv4
from quickstudy.training.fit import fit
from quickstudy.training.saving import SavedLearner
from quickstudy.training.settings import EngineSettings, TrainingSettings


@pytest.fixture(scope="session")
def npz(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """30 classes of 10 noisy patterns of 16x16 pixels."""
    random = np.random.default_rng(0)
    pattern = np.kron(random.random((30, 8, 8)) < 0.4, np.ones((2, 2)))
    noise = random.integers(-50, 51, (30, 10, 16, 16))
    images = np.clip(60 + 140 * pattern[:, None] + noise, 0, 255).astype(np.uint8).reshape(-1, 16, 16)
    path = tmp_path_factory.mktemp("data") / "set.npz"
    np.savez(path, images=images, labels=np.repeat(np.arange(30), 10))
    return path


def trained(learner: Learner, npz: pathlib.Path, steps: int) -> SavedLearner:
    from quickstudy import load_data
    from quickstudy.tasks.classes import ClassTasks

    tasks = ClassTasks(load_data(str(npz), "train"), ways=5, shots=1, queries=4)
    return fit(
        learner,
        tasks,
        settings=TrainingSettings(steps=steps, tasks_per_step=2, engine=EngineSettings("loop", capture=False), lr=0.01),
    )


@pytest.fixture(scope="session")
def protonet(npz: pathlib.Path) -> Source:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return Source(trained(ProtoNet(Conv4(image_size=16, channels=16)), npz, 40), str(npz))


@pytest.fixture(scope="session")
def anil(npz: pathlib.Path) -> Source:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return Source(trained(ANIL(Conv4(image_size=16, channels=8), inner_lr=0.4), npz, 20), str(npz))
