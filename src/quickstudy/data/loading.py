"""load: one split of a data set, by the name of a known set or by path."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Collection, Mapping
from typing import Any, get_args

from quickstudy import inputs
from quickstudy.data import known, readers, splits
from quickstudy.data.dataset import Dataset
from quickstudy.data.places import expanded, kind_of_path, matching
from quickstudy.errors import ConfigError, DataError, NotFoundError, check_choice
from quickstudy.inputs import InputSpec

SPLIT_BY = "split_by"
"""Name of the wish that says what is shared out among splits."""


def load(
    name_or_path: str | pathlib.Path,
    split: str = "train",
    *,
    spec: InputSpec | None = None,
    data_dir: str | pathlib.Path | None = None,
    strict: bool = False,
    **wishes: Any,
) -> Dataset:
    """Return one split of a data set: examples of one spec, sorted by class.

    Args:
        name_or_path: a known set (`known.names()`), or the path of your own data: a folder or zip with one folder per class, an .npz
            with examples and labels, a table (csv, tsv, jsonl or parquet) of texts or of numbers and categories, a folder of such tables
            or a pattern (`folder/*.csv`), or an idx file of images. A name wins over a path; write `./omniglot` for the path.
        split: `train`, `val`, `test` or `all`; known sets have their own, as their docs say. Of your own data, splits are sets of classes:
            those in its folders `train`, `val` and `test`, or else shared out by class name (`SplitOptions` has other ways).
        spec: what examples must become, such as a saved learner's `spec`; None: what the data itself is.
        data_dir: folder in which known sets are, or to which they are downloaded. None: environment variable `QUICKSTUDY_DATA`, or the
            user's cache folder.
        strict: True: the first unreadable file is an error; False: unreadable files are left out, with a `DataWarning`.
        wishes: what only you know of your own data. `split_by`: what is shared out among splits, `classes`, whole `groups` (such as
            voices), or the `rows` of every class. Of images: `size` (height and width in pixels), `channels` (1 or 3), and `ink` (`"dark"`
            for drawings in dark on light; `"light"` for light on dark, and for photos). Of sounds: `rate`, `seconds`, `mels` and `trim`.
            Of tables: the names of columns (`label`, `labels`, `value`, `columns`, `group`, `text`, `sound`, `smiles`), `separator`,
            `scaling` and `width`. Of molecules: `bits` and `radius`. Known sets take `size`, `width` and what is said of sounds.

    Returns:
        The classes of the split. Files that were read are kept in the cache folder (environment variable `QUICKSTUDY_CACHE`).

    Raises:
        NotFoundError: no such path.
        DataError: no such split, no examples, damaged files, a download that failed.
        ConfigError: no known set of this name and no such path, or a wish that no kind of data knows.

    >>> digits = load("digits", "all")
    >>> digits.examples["image"].shape, len(digits.classes)
    ((1797, 28, 28, 1), 10)
    """
    said, name = _said(wishes), str(name_or_path)
    by = said.pop(SPLIT_BY, None)
    if known.module_name(name) in known.names():
        _refuse_to_share_out(name, by)
        return known.read(name, split, spec, data_dir, strict, said)
    path = expanded(name_or_path)
    if not kind_of_path(path) and not matching(path):
        raise _missing(name, path)
    splits.check(path.name, split)
    found = readers.read(path, readers.Wanted(spec, said, strict))
    return splits.of_found(found.dataset, found.splits, split, by)


def kind_of(name_or_path: str | pathlib.Path) -> str | None:
    """Return the kind of input that data seems to hold, by a quick look; None if that does not tell, or if there is no such data.

    >>> kind_of("omniglot"), kind_of("clinc150")
    ('image', 'text')
    """
    name = known.module_name(str(name_or_path))
    if name in known.names():
        return known.get(name).SPEC.kind
    with contextlib.suppress(DataError):
        path = expanded(name_or_path)
        return readers.kind_of(path) if kind_of_path(path) or matching(path) else None
    return None


def target_of(name_or_path: str | pathlib.Path, said: Collection[str] = ()) -> str | None:
    """Return the kind of answer that data holds, by its name or by what is said of it; None if these do not tell.

    Args:
        name_or_path: a known set, or the path of your own data.
        said: names of what is said of a table, such as `value`.

    >>> target_of("omniglot"), target_of("mine.csv", ["value"]), target_of("mine.csv")
    ('classes', 'values', None)
    """
    name = known.module_name(str(name_or_path))
    return readers.answered(said) or (known.target_of(name) if name in known.names() else None)


def _said(wishes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the wishes that say something, or raise a ConfigError for one that no kind of data knows."""
    known_ones = [*inputs.wishes(), *readers.wishes(), SPLIT_BY]
    strange = [name for name in wishes if name not in known_ones]
    if strange:
        raise ConfigError(f"load has no option {strange[0]!r}; expected some of {', '.join(known_ones)}.")
    said = {name: value for name, value in wishes.items() if value is not None}
    if SPLIT_BY in said:
        check_choice(SPLIT_BY, said[SPLIT_BY], get_args(splits.SplitBy))
    return said


def _refuse_to_share_out(name: str, by: str | None) -> None:
    """Raise a ConfigError if somebody says how the splits of a known set are to be made."""
    if by is not None:
        raise ConfigError(f"{name} has splits of its own; leave {SPLIT_BY}={by!r} out.", subject=SPLIT_BY)


def _missing(name: str, path: pathlib.Path) -> ConfigError | NotFoundError:
    """Return the error for a name that is neither a known set nor a path; it names the folder in which a relative path was looked for."""
    where = "" if path.is_absolute() else f" in {str(pathlib.Path.cwd())!r}"
    if len(path.parts) == 1 and not path.suffix:
        try:
            known.get(name)
        except ConfigError as error:
            return ConfigError(f"{error} There is no file or folder {name!r}{where} either.")
    return NotFoundError(
        f"there is no file or folder {name!r}{where}; check the path, or give one of {', '.join(known.names())}.", subject=name
    )
