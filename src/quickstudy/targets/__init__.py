"""Kinds of answer: one file per kind, without torch; the file's name is the kind's name everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

from quickstudy import discovery
from quickstudy.targets._scale import ValueScale

__all__ = ["Target", "ValueScale", "axes", "find"]


class Target(Protocol):
    """A kind of answer: it turns what users give into rows of numbers, and rows into answers."""

    name: str
    axes: ClassVar[tuple[str, ...]]
    """Names of the axes of rows between those of the examples and of the outputs; none for classes and values."""

    def read(self, y: Any) -> Any:
        """Return the answers that a user gave, checked."""
        ...

    def joined(self, known: Sequence[Any], answers: Any) -> tuple[Any, ...]:
        """Return the labels of all columns after these answers too; values have none."""
        ...

    def rows(self, answers: Any, labels: Sequence[Any]) -> np.ndarray:
        """Return answers as rows of numbers, `[example, output]`."""
        ...

    def answers(self, rows: np.ndarray, labels: Sequence[Any]) -> list[Any]:
        """Return rows of numbers, such as outputs of a learner, as answers."""
        ...

    def given(self, rows: np.ndarray, labels: Sequence[Any]) -> list[Any]:
        """Return the answers that `rows` made these rows of."""
        ...

    def together(self, earlier: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return earlier rows and later ones as one array."""
        ...

    def check_savable(self, labels: Sequence[Any]) -> None:
        """Raise a DataError if a label cannot be kept in a file."""
        ...

    def check_several(self, labels: Sequence[Any]) -> None:
        """Raise a TaskError if there are too few classes to be told apart."""
        ...


def find(name: str, scale: ValueScale | None = None) -> Target:
    """Return the kind of answer of this name.

    Args:
        name: a file of this folder.
        scale: scale at which a learner sees values; None: as they are.

    >>> find("classes").read(np.array([3, 7]))
    [3, 7]
    """
    kind = discovery.load("targets", name)
    return kind() if scale is None else kind(scale)


def axes(name: str) -> tuple[str, ...]:
    """Return the names of the axes of rows between those of examples and outputs; none for a kind that is not known here.

    >>> axes("classes"), axes("sequences")
    ((), ('place',))
    """
    return find(name).axes if name in discovery.names("targets") else ()
