"""Digits: 1,797 handwritten digits of 8x8 pixels that come with scikit-learn (Alpaydin and Kaynak, 1998). No download.

Values 0..16 become 0..255; a margin of 2 pixels all round is added, so that the digits fill as much of the image as MNIST's do, and
the images are enlarged to the spec. Of the ten classes `train` has 6, `val` 2 and `test` 2.
"""

from __future__ import annotations

import pathlib

import numpy as np

from quickstudy.data.arrays import from_arrays
from quickstudy.data.dataset import Dataset
from quickstudy.data.splits import SplitOptions, chosen
from quickstudy.errors import DataError
from quickstudy.inputs.image import ImageSpec

SPEC = ImageSpec(28, 28, 1, ink="light")
SPLITS = ("train", "val", "test", "all")


def read(split: str, spec: ImageSpec, data_dir: str | pathlib.Path | None, strict: bool) -> Dataset:
    """Return the digits of one split, light on dark. The images are part of scikit-learn: `data_dir` and `strict` change nothing."""
    try:
        import sklearn.datasets
    except ImportError as error:
        raise DataError("digits comes with scikit-learn, which is not installed; pip install 'quickstudy[train]'.") from error
    rows, labels = sklearn.datasets.load_digits(return_X_y=True)
    images = np.pad(np.rint(np.asarray(rows).reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8), ((0, 0), (2, 2), (2, 2)))
    return chosen(from_arrays(images, np.asarray(labels), spec=spec, name="digits"), split, SplitOptions())
