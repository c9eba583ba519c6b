"""Classes: labels become ways and back. A label is anything hashable that equals its copies, in the user's words. No torch here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from quickstudy.errors import DataError, TaskError
from quickstudy.targets._reading import ONE_EACH, is_table, scalar, unwrapped


class ClassTarget:
    """Answers that are classes. Rows are one-hot, `[example, way]`; `labels` says what each way stands for."""

    name = "classes"
    axes: ClassVar[tuple[str, ...]] = ()

    def read(self, y: Any) -> list[Any]:
        """Return one label per example, as Python's own types.

        Args:
            y: a list, an array `[example]` or `[example, 1]`, a tensor, or a column of a table.

        Raises:
            DataError: a label is missing, infinite, not hashable, or equal to nothing but itself; or there is not one per example.
        """
        if is_table(y) and len(y.columns) != 1:
            raise DataError(f"the labels are a table of {len(y.columns)} columns; {ONE_EACH}. Choose a column of it.")
        given = unwrapped(y, "labels")
        if hasattr(given, "__array__"):
            given = _column(np.asarray(given))
        labels = checked(given)
        infinite = [label for label in labels if isinstance(label, float) and math.isinf(label)]
        if infinite:
            raise DataError(
                f"label {infinite[0]} is infinite, and could not be saved; choose another, or leave these examples out."
            )
        return labels

    def joined(self, known: Sequence[Any], answers: Sequence[Any]) -> tuple[Any, ...]:
        """Return the labels of all ways: the known ones, then the new ones."""
        return tuple(extended(known, answers))

    def rows(self, answers: Sequence[Any], labels: Sequence[Any]) -> np.ndarray:
        """Return one-hot rows, float32 `[example, way]`."""
        position = {label: way for way, label in enumerate(labels)}
        return np.eye(len(labels), dtype=np.float32)[[position[label] for label in answers]]

    def answers(self, rows: np.ndarray, labels: Sequence[Any]) -> list[Any]:
        """Return the label of the largest entry of each row."""
        return [labels[way] for way in rows.argmax(-1)]

    def given(self, rows: np.ndarray, labels: Sequence[Any]) -> list[Any]:
        """Return the answers that `rows` made these rows of."""
        return self.answers(rows, labels)

    def together(self, earlier: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return earlier rows and later ones, which have a column for every way."""
        return np.concatenate([np.pad(earlier, ((0, 0), (0, rows.shape[1] - earlier.shape[1]))), rows])

    def check_savable(self, labels: Sequence[Any]) -> None:
        """Raise a DataError if a label cannot be kept in a file."""
        for label in labels:
            if not isinstance(label, str | int | float | bool):
                raise DataError(
                    f"label {label!r} is a {type(label).__name__}; a saved skill holds texts, numbers and truth values."
                )
            # a file name that is not UTF-8 has surrogates, which JSON cannot hold
            if isinstance(label, str) and any("\ud800" <= letter <= "\udfff" for letter in label):
                raise DataError(f"label {label!r} is no valid Unicode, and could not be saved; rename it.")

    def check_several(self, labels: Sequence[Any]) -> None:
        """Raise a TaskError if there is a single class."""
        if len(labels) < 2:
            raise TaskError(
                f"there is a single class, {labels[0]!r}; give examples of at least two, so that they can be told apart."
            )


def plain(label: Any) -> Any:
    """Return a label as Python's own type, also inside of tuples.

    >>> plain((np.int64(3), "a"))
    (3, 'a')
    """
    return tuple(plain(part) for part in label) if type(label) is tuple else scalar(label)


def checked(labels: Iterable[Any]) -> list[Any]:
    """Return labels as Python's own types.

    Raises:
        DataError: a label is not hashable, not equal to itself, or equal to no other one.
    """
    found = [plain(label) for label in labels]
    for label in found:
        _check(label)
    return found


def extended(known: Sequence[Any], labels: Sequence[Any]) -> list[Any]:
    """Return the known labels, then the new ones: sorted, or in order of appearance if they cannot be compared.

    >>> extended(["z"], ["b", "z", "a"])
    ['z', 'a', 'b']
    """
    new = set(labels) - set(known)
    try:
        return [*known, *sorted(new)]
    except TypeError:
        return [*known, *(label for label in dict.fromkeys(labels) if label in new)]


def as_array(labels: Sequence[Any]) -> np.ndarray:
    """Return labels `[way]`, of their own type if they have one in common.

    >>> as_array([("a", 1), ("b", 2)]).shape
    (2,)
    """
    kinds = {type(label) for label in labels}
    if len(kinds) == 1 and kinds <= {str, int, float, bool, np.datetime64, np.timedelta64}:
        return np.array(labels)
    array = np.empty(len(labels), dtype=object)
    for index, label in enumerate(labels):  # assigning them at once would unpack tuples
        array[index] = label
    return array


def _column(array: np.ndarray) -> np.ndarray:
    """Return labels `[example]`, dates of NumPy as they are."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(
            f"the labels have shape {list(array.shape)}; {ONE_EACH}, [example] or [example, 1]. If they are one-hot, "
            "give argmax(-1) of them. Several labels for one example are learned by a learner of label sets (--labels)."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DataError("y contains NaN or infinity, which are no labels; leave these examples out.")
    return array


def _check(label: Any) -> None:
    """Raise a DataError if nothing could be found under this label again."""
    try:
        if hasattr(label, "detach"):  # the hash of a tensor is its identity
            raise TypeError
        number = hash(label)
    except TypeError:
        raise DataError(
            f"label {label!r} is a {type(label).__name__}; expected something hashable, such as a text or a number."
        ) from None
    if not _equals_itself(label):
        raise DataError(
            f"label {label!r} is not equal to itself, as missing values are; choose another, or leave the example out."
        )
    for part in label if isinstance(label, tuple | frozenset) else ():
        _check(part)
    if label is not None and number in (id(label), object.__hash__(label)):
        raise DataError(
            f"label {label!r} is a {type(label).__name__}, which equals nothing but itself, so that every example would be a class "
            "of its own; expected a text or a number."
        )


def _equals_itself(label: Any) -> bool:
    """Return whether a label is equal to itself; pandas' NA answers neither yes nor no."""
    try:
        return bool(label == label)
    except (TypeError, ValueError, RuntimeError):
        return False
