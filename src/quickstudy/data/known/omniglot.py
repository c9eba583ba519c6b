"""Omniglot: 1,623 characters of 50 alphabets, drawn by 20 people each (Lake, Salakhutdinov and Tenenbaum, Science 2015).

Splits `train`, `val`, `trainval` and `test` are those of Vinyals et al. (2016), as Snell et al. (2017) published them: 1,028,
172, 1,200 and 423 characters, each turned by 0, 90, 180 and 270 degrees, every turn a class of its own. Splits `background`
(964) and `evaluation` (659) are the original ones, by alphabet and without turns; `background_turned` has each character of `background` in
the four turns, too.
"""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np

from quickstudy.data.dataset import Dataset, derived, joined
from quickstudy.data.decoding import dataset_of, job_of
from quickstudy.data.download import Remote, obtain
from quickstudy.data.readers.zip import ZipTree
from quickstudy.data.tree import classes_of
from quickstudy.errors import DataError
from quickstudy.inputs.image import ImageSpec

SPEC = ImageSpec(28, 28, 1, ink="dark")
VINYALS = ("train", "val", "trainval", "test")
LAKE = ("background", "evaluation")
TURNED = "background_turned"
SPLITS = (*VINYALS, *LAKE, TURNED)
IMAGES_URL = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python"
LISTS_URL = "https://raw.githubusercontent.com/jakesnell/prototypical-networks/master/data/omniglot/splits/vinyals"
DIGESTS = {
    "images_background.zip": "eb75aa6be081c204abfe78313d66f6bef4f938f16bd534abf224bd3ef013672e",
    "images_evaluation.zip": "f146e5f2bd39204cb41f490123c234c0593d66ebe6a2547031004fd0dd6010f6",
    "splits_vinyals/train.txt": "984522c194c30fb678ce53304a160a42faf5403ad4f9a67010f32dd3a35738e0",
    "splits_vinyals/val.txt": "11f99e54faee3e26f53d3231c1cceac5bf7b8730e9be31cb6dab256551dc0c1a",
    "splits_vinyals/trainval.txt": "5276ae50c755596d0bff7f2284e85625695549a85ee6e36b6491ad1e5d1cc26a",
    "splits_vinyals/test.txt": "845264cc5c156180828ccf17915668b17ee21424d0170df6e7d81676aa5d1204",
}


def read(split: str, spec: ImageSpec, data_dir: str | pathlib.Path | None, strict: bool) -> Dataset:
    """Return the characters of one split, sorted as its list sorts them; dark strokes on a light ground, as they were drawn."""
    name = f"omniglot/{split}"
    if split in LAKE:
        return _drawings(split, spec, data_dir, strict, name)
    if split == TURNED:
        return rotated(_drawings(LAKE[0], spec, data_dir, strict, name))
    both = joined([_drawings(half, spec, data_dir, strict, "omniglot") for half in LAKE], "omniglot")
    lines = _file(f"splits_vinyals/{split}.txt", data_dir).read_text(encoding="utf-8").split()
    characters = list(dict.fromkeys(line.rpartition("/")[0] for line in lines))
    index = {character: number for number, character in enumerate(both.classes)}
    missing = [character for character in characters if character not in index]
    if missing:
        raise DataError(
            f"{name}: its list names {missing[0]!r} ({len(missing)} such), which the images do not have; get both again."
        )
    return rotated(both.select([index[character] for character in characters], name))


def rotated(dataset: Dataset) -> Dataset:
    """Return every class of images four times, turned by 0, 90, 180 and 270 degrees: the turns are classes of their own.

    The pixels are copied: images that are turned only when they are drawn are drawn more slowly.
    """
    images = dataset.examples["image"]
    suffixes = [f"rot{90 * quarter:03d}" for quarter in range(4)]
    return dataclasses.replace(
        dataset,
        stored={"image": np.concatenate([np.rot90(images, quarter, axes=(1, 2)) for quarter in range(4)])},
        counts=np.tile(dataset.counts, 4),
        classes=tuple(f"{name}/{suffix}" for suffix in suffixes for name in dataset.classes),
        groups=tuple(f"{group}/{suffix}" for suffix in suffixes for group in dataset.groups),
        fingerprint=derived(dataset.fingerprint, "rotated"),
        first=None,
    )


def _drawings(half: str, spec: ImageSpec, data_dir: str | pathlib.Path | None, strict: bool, name: str) -> Dataset:
    tree = ZipTree(_file(f"images_{half}.zip", data_dir))
    classes = classes_of(tree, ImageSpec, strict)
    return dataset_of(job_of(tree, classes, spec), classes, name, strict)


def _file(file: str, data_dir: str | pathlib.Path | None) -> pathlib.Path:
    url = f"{LISTS_URL}/{pathlib.PurePosixPath(file).name}" if file.endswith(".txt") else f"{IMAGES_URL}/{file}"
    return obtain(Remote("omniglot", file, url, DIGESTS[file]), data_dir)
