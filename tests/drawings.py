"""Drawings of two classes, and learners for them, that the tests of estimators build on."""

from __future__ import annotations

import numpy as np
import torch
from builders import DESCENT, MEMORY, PROTOTYPES, Descent, Memory, Prototypes

from quickstudy import ImageSpec, Learner, SavedLearner
from quickstudy.nets.conv4 import Conv4
from quickstudy.nets.identity import Identity

SPEC = ImageSpec(16, 16, 1, ink="dark")


def saved(name: str = PROTOTYPES) -> SavedLearner:
    """Return a learner for 16x16 drawings, not trained."""
    torch.manual_seed(0)
    learners: dict[str, Learner] = {
        PROTOTYPES: Prototypes(Conv4(image_size=16, channels=4)),
        "pixels": Prototypes(Identity(256)),
        DESCENT: Descent(Conv4(image_size=16, channels=4), inner_lr=0.05),
        MEMORY: Memory(Identity(256)),
    }
    return SavedLearner(learners[name], SPEC)


def drawings(count: int, seed: int = 0, size: tuple[int, int] = (16, 16)) -> np.ndarray:
    """Return black strokes on white, upright (even) or level (odd), each a little different; uint8 `[image, height, width]`."""
    rng = np.random.default_rng(seed)
    images = np.full((count, *size), 255, dtype=np.uint8)
    for index, image in enumerate(images):
        across = size[1] if index % 2 == 0 else size[0]
        begin = 2 * across // 5 + int(rng.integers(2))
        if index % 2 == 0:
            image[:, begin : begin + across // 5] = 0
        else:
            image[begin : begin + across // 5] = 0
    return images
