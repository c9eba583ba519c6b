"""Data sets known by name, one file each: `known/omniglot.py` is `load("omniglot")`.

A file defines `SPEC` (how its images are stored), `SPLITS` (the names of its splits) and `read(split, spec, data_dir,
strict)`. Adding a file adds a name.
"""

from __future__ import annotations

import pathlib
from typing import Protocol, cast

from quickstudy import discovery
from quickstudy.data.dataset import ImageDataset
from quickstudy.inputs.image import ImageSpec

FOLDER = "data/known"


class KnownSet(Protocol):
    """What a file in this folder defines."""

    SPEC: ImageSpec
    SPLITS: tuple[str, ...]

    def read(self, split: str, spec: ImageSpec, data_dir: str | pathlib.Path | None, strict: bool) -> ImageDataset:
        """The classes of one split."""
        ...


def names() -> list[str]:
    """Return the names of all known sets.

    >>> "omniglot" in names()
    True
    """
    return discovery.names(FOLDER)


def get(name: str) -> KnownSet:
    """Return the known set of this name; `cifar-fs` and `cifar_fs` are one.

    Raises:
        ConfigError: there is none.
    """
    file = module_name(name)
    return cast(KnownSet, discovery.module(FOLDER, file if file in names() else name))


def module_name(name: str) -> str:
    """Return the name of the file that a name stands for.

    >>> module_name("CIFAR-FS")
    'cifar_fs'
    """
    return name.replace("-", "_").lower()
