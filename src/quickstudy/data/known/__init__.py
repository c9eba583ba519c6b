"""Data sets known by name, one file each: `known/omniglot.py` is `load("omniglot")`.

A file defines `SPEC` (how its images are stored), `SPLITS` (the names of its splits) and `read(split, spec, data_dir,
strict)`. Adding a file adds a name.
"""

from __future__ import annotations

import importlib
import pathlib
import pkgutil
from typing import Protocol, cast

from quickstudy.data.dataset import ImageDataset
from quickstudy.errors import unknown_name
from quickstudy.inputs.image import ImageSpec


class KnownSet(Protocol):
    """What a file in this folder defines."""

    SPEC: ImageSpec
    SPLITS: tuple[str, ...]

    def read(self, split: str, spec: ImageSpec, data_dir: str | pathlib.Path | None, strict: bool) -> ImageDataset:
        """The classes of one split."""
        ...


def names() -> list[str]:
    """Names of all known sets.

    >>> "omniglot" in names()
    True
    """
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def get(name: str) -> KnownSet:
    """The known set of this name; `cifar-fs` and `cifar_fs` are one.

    Raises:
        ConfigError: there is none.
    """
    module = module_name(name)
    if module not in names():
        raise unknown_name("data set", name, names())
    return cast(KnownSet, importlib.import_module(f"{__name__}.{module}"))


def module_name(name: str) -> str:
    """The file that a name stands for.

    >>> module_name("CIFAR-FS")
    'cifar_fs'
    """
    return name.replace("-", "_").lower()
