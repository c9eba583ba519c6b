"""CIFAR-10: photos of 32x32 pixels of six animals and four vehicles (Krizhevsky 2009).

Ten classes are too few to split: `train` (50,000 images) and `test` (10,000) are its own two parts, and hold the same ten classes;
`all` has both. No class is one of CIFAR-100's, so that a learner of `cifar_fs` meets new ones here.

It is downloaded in its binary form (170 MB, `cifar10/cifar-10-binary.tar.gz`), unless images are there already, as a folder or a zip:
`cifar10/train/<class>/<image>` and `cifar10/test/<class>/<image>`. A part of the images of each class works as well.
"""

from __future__ import annotations

import pathlib

from quickstudy.data.arrays import from_arrays
from quickstudy.data.dataset import Dataset
from quickstudy.data.decoding import dataset_of, job_of
from quickstudy.data.download import Remote, obtain
from quickstudy.data.known._cifar import records_of, tree_of
from quickstudy.data.splits import merged
from quickstudy.data.tree import Tree, classes_of, shortened
from quickstudy.errors import DataError
from quickstudy.inputs.image import ImageSpec

SPEC = ImageSpec(32, 32, 3, ink="light")
SPLITS = ("train", "test", "all")
ARCHIVE = Remote(
    "cifar10",
    "cifar-10-binary.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",  # as TensorFlow Datasets and red-datasets pin it
)
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PARTS = {"train": [f"data_batch_{number}.bin" for number in range(1, 6)], "test": ["test_batch.bin"]}
"""Names of the files of each split in the archive."""


def read(split: str, spec: ImageSpec, data_dir: str | pathlib.Path | None, strict: bool) -> Dataset:
    """Return the photos of one split."""
    wanted, tree = [part for part in PARTS if split in ("all", part)], tree_of("cifar10", ("train", "test"), data_dir)
    if tree is not None:
        return _of_images(tree, wanted, split, spec, strict)
    parts = [f"cifar-10-batches-bin/{name}" for part in wanted for name in PARTS[part]]
    images, labels, names = records_of(obtain(ARCHIVE, data_dir), parts, "cifar-10-batches-bin/batches.meta.txt", label_bytes=1)
    return from_arrays(images, labels, classes=names, spec=spec, name=f"cifar10/{split}")


def _of_images(tree: Tree, wanted: list[str], split: str, spec: ImageSpec, strict: bool) -> Dataset:
    """Return the classes of a folder or zip that was put in place by hand."""
    expected = {f"{part}/{name}" for part in wanted for name in CLASSES}
    found = [entry for entry in classes_of(tree, ImageSpec, strict) if entry.name in expected]
    missing = sorted(expected - {entry.name for entry in found})
    if missing:
        raise DataError(
            f"cifar10: {tree.label} lacks {len(missing)} of the {len(expected)} folders of {split!r}: {shortened(missing)}."
        )
    classes = merged(found)
    return dataset_of(job_of(tree, classes, spec), classes, f"cifar10/{split}", strict)
