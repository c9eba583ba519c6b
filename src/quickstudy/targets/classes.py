"""What users call their classes: anything hashable that equals itself. Checked once, in the order in which it is shown. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from quickstudy.errors import DataError


def plain(label: Any) -> Any:
    """A label as Python's own type.

    >>> plain(np.int64(3))
    3
    """
    return label.item() if isinstance(label, np.generic) else label


def checked(labels: Iterable[Any]) -> list[Any]:
    """Labels as Python's own types.

    Raises:
        DataError: a label that is not hashable, or not equal to itself.
    """
    found = [plain(label) for label in labels]
    for label in found:
        try:
            hash(label)
        except TypeError:
            raise DataError(
                f"label {label!r} is a {type(label).__name__}; expected something hashable, such as a text or a number."
            ) from None
        if label != label:
            raise DataError(f"label {label!r} is not equal to itself, so nothing could be found under it; choose another.")
    return found


def extended(known: Sequence[Any], labels: Sequence[Any]) -> list[Any]:
    """The known labels, then the new ones: sorted, or in order of appearance where they cannot be compared.

    >>> extended(["z"], ["b", "z", "a"])
    ['z', 'a', 'b']
    """
    new = set(labels) - set(known)
    try:
        return [*known, *sorted(new)]
    except TypeError:
        return [*known, *(label for label in dict.fromkeys(labels) if label in new)]


def as_array(labels: Sequence[Any]) -> np.ndarray:
    """Labels `[way]`, of their own type where they have one in common.

    >>> as_array([("a", 1), ("b", 2)]).shape
    (2,)
    """
    kinds = {type(label) for label in labels}
    if len(kinds) == 1 and kinds <= {str, int, float, bool}:
        return np.array(labels)
    array = np.empty(len(labels), dtype=object)
    for index, label in enumerate(labels):  # assigning them at once would unpack tuples
        array[index] = label
    return array
