"""Firmware on emulated Cortex-M4 and M7 boards gives what this machine and torch give. `make test-mcu` installs the tools."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import boards
import numpy as np
import pytest
import torch
from boards import program
from builders import Descent, Prototypes

from quickstudy.inputs.image import ImageSpec
from quickstudy.nets.conv4 import Conv4
from quickstudy.objectives.classes import one_hot
from quickstudy.task import Examples
from quickstudy.tasks._inputs import to_input
from quickstudy.training.saving import SavedLearner

pytestmark = pytest.mark.toolchain

SPEC = ImageSpec(20, 20, 1, "dark")


def trial(seed: int = 0) -> program.Trial:
    """Return a task that nothing was trained for: five noisy patterns, two examples of each."""
    random = np.random.default_rng(seed)
    patterns = random.integers(0, 256, (5, *SPEC.shape))
    images = np.clip(patterns[np.arange(16) % 5] + random.normal(0, 30, (16, *SPEC.shape)), 0, 255).astype(np.uint8)
    return program.Trial(images[:10], np.arange(10) % 5, images[10:])


@pytest.mark.parametrize("board", boards.BOARDS)
@pytest.mark.parametrize("flags", [(), ("-DQS_SMALL", "-Os")], ids=["fast", "small"])
def test_integers_are_equal_bit_for_bit(board: str, flags: tuple[str, ...], build: Callable) -> None:
    task = trial()
    host = build(SavedLearner(Prototypes(Conv4(channels=8, image_size=20)), SPEC), examples=10, calibration=task.support)
    program.write_program(host.folder, task)
    measured = boards.run(host.folder, boards.BOARDS[board], flags)
    assert host.adapt(task.support, task.targets) == 0 == measured.output["adapt"][0]
    answers, scores = host.predict(task.queries)
    assert measured.output["answer"] == answers.tolist()
    assert measured.output["state"] == [program.fingerprint(host.state.tobytes())]
    np.testing.assert_array_equal(program.scores(measured.output, np.int32), scores)
    assert len(set(answers)) > 1
    assert measured.stack < 1024
    assert measured.ram < 8192


@pytest.mark.parametrize("board", boards.BOARDS)
def test_gradient_steps_are_equal_to_torch(board: str, tmp_path: pathlib.Path, build: Callable) -> None:
    task = trial()
    net = Conv4(channels=4, image_size=20, norm="none", halving="stride")
    learner = Descent(net, inner_lr=0.5, inner_steps=3)
    host = build(SavedLearner(learner, SPEC), examples=10)
    program.write_program(host.folder, task)
    measured = boards.run(host.folder, boards.BOARDS[board])
    support, queries = (to_input(torch.from_numpy(x), SPEC.layout()["image"]) for x in (task.support, task.queries))
    state = learner.adapt(Examples(support, one_hot(torch.from_numpy(task.targets), 5)))
    expected = learner.predict(state, queries).detach().numpy()
    np.testing.assert_allclose(program.scores(measured.output, np.float32), expected, atol=1e-5, rtol=0)
    assert measured.output["answer"] == expected.argmax(1).tolist()
    assert measured.output["adapt_ticks"][0] > measured.output["predict_ticks"][0] > 0
    assert 0 < measured.stack < measured.ram
    assert measured.flash > sum(4 * value.numel() for value in learner.parameters())
