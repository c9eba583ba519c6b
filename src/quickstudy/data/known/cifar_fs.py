"""CIFAR-FS: CIFAR-100's photos of 32x32 pixels, its 100 classes split into 64, 16 and 20 (Bertinetto et al., 2019).

The 20 superclasses are the groups; the splits do not keep them apart.

It is read from the folder `cifar100` in the data folder, and has to be put there by hand: as a folder or a zip of images,
`cifar100/train/<class>/<image>` and `cifar100/test/<class>/<image>` (CIFAR-100's own two parts, put together here), or
`cifar100/<class>/<image>`. A full CIFAR-100 has 600 images of each class; a part of it, such as 200 of each, works as well.
"""

from __future__ import annotations

import pathlib

from quickstudy.data.archive import ZipTree
from quickstudy.data.dataset import ImageDataset
from quickstudy.data.decoding import dataset_of
from quickstudy.data.folder import FolderTree
from quickstudy.data.image import ImageSpec
from quickstudy.data.places import data_root
from quickstudy.data.splits import merged
from quickstudy.data.tree import ClassFiles, Tree, classes_of, shortened
from quickstudy.errors import DataError

SPEC = ImageSpec(32, 32, 3, ink="light")
SPLITS = ("train", "val", "test", "all")
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


def read(split: str, spec: ImageSpec, data_dir: str | pathlib.Path | None, strict: bool) -> ImageDataset:
    """The photos of the classes of one split."""
    group = {name: line.partition(":")[0] for line in SUPERCLASSES.split("\n") for name in line.partition(":")[2].split()}
    tree = _tree(data_dir)
    found = classes_of(tree)
    if {entry.name.split("/")[0] for entry in found} <= {"train", "test"}:
        found = merged(found)
    by_name = {entry.name: ClassFiles(entry.name, group[entry.name], entry.paths) for entry in found if entry.name in group}
    missing = sorted(set(group) - set(by_name))
    if missing:
        raise DataError(
            f"cifar_fs: {tree.label} lacks {len(missing)} of CIFAR-100's classes ({shortened(missing)}); expected all 100."
        )
    whole = dataset_of(tree, [by_name[name] for name in sorted(by_name)], spec, "cifar_fs", strict)
    return whole.select(
        [index for index, name in enumerate(whole.classes) if split in ("all", split_of(name))], f"cifar_fs/{split}"
    )


def split_of(name: str) -> str:
    """The split of a class.

    >>> split_of("otter"), split_of("apple")
    ('val', 'train')
    """
    return next((split for split, names in HELD_OUT.items() if name in names.split()), "train")


def _tree(data_dir: str | pathlib.Path | None) -> Tree:
    root = data_root(data_dir)
    folder = root / "cifar100"
    for place in (folder, root):
        zips = sorted(place.glob("cifar100*.zip"))
        if zips:
            return ZipTree(zips[0])
    if any((folder / top).is_dir() for top in ("train", "apple")):
        return FolderTree(folder)
    image = pathlib.Path("<class>", "<image>.png")
    raise DataError(
        f"cifar_fs is not in {str(root)!r}, and has no download. Put CIFAR-100 there as images: "
        f"{str(folder / 'train' / image)!r} and "
        f"{str(folder / 'test' / image)!r}, or both in a zip {str(folder / 'cifar100.zip')!r}; "
        "or give the data_dir that has it."
    )
