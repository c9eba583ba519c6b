"""Splits of your own data: by its own train, val and test folders if it has them, else by class names, groups or rows.

Few-shot learning is tested on classes that were not trained on, so a split is a set of classes, and splits never overlap, unless somebody
asks for splits of rows, in which every class has its share.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np

from quickstudy.data.dataset import Dataset, DataWarning, encoded
from quickstudy.data.shares import rows_assigned, shared_out
from quickstudy.data.tree import ClassFiles, group_of, shortened
from quickstudy.errors import ConfigError, DataError, check_choice
from quickstudy.inputs import kinds

SplitBy = Literal["classes", "groups", "rows"]
SPLITS = ("train", "val", "test", "all")
FOLDERS = {
    **dict.fromkeys(["train", "training", "trn", "metatrain", "base"], "train"),
    **dict.fromkeys(["val", "valid", "validation", "validate", "dev", "development", "metaval"], "val"),
    **dict.fromkeys(["test", "testing", "tst", "eval", "evaluation", "holdout", "heldout", "metatest", "novel"], "test"),
}
"""Split that a folder stands for, by the folder's name."""
EXTRA = frozenset(["set", "data", "dataset", "img", "imgs", "split", "classes", "files"])
"""Words that may stand beside these in a folder's name (`train_set`), as may the name of a kind of input (`train_images`)."""


@dataclasses.dataclass(frozen=True)
class SplitOptions:
    """The way in which data is shared out among the splits.

    Args:
        fractions: shares of train, val and test; they add up to 1.
        by: `classes` are shared out; or whole `groups` of them, such as alphabets or voices; or the `rows` of each class, so that every
            split has all classes in the proportions of the whole (stratified), and test tasks are of classes that training knew.
        seed: another seed, another split.
    """

    fractions: tuple[float, float, float] = (0.64, 0.16, 0.20)
    by: SplitBy = "classes"
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("by", self.by, get_args(SplitBy))
        if len(self.fractions) != 3 or min(self.fractions) < 0 or not math.isclose(sum(self.fractions), 1, abs_tol=1e-6):
            raise DataError(
                f"fractions are {self.fractions}; expected three numbers from 0 on (train, val, test) that add up to 1."
            )

    def select(self, dataset: Dataset, split: str) -> Dataset:
        """Return one split of a dataset that holds all.

        >>> from quickstudy.data import load
        >>> SplitOptions(fractions=(0.5, 0.0, 0.5)).select(load("digits", "all"), "train").name
        'digits/train'
        """
        return chosen(dataset, split, self)


def assigned(classes: Sequence[str], groups: Sequence[str], options: SplitOptions, nouns: str = "classes") -> list[str]:
    """Return the split of every class: the names, hashed with the seed, are shared out in the order of their hashes.

    Every split with a fraction above 0 gets at least one class (or group).

    Args:
        classes: names of the classes.
        groups: group of each.
        options: how they are shared out.
        nouns: what the classes are, for messages.

    >>> names = [f"part{number}" for number in range(10)]
    >>> found = assigned(names, names, SplitOptions())
    >>> [found.count(split) for split in ("train", "val", "test")]
    [6, 2, 2]
    """
    units = sorted(set(groups if options.by == "groups" else classes), key=lambda unit: _order(unit, options.seed))
    wanted = sum(fraction > 0 for fraction in options.fractions)
    if len(units) < wanted:
        kind = nouns = "groups" if options.by == "groups" else nouns
        raise DataError(
            f"there are {len(units)} {kind} ({shortened(sorted(units))}), too few for {wanted} splits; "
            f"use split='all', or add {nouns}."
        )
    numbers = shared_out(len(units), options.fractions)
    of_unit = {unit: SPLITS[number] for unit, number in zip(units, numbers, strict=True)}
    return [of_unit[group if options.by == "groups" else name] for name, group in zip(classes, groups, strict=True)]


def chosen(dataset: Dataset, split: str, options: SplitOptions) -> Dataset:
    """Return one split of a dataset: its classes, shared out by name, or its rows; of label sets, its labels with all rows, or its rows.

    Raises:
        DataError: unknown split, too few classes or rows, or a split whose fraction is 0.
    """
    check(dataset.name, split)
    name = f"{dataset.name.removesuffix('/all')}/{split}"
    if split == "all":
        return dataclasses.replace(dataset, name=name)
    if options.by == "rows":
        assigned_to = rows_assigned(dataset, options.fractions, options.seed)
        return dataset.of_rows(np.flatnonzero(assigned_to == SPLITS.index(split)), name)
    if dataset.label_sets is not None:
        if options.by == "groups":
            raise DataError(
                f"{dataset.name} has label sets, whose labels are in no groups; share out labels with by='classes', or rows with by='rows'."
            )
        splits = assigned(dataset.label_names, dataset.label_names, options, "labels")
        return dataset.of_labels([index for index, found in enumerate(splits) if found == split], name)
    if options.by == "groups" and dataset.values is None and dataset.groups == dataset.classes:
        raise DataError(
            f"{dataset.name} has no groups, so that none can be shared out; name the column that holds them with group=COLUMN, or put the "
            "folders of classes into folders of groups."
        )
    splits = assigned(dataset.classes, dataset.groups, options, dataset.nouns)
    return dataset.select([index for index, found in enumerate(splits) if found == split], name)


def of_found(dataset: Dataset, of_class: Sequence[str] | None, split: str, by: SplitBy | None = None) -> Dataset:
    """Return one split, by the split of each class if the data says, else shared out.

    Args:
        dataset: all of the data.
        of_class: split of each class; None if the data does not say.
        split: which split.
        by: what is shared out, as in `SplitOptions`; None: classes, or groups if only examples of one group can be compared, and there
            are several.

    Raises:
        DataError: the data has no such split.
        ConfigError: the data has splits of its own, and `by` is given.
    """
    if of_class is not None and by is not None:
        raise ConfigError(
            f"{dataset.name} has splits of its own ({', '.join(sorted({*of_class}))}); leave split_by={by!r} out."
        )
    if of_class is None or split == "all":
        whole = dataset.spec.by_group and len(set(dataset.groups)) > 1 and dataset.groups != dataset.classes
        return chosen(dataset, split, SplitOptions(by=by or ("groups" if whole else "classes")))
    check(dataset.name, split, sorted({*of_class, "all"}))
    return dataset.select([index for index, found in enumerate(of_class) if found == split], f"{dataset.name}/{split}")


def check(name: str, split: str, splits: Sequence[str] = SPLITS) -> None:
    """Raise a DataError unless the data set has this split."""
    if split not in splits:
        raise DataError(f"the data set {name} has no split {split!r}; expected one of {', '.join(splits)}.")


def split_of(folder: str) -> str | None:
    """Return the split that a folder's name stands for, in any spelling, or None.

    >>> [split_of(name) for name in ("Train", "valid_set", "testing-images", "dev", "train2017", "trains", "contest")]
    ['train', 'val', 'test', 'val', 'train', None, None]
    """
    words = [word for word in re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", folder).lower()) if word]
    extra = EXTRA.union(*((name, kind.nouns) for name, kind in kinds().items()))
    words = [word for word in words if word not in extra]
    return FOLDERS.get("".join(words).removesuffix("set"))


def own_splits(classes: Sequence[ClassFiles], label: str) -> tuple[list[ClassFiles], list[str] | None]:
    """Take folders such as `train`, `val` and `test` off the class names.

    This is done only if all examples lie in folders with such names, in any spelling, and if the folders stand for two splits or
    more. Examples that lie directly in such a folder, as competitions have them in `test`, have no class and are left out, with a
    warning. If two such folders share a class, they split examples and not classes: then the examples of each class are put
    together, with a warning. If other folders stand beside them, all are taken for groups, with a warning.

    Returns:
        The classes without these folders, and the split of each, or None if the data has no splits of its own.
    """
    found = {entry.name: split_of(entry.name.split("/")[0]) for entry in classes}
    if not any(found.values()):
        _warn_of_twins(classes, label)
        return list(classes), None
    inside = [entry for entry in classes if found[entry.name] and "/" in entry.name]
    loose = [entry for entry in classes if found[entry.name] and "/" not in entry.name]
    others = sorted({entry.name.split("/")[0] for entry in classes if not found[entry.name]})
    tops = sorted({entry.name.split("/")[0] for entry in classes if found[entry.name]})
    if not inside:  # classes that happen to be called so
        if len(tops) > 1:
            _warn(label, f"{', '.join(tops)} look like splits but hold no class folders, so each is taken for a class")
        return list(classes), None
    if others:
        _warn(
            label,
            f"{', '.join(tops)} look like splits, but {shortened(others)} beside them does not, so all are taken for groups of "
            "classes; put everything into train, val and test folders, or give one of the folders alone",
        )
        return list(classes), None
    if loose:
        count = sum(len(entry.paths) for entry in loose)
        _warn(
            label,
            f"left out {count} files in {', '.join(entry.name for entry in loose)}, because they lie in no class folder there",
        )
    return _by_folder(inside, {name: split for name, split in found.items() if split}, label)


def _by_folder(
    classes: Sequence[ClassFiles], found: Mapping[str, str], label: str
) -> tuple[list[ClassFiles], list[str] | None]:
    """Return classes that all lie in folders of splits without these folders, and the split of each."""
    short = [entry.name.partition("/")[2] for entry in classes]
    splits = [found[entry.name] for entry in classes]
    if len(set(short)) < len(short):
        shared = sorted({name for name in short if short.count(name) > 1})
        tops = sorted({entry.name.split("/")[0] for entry in classes})
        _warn(
            label,
            f"{', '.join(tops)} share classes ({shortened(shared)}), so they split examples and not classes. The examples of each "
            "class are put together, and the classes are split by name",
        )
        return merged(classes), None
    renamed = [ClassFiles(name, group_of(name), entry.paths) for name, entry in zip(short, classes, strict=True)]
    return renamed, splits if len(set(splits)) > 1 else None


def _warn_of_twins(classes: Sequence[ClassFiles], label: str) -> None:
    """Warn if every top folder holds classes of the same names, as folders that split examples do."""
    below: dict[str, set[str]] = {}
    for entry in classes:
        top, _, rest = entry.name.partition("/")
        below.setdefault(top, set()).add(rest)
    names = list(below.values())
    if len(names) > 1 and all(found == names[0] and "" not in found for found in names):
        _warn(
            label,
            f"{shortened(sorted(below))} all hold classes of the same names ({shortened(sorted(names[0]))}), which are told apart as "
            "if they were different; if they are the same, put their files together",
        )


def _warn(label: str, words: str) -> None:
    warnings.warn(f"{label}: {words}.", DataWarning, stacklevel=3)


def merged(classes: Sequence[ClassFiles]) -> list[ClassFiles]:
    """Leave out the top folder of every class, and put the files of classes that are then the same together."""
    paths: dict[str, list[str]] = {}
    for entry in classes:
        paths.setdefault(entry.name.partition("/")[2] or entry.name, []).extend(entry.paths)
    return [ClassFiles(name, group_of(name), tuple(paths[name])) for name in sorted(paths)]


def _order(unit: str, seed: int) -> bytes:
    """Return the hash by which classes are sorted."""
    return hashlib.sha256(encoded(f"{seed}/{unit}")).digest()
