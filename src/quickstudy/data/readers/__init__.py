"""Readers of data: one file per format. Adding a file adds a format.

A file defines `EXPECTED` (what it reads, in words), `recognises(path)`, `kind(path)` and `read(path, wanted)`; and, if something is said of
files of this format alone, `WISHES` (each with its explanation), `SEVERAL` (which of them are lists), `SETTLES` (the kind of input that
one of them stands for) and `ANSWERS` (the kind of answer that one of them stands for).
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import pathlib
import zipfile
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol, cast

import numpy as np

from quickstudy import discovery
from quickstudy.data.dataset import Dataset
from quickstudy.data.tree import suffix_of
from quickstudy.errors import DataError, QuickstudyError
from quickstudy.inputs import InputSpec, kind_of_array, kind_of_files, kinds


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The wishes with which data of a user's own is read.

    Args:
        spec: what examples must become, such as a learner's; None: what the data itself suggests.
        wishes: what the owner says of the data, such as its polarity.
        strict: True: the first unreadable example is an error; False: unreadable ones are left out, with a `DataWarning`.
    """

    spec: InputSpec | None = None
    wishes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    strict: bool = False

    def of_kind(self, kind: type[InputSpec], array: np.ndarray | None = None) -> tuple[InputSpec, dict[str, Any]]:
        """Return the spec of examples of this kind, and the options with which they are read.

        Raises:
            DataError: a wish is impossible, or the wanted spec is of another kind.
        """
        strange = [name for name in self.wishes if name not in kind.wishes()]
        if strange:
            raise DataError(f"{strange[0]} is given, but the data holds {kind.nouns}, which have no such option; leave it out.")
        if self.spec is None:
            return kind.own(array, **self.wishes), {}
        if not isinstance(self.spec, kind):
            raise DataError(f"the data holds {kind.nouns}, but {self.spec} are expected; give data of that kind.")
        return self.spec, self.spec.how(**self.wishes)

    def without(self, names: Collection[str]) -> Wanted:
        """Return the same without some of the wishes, which a reader has fulfilled."""
        return dataclasses.replace(self, wishes={name: value for name, value in self.wishes.items() if name not in names})

    def of_array(self, array: np.ndarray) -> tuple[InputSpec, dict[str, Any]]:
        """Return the spec of the examples in an array, and the options with which they are read."""
        return self.of_kind(kind_of_array(array), array)


@dataclasses.dataclass(frozen=True)
class Found:
    """A data set that was read, and what it says of its splits.

    Args:
        dataset: all classes.
        splits: the split of each class, if the data says; None: classes are shared out by name.
    """

    dataset: Dataset
    splits: list[str] | None = None


class Reader(Protocol):
    """A file of this folder."""

    EXPECTED: str

    def recognises(self, path: pathlib.Path) -> bool:
        """Return whether an existing path is of this format."""
        ...

    def kind(self, path: pathlib.Path) -> str | None:
        """Return the kind of input that a path of this format seems to hold, by a quick look; None if that does not tell."""
        ...

    def read(self, path: pathlib.Path, wanted: Wanted) -> Found:
        """Return all examples of a path."""
        ...


def kind_of(path: pathlib.Path) -> str | None:
    """Return the kind of input that an existing path seems to hold, by a quick look; None if that does not tell."""
    reader = next((reader for reader in _readers() if reader.recognises(path)), None)
    with contextlib.suppress(QuickstudyError, OSError, ValueError, zipfile.BadZipFile):  # reading it says what is wrong
        return None if reader is None else reader.kind(path)
    return None


def kind_by_endings(paths: Iterable[str], count: int = 200) -> str | None:
    """Return the kind of input that most of the first `count` files hold, by their endings; None if they are of no kind.

    >>> kind_by_endings(["a/1.txt", "a/2.txt", "b/notes.md"])
    'text'
    """
    found = kind_of_files(suffix_of(path) for path in itertools.islice(paths, count))
    return None if found is None else next(name for name, kind in kinds().items() if kind is found)


def wishes() -> dict[str, str]:
    """Return what can be said of files of some formats alone, each with its explanation.

    >>> list(wishes())
    ['image', 'smiles', 'sound', 'text', 'label', 'value', 'labels', 'separator', 'group', 'columns']
    """
    return {name: words for module in _readers() for name, words in getattr(module, "WISHES", {}).items()}


def several() -> set[str]:
    """Return which of these are lists.

    >>> sorted(several())
    ['columns', 'value']
    """
    return set().union(*(getattr(module, "SEVERAL", ()) for module in _readers()))


def settled(said: Collection[str]) -> str | None:
    """Return the kind of input that data holds if these things are said of it; None if they do not tell.

    >>> settled(["label", "text"]), settled(["sound", "text"])
    ('text', 'several')
    """
    found = _all_told(said, "SETTLES")
    return "several" if len(found) > 1 else next(iter(found), None)


def answered(said: Collection[str]) -> str | None:
    """Return the kind of answer that data holds if these things are said of it; None if they do not tell.

    >>> answered(["group", "value"])
    'values'
    """
    return next(iter(_all_told(said, "ANSWERS")), None)


def _all_told(said: Collection[str], table: str) -> list[str]:
    """Return all that these things stand for, each once, by the table of this name that readers have."""
    kinds = {name: kind for module in _readers() for name, kind in getattr(module, table, {}).items()}
    return [*dict.fromkeys(kinds[name] for name in said if name in kinds)]


def _readers() -> list[Reader]:
    return [cast(Reader, discovery.module("data/readers", name)) for name in discovery.names("data/readers")]


def read(path: pathlib.Path, wanted: Wanted) -> Found:
    """Return all examples of a path, read by the reader that recognises it.

    Raises:
        DataError: no reader does, or the data cannot be read.
    """
    for reader in _readers():
        if reader.recognises(path):
            return reader.read(path, wanted)
    expected = ", ".join(reader.EXPECTED for reader in _readers())
    remedy = "Save a table as csv, with a line of column names."
    raise DataError(f"{str(path)!r} is no file that can be read as data; expected one of: {expected}. {remedy}", remedy=remedy)
