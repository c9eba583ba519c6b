"""Data sets known by name, one file each: `known/omniglot.py` is `load("omniglot")`.

A file defines `SPEC` (what its examples are), `SPLITS` (the names of its splits) and `read(split, spec, data_dir, strict)`, for
specs that differ from `SPEC` in size at most, and `TARGET` if its answers are not classes. Adding a file adds a name.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any, Protocol, cast

from quickstudy import discovery
from quickstudy.data import splits
from quickstudy.data.dataset import Dataset
from quickstudy.errors import DataError
from quickstudy.inputs import InputSpec

FOLDER = "data/known"


class KnownSet(Protocol):
    """A file of this folder."""

    SPEC: Any
    SPLITS: tuple[str, ...]

    def read(self, split: str, spec: Any, data_dir: str | pathlib.Path | None, strict: bool) -> Dataset:
        """Return the classes of one split."""
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


def target_of(name: str) -> str:
    """Return the kind of answer that the known set of this name holds.

    >>> target_of("omniglot"), target_of("glucose")
    ('classes', 'values')
    """
    return getattr(get(name), "TARGET", "classes")


def read(
    name: str,
    split: str,
    spec: InputSpec | None,
    data_dir: str | pathlib.Path | None,
    strict: bool,
    wishes: Mapping[str, Any],
) -> Dataset:
    """Return one split of a known set, as `spec` says if one is given.

    Raises:
        DataError: no such split, a wish that the set does not leave open, or a spec of another kind.
    """
    chosen = get(name)
    splits.check(name, split, chosen.SPLITS)
    own: InputSpec = chosen.SPEC
    fixed = [wish for wish in wishes if wish not in own.resizable]
    if fixed:
        raise DataError(f"{name} is a known set, whose {fixed[0]} is fixed; leave out {', '.join(fixed)}.")
    wanted = own.wished(**wishes) if wishes else own
    if spec is None:
        return chosen.read(split, wanted, data_dir, strict)
    if spec.kind != own.kind:
        raise DataError(f"{name} holds {own.nouns}, but {spec} are expected; give data of that kind.")
    spec.how(**wishes)
    return chosen.read(split, own.resized(spec), data_dir, strict).converted(spec)


def module_name(name: str) -> str:
    """Return the file that a name stands for.

    >>> module_name("CIFAR-FS")
    'cifar_fs'
    """
    return name.replace("-", "_").lower()
