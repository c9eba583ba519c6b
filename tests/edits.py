"""Edit distances and error rates in plain Python, beside which those of tensors are tested."""

from __future__ import annotations

from collections.abc import Sequence


def edit_distance(found: Sequence[object], wanted: Sequence[object]) -> int:
    """Return the least number of entries to insert, delete or replace so that one sequence becomes the other (Levenshtein 1966).

    >>> edit_distance("kitten", "sitting")
    3
    """
    row = list(range(len(wanted) + 1))
    for place, entry in enumerate(found, 1):
        diagonal, row[0] = row[0], place
        for column, other in enumerate(wanted, 1):
            diagonal, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, diagonal + (entry != other))
    return row[-1]


def character_error_rate(found: Sequence[str], wanted: Sequence[str]) -> float:
    """Return the edits of characters that turn all found texts into the wanted ones, per wanted character; it may exceed 1.

    >>> character_error_rate(["three one", "to"], ["three one", "two"])
    0.08333333333333333
    """
    return _rate([(one, other) for one, other in zip(found, wanted, strict=True)])


def word_error_rate(found: Sequence[str], wanted: Sequence[str]) -> float:
    """Return the edits of words that turn all found texts into the wanted ones, per wanted word; it may exceed 1.

    >>> word_error_rate(["three one", "to"], ["three one", "two"])
    0.3333333333333333
    """
    return _rate([(one.split(), other.split()) for one, other in zip(found, wanted, strict=True)])


def _rate(pairs: Sequence[tuple[Sequence[object], Sequence[object]]]) -> float:
    """Return the edits of all pairs together, per entry that is wanted; without any, the number of entries that were found."""
    edits = sum(edit_distance(found, wanted) for found, wanted in pairs)
    return edits / max(1, sum(len(wanted) for _, wanted in pairs))
