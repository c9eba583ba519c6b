"""Splits of your own data: by its own train/val/test folders where it has them, else by class names, never by images.

Few-shot learning is tested on classes that were not trained on, so a split is a set of classes, and splits never overlap.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import warnings
from collections.abc import Sequence

from quickstudy.data.dataset import DataWarning, ImageDataset
from quickstudy.data.tree import ClassFiles, group_of, shortened
from quickstudy.errors import DataError

SPLITS = ("train", "val", "test", "all")
FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclasses.dataclass(frozen=True)
class SplitOptions:
    """How classes are shared out among the splits.

    Args:
        fractions: of train, val and test; they add up to 1.
        by_group: keep the classes of a group (such as an alphabet) together in one split.
        seed: another seed, another split.
    """

    fractions: tuple[float, float, float] = (0.64, 0.16, 0.20)
    by_group: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.fractions) != 3 or min(self.fractions) < 0 or not math.isclose(sum(self.fractions), 1, abs_tol=1e-6):
            raise DataError(
                f"fractions are {self.fractions}; expected three numbers from 0 on (train, val, test) that add up to 1."
            )


def assigned(classes: Sequence[str], groups: Sequence[str], options: SplitOptions) -> list[str]:
    """The split of every class: the names, hashed with the seed, are shared out in the order of their hashes.

    Every split with a fraction above 0 gets at least one class (or group).

    >>> names = [f"part{number}" for number in range(10)]
    >>> found = assigned(names, names, SplitOptions())
    >>> [found.count(split) for split in ("train", "val", "test")]
    [6, 2, 2]
    """
    units = sorted(set(groups if options.by_group else classes), key=lambda unit: _order(unit, options.seed))
    wanted = sum(fraction > 0 for fraction in options.fractions)
    if len(units) < wanted:
        kind = "groups" if options.by_group else "classes"
        raise DataError(
            f"there are {len(units)} {kind} ({shortened(sorted(units))}), too few for {wanted} splits; "
            "use split='all', or other fractions."
        )
    of_unit = dict(zip(units, _shared_out(len(units), options.fractions), strict=True))
    return [of_unit[group if options.by_group else name] for name, group in zip(classes, groups, strict=True)]


def chosen(dataset: ImageDataset, split: str, options: SplitOptions) -> ImageDataset:
    """The classes of one split of a dataset.

    Raises:
        DataError: unknown split, too few classes, or a split whose fraction is 0.
    """
    check(dataset.name, split)
    name = f"{dataset.name}/{split}"
    if split == "all":
        return dataclasses.replace(dataset, name=name)
    splits = assigned(dataset.classes, dataset.groups, options)
    return dataset.select([index for index, found in enumerate(splits) if found == split], name)


def check(name: str, split: str, splits: Sequence[str] = SPLITS) -> None:
    """Raise a DataError unless the data set has this split."""
    if split not in splits:
        raise DataError(f"{name} has no split {split!r}; expected one of {', '.join(splits)}.")


def own_splits(classes: Sequence[ClassFiles], label: str) -> tuple[list[ClassFiles], list[str] | None]:
    """Take train/val/test folders off the class names.

    Only where all images lie in folders of these names (`valid` and `validation` are `val`), two of them or more. Where two
    such folders share a class, theirs is a split of images, not of classes: the images of a class are put together, with a
    warning.

    Returns:
        The classes without these folders, and the split of each, or None where the data has no splits of its own.
    """
    tops = {entry.name.split("/")[0] for entry in classes if "/" in entry.name}
    if len(tops) < 2 or not tops <= set(FOLDERS) or not all("/" in entry.name for entry in classes):
        return list(classes), None
    short = [entry.name.partition("/")[2] for entry in classes]
    if len(set(short)) == len(short):
        renamed = [ClassFiles(name, group_of(name), entry.paths) for name, entry in zip(short, classes, strict=True)]
        return renamed, [FOLDERS[entry.name.split("/")[0]] for entry in classes]
    shared = sorted({name for name in short if short.count(name) > 1})
    warnings.warn(
        f"{label}: {', '.join(sorted(tops))} share classes ({shortened(shared)}), so they split images and not classes. "
        "The images of each class are put together, and the classes are split by name.",
        DataWarning,
        stacklevel=2,
    )
    return merged(classes), None


def merged(classes: Sequence[ClassFiles]) -> list[ClassFiles]:
    """Leave out the top folder of every class, and put the images of classes that are then the same together."""
    paths: dict[str, list[str]] = {}
    for entry in classes:
        paths.setdefault(entry.name.partition("/")[2] or entry.name, []).extend(entry.paths)
    return [ClassFiles(name, group_of(name), tuple(paths[name])) for name in sorted(paths)]


def _order(unit: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{unit}".encode()).digest()


def _shared_out(units: int, fractions: Sequence[float]) -> list[str]:
    """`units` names of splits, in proportion, rounded; the largest split takes what rounding leaves over or lacks."""
    counts = [max(1, round(units * fraction)) if fraction > 0 else 0 for fraction in fractions]
    counts[fractions.index(max(fractions))] += units - sum(counts)
    return [split for split, count in zip(SPLITS, counts, strict=False) for _ in range(count)]
