"""load: one split of a data set, by the name of a known set or by path."""

from __future__ import annotations

import dataclasses
import pathlib

from quickstudy.data import known, splits
from quickstudy.data.dataset import ImageDataset
from quickstudy.data.decoding import dataset_of
from quickstudy.data.readers.folder import FolderTree
from quickstudy.data.readers.idx import is_idx, read_pair
from quickstudy.data.readers.npz import default_spec, from_arrays, read_npz
from quickstudy.data.readers.zip import ZipTree
from quickstudy.data.tree import Tree, classes_of
from quickstudy.errors import DataError, NotFoundError
from quickstudy.inputs.image import ImageSpec, Ink

DEFAULT_SIZE = 84
"""Pixels, for folders and zips of images: the size of few-shot learning's photo benchmarks."""


@dataclasses.dataclass(frozen=True)
class OwnData:
    """What quickstudy cannot know of your own images. Known sets have all this fixed.

    Args:
        channels: 1 (grey) or 3 (colour). None: colour for files of images, as it is for arrays.
        ink: `"dark"` for drawings in dark on light; `"light"` for light on dark, and for photos.
        split: how classes are shared out among train, val and test.
    """

    channels: int | None = None
    ink: Ink = "light"
    split: splits.SplitOptions = dataclasses.field(default_factory=splits.SplitOptions)


def load(
    name_or_path: str | pathlib.Path,
    split: str = "train",
    *,
    size: int | None = None,
    data_dir: str | pathlib.Path | None = None,
    strict: bool = False,
    own: OwnData | None = None,
) -> ImageDataset:
    """One split of a data set: decoded, of one size, sorted by class.

    Args:
        name_or_path: a known set (`known.names()`), or the path of your own images: a folder or zip with one folder per class,
            an .npz with images and labels, or an idx image file. A name wins over a path; write `./omniglot` for the path.
        split: `train`, `val`, `test` or `all`; known sets have their own, as their docs say. Of your own data, splits are sets
            of classes: those in its folders `train`, `val` and `test`, or else shared out by class name.
        size: height and width in pixels. None: the known set's, the arrays' own, or 84 for files of images.
        data_dir: where known sets are, or are downloaded to. None: environment variable `QUICKSTUDY_DATA`, or the user's cache
            folder.
        strict: True: the first unreadable image is an error; False: unreadable images are left out, with a `DataWarning`.
        own: what only you know of your own images.

    Returns:
        The classes of the split. Decoded image files are kept in the cache folder (environment variable `QUICKSTUDY_CACHE`).

    Raises:
        NotFoundError: no such path.
        DataError: no such split, no images, damaged files, a download that failed.
        ConfigError: no known set of this name, and no such path.

    >>> digits = load("digits", "all")
    >>> digits.images.shape, len(digits.classes)
    ((1797, 28, 28, 1), 10)
    """
    if size is not None and size < 1:
        raise DataError(f"size is {size}; expected pixels, 1 or more.")
    if known.module_name(str(name_or_path)) in known.names():
        if own is not None:
            raise DataError(f"{name_or_path} is a known set, whose channels, ink and splits are fixed; leave out own.")
        chosen = known.get(str(name_or_path))
        splits.check(str(name_or_path), split, chosen.SPLITS)
        return chosen.read(split, _resized(chosen.SPEC, size), data_dir, strict)
    path = pathlib.Path(name_or_path).expanduser()
    if not path.exists():
        if len(path.parts) == 1 and not path.suffix:
            known.get(str(name_or_path))
        raise NotFoundError(
            f"there is no file or folder {str(name_or_path)!r}; check the path, or give one of {', '.join(known.names())}.",
            subject=str(name_or_path),
        )
    splits.check(path.name, split)
    return _read_path(path, split, size, strict, own or OwnData())


def _read_path(path: pathlib.Path, split: str, size: int | None, strict: bool, own: OwnData) -> ImageDataset:
    if path.is_dir():
        return _read_tree(FolderTree(path), split, size, strict, own)
    if path.suffix.lower() == ".zip":
        return _read_tree(ZipTree(path), split, size, strict, own)
    if path.suffix.lower() == ".npz":
        images, labels, classes = read_npz(path)
    elif is_idx(path):
        images, labels = read_pair(path)
        classes = None
    else:
        raise DataError(f"{str(path)!r} is of no kind that is read here; expected a folder, .zip, .npz or an idx file.")
    plain = default_spec(images)
    spec = _resized(plain.changed(channels=own.channels or plain.channels, ink=own.ink), size)
    whole = from_arrays(images, labels, classes=classes, spec=spec, name=path.name)
    return splits.chosen(whole, split, own.split).compact()


def _read_tree(tree: Tree, split: str, size: int | None, strict: bool, own: OwnData) -> ImageDataset:
    pixels = size or DEFAULT_SIZE
    spec = ImageSpec(pixels, pixels, own.channels or 3, own.ink)
    classes, of_class = splits.own_splits(classes_of(tree), tree.label)
    whole = dataset_of(tree, classes, spec, tree.name, strict)
    if of_class is None or split == "all":
        return splits.chosen(whole, split, own.split)
    splits.check(tree.label, split, sorted({*of_class, "all"}))
    return whole.select([index for index, found in enumerate(of_class) if found == split], f"{tree.name}/{split}")


def _resized(spec: ImageSpec, size: int | None) -> ImageSpec:
    return spec if size is None else spec.changed(height=size, width=size)
