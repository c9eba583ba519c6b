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


def scribbles(count: int, seed: int = 0, size: tuple[int, int] = (28, 28)) -> np.ndarray:
    """Return black strokes on white, four anywhere in each image; float in 0..1, `[image, height, width]`."""
    rng = np.random.default_rng(seed)
    images = np.ones((count, *size))
    for image in images:
        for stroke in range(4):
            top, left = (int(rng.integers(side // 8, side // 2)) for side in size)
            height, width = (size[0] // 3, 2) if stroke % 2 else (2, size[1] // 3)
            image[top : top + height, left : left + width] = 0
    return images
