"""CIFAR-FS: CIFAR-100's photos of 32x32 pixels, its 100 classes split into 64, 16 and 20 (Bertinetto et al., 2019).

The 20 superclasses are the groups; the splits do not keep them apart.

CIFAR-100 is downloaded in its binary form (168.5 MB, `cifar100/cifar-100-binary.tar.gz`), unless images are there already, as a
folder or a zip: `cifar100/train/<class>/<image>` and `cifar100/test/<class>/<image>` (CIFAR-100's own two parts, put together
here), or `cifar100/<class>/<image>`. A full CIFAR-100 has 600 images of each class; a part, such as 200 of each, works as well.
"""

from __future__ import annotations

import dataclasses
import pathlib

from quickstudy.data.arrays import from_arrays
from quickstudy.data.dataset import Dataset
from quickstudy.data.decoding import dataset_of, job_of
from quickstudy.data.download import Remote, obtain
from quickstudy.data.known._cifar import records_of, tree_of
from quickstudy.data.splits import merged
from quickstudy.data.tree import ClassFiles, Tree, classes_of, shortened
from quickstudy.errors import DataError
from quickstudy.inputs.image import ImageSpec

SPEC = ImageSpec(32, 32, 3, ink="light")
SPLITS = ("train", "val", "test", "all")
ARCHIVE = Remote(
    "cifar100",
    "cifar-100-binary.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",  # as TensorFlow Datasets and MLDatasets.jl pin it
)
SUPERCLASSES = """
aquatic_mammals: beaver dolphin otter seal whale
fish: aquarium_fish flatfish ray shark trout
flowers: orchid poppy rose sunflower tulip
food_containers: bottle bowl can cup plate
fruit_and_vegetables: apple mushroom orange pear sweet_pepper
household_electrical_devices: clock keyboard lamp telephone television
household_furniture: bed chair couch table wardrobe
insects: bee beetle butterfly caterpillar cockroach
large_carnivores: bear leopard lion tiger wolf
large_man-made_outdoor_things: bridge castle house road skyscraper
large_natural_outdoor_scenes: cloud forest mountain plain sea
large_omnivores_and_herbivores: camel cattle chimpanzee elephant kangaroo
medium_mammals: fox porcupine possum raccoon skunk
non-insect_invertebrates: crab lobster snail spider worm
people: baby boy girl man woman
reptiles: crocodile dinosaur lizard snake turtle
small_mammals: hamster mouse rabbit shrew squirrel
trees: maple_tree oak_tree palm_tree pine_tree willow_tree
vehicles_1: bicycle bus motorcycle pickup_truck train
vehicles_2: lawn_mower rocket streetcar tank tractor
"""
HELD_OUT = {
    "val": "beaver beetle butterfly camel cattle crab crocodile flatfish lamp maple_tree motorcycle otter sea shark television "
    "tractor",
    "test": "baby bed bicycle chimpanzee fox leopard man pickup_truck plain poppy rocket rose snail sweet_pepper table "
    "telephone wardrobe whale woman worm",
}


def read(split: str, spec: ImageSpec, data_dir: str | pathlib.Path | None, strict: bool) -> Dataset:
    """Return the photos of the classes of one split."""
    group = {name: line.partition(":")[0] for line in SUPERCLASSES.split("\n") for name in line.partition(":")[2].split()}
    tree = tree_of("cifar100", ("train", "test", "apple"), data_dir)
    whole = _of_archive(obtain(ARCHIVE, data_dir), spec) if tree is None else _of_images(tree, group, spec, strict)
    whole = dataclasses.replace(whole, groups=tuple(group[name] for name in whole.classes))
    chosen = [index for index, name in enumerate(whole.classes) if split in ("all", split_of(name))]
    selected = whole.select(chosen, f"cifar_fs/{split}")
    return selected.compact() if tree is None else selected


def split_of(name: str) -> str:
    """Return the split of a class.

    >>> split_of("otter"), split_of("apple")
    ('val', 'train')
    """
    return next((split for split, names in HELD_OUT.items() if name in names.split()), "train")


def _of_images(tree: Tree, group: dict[str, str], spec: ImageSpec, strict: bool) -> Dataset:
    """Return the classes of a folder or zip that was put in place by hand."""
    found = classes_of(tree, ImageSpec, strict)
    if {entry.name.split("/")[0] for entry in found} <= {"train", "test"}:
        found = merged(found)
    by_name = {entry.name: ClassFiles(entry.name, group[entry.name], entry.paths) for entry in found if entry.name in group}
    missing = sorted(set(group) - set(by_name))
    if missing:
        raise DataError(
            f"cifar_fs: {tree.label} lacks {len(missing)} of CIFAR-100's classes ({shortened(missing)}); expected all 100."
        )
    classes = [by_name[name] for name in sorted(by_name)]
    return dataset_of(job_of(tree, classes, spec), classes, "cifar_fs", strict)


def _of_archive(file: pathlib.Path, spec: ImageSpec) -> Dataset:
    """Return the classes of CIFAR-100's binary form, whose records begin with superclass and class."""
    parts = [f"cifar-100-binary/{part}.bin" for part in ("train", "test")]
    images, labels, names = records_of(file, parts, "cifar-100-binary/fine_label_names.txt", label_bytes=2)
    return from_arrays(images, labels, classes=names, spec=spec, name="cifar_fs")
