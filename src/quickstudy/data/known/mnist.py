"""MNIST: 70,000 handwritten digits, light on dark (LeCun, Cortes and Burges).

Ten classes are too few to split: `train` (60,000 images) and `test` (10,000) are its own files, and hold the same ten classes;
`all` has both.
"""

from __future__ import annotations

import pathlib

import numpy as np

from quickstudy.data.arrays import from_arrays
from quickstudy.data.dataset import Dataset
from quickstudy.data.download import Remote, obtain
from quickstudy.data.readers.idx import read_idx
from quickstudy.inputs.image import ImageSpec

SPEC = ImageSpec(28, 28, 1, ink="light")
SPLITS = ("train", "test", "all")
URL = "https://storage.googleapis.com/cvdf-datasets/mnist"
PREFIXES = {"train": ("train",), "test": ("t10k",), "all": ("train", "t10k")}
DIGESTS = {
    "train-images-idx3-ubyte.gz": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte.gz": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte.gz": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte.gz": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


def read(split: str, spec: ImageSpec, data_dir: str | pathlib.Path | None, strict: bool) -> Dataset:
    """Return the images of one split. There is nothing that `strict` could leave out: a damaged file is an error."""
    images = [read_idx(_file(f"{prefix}-images-idx3-ubyte.gz", data_dir), 3) for prefix in PREFIXES[split]]
    labels = [read_idx(_file(f"{prefix}-labels-idx1-ubyte.gz", data_dir), 1) for prefix in PREFIXES[split]]
    return from_arrays(np.concatenate(images), np.concatenate(labels), spec=spec, name=f"mnist/{split}")


def _file(file: str, data_dir: str | pathlib.Path | None) -> pathlib.Path:
    return obtain(Remote("mnist", file, f"{URL}/{file}", DIGESTS[file]), data_dir)
