"""Readers of data: one file per format. Adding a file adds a format.

A file defines `EXPECTED` (what it reads, in words), `recognises(path)` and `read(path, wanted)`.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any, Protocol, cast

import numpy as np

from quickstudy import discovery
from quickstudy.data.dataset import Dataset
from quickstudy.errors import DataError
from quickstudy.inputs import InputSpec, kind_of_array


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
        if self.spec is None:
            return kind.own(array, **self.wishes), {}
        if not isinstance(self.spec, kind):
            raise DataError(f"the data holds {kind.nouns}, but {self.spec} are expected; give data of that kind.")
        return self.spec, self.spec.how(**self.wishes)

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

    def read(self, path: pathlib.Path, wanted: Wanted) -> Found:
        """Return all examples of a path."""
        ...


def read(path: pathlib.Path, wanted: Wanted) -> Found:
    """Return all examples of a path, read by the reader that recognises it.

    Raises:
        DataError: no reader does, or the data cannot be read.
    """
    readers = [cast(Reader, discovery.module("data/readers", name)) for name in discovery.names("data/readers")]
    for reader in readers:
        if reader.recognises(path):
            return reader.read(path, wanted)
    expected = ", ".join(reader.EXPECTED for reader in readers)
    remedy = "Save a table of numbers with numpy.savez('table.npz', rows=numbers, labels=names)."
    raise DataError(f"{str(path)!r} is no file that can be read as data; expected one of: {expected}. {remedy}", remedy=remedy)
