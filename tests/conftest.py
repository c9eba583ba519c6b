"""One thread, a fixed seed, and small data that several test files use."""

from __future__ import annotations

import signal

import numpy as np
import pytest
import torch

from quickstudy.data.dataset import ImageDataset, content_fingerprint
from quickstudy.inputs.image import ImageSpec

torch.set_num_threads(1)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may start us with Ctrl-C ignored


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Every test starts from the same random state, with one thread."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)


@pytest.fixture(scope="session")
def patterns() -> ImageDataset:
    """12 classes in 3 groups of 4, with 9 to 14 images each: a fixed random pattern per class, plus noise, 16x16 grey."""
    random = np.random.default_rng(0)
    counts = np.array([9 + c % 6 for c in range(12)])
    pattern = random.integers(40, 216, (12, 16, 16, 1))
    images = np.repeat(pattern, counts, axis=0) + random.integers(-40, 41, (int(counts.sum()), 16, 16, 1))
    images, classes = images.astype(np.uint8), tuple(f"class{c:02d}" for c in range(12))
    spec = ImageSpec(16, 16, 1)
    groups = tuple(f"group{c // 4}" for c in range(12))
    return ImageDataset(images, counts, classes, groups, spec, "patterns", content_fingerprint(images, counts, classes, spec))
