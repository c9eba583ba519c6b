"""Labels: any subset of some labels for each example, such as red and round, or none of them. No torch here."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from quickstudy.errors import DataError, InputWarning, TaskError
from quickstudy.targets._reading import is_table, unwrapped
from quickstudy.targets.classes import ClassTarget, checked, extended

SEPARATOR = ";"
"""Sign between the labels of a text such as `red;round`."""


@dataclasses.dataclass(frozen=True)
class _Sets:
    """Labels of some examples.

    Args:
        sets: labels of each example, each once.
        named: labels that the user named, whether some example has them or not.
        nameless: whether these are columns without names, which are counted.
    """

    sets: tuple[tuple[Any, ...], ...]
    named: tuple[Any, ...]
    nameless: bool = False

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.sets)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Return the labels of one example after the other."""
        return iter(self.sets)


class LabelTarget:
    """Answers that are sets of labels. Rows are ones and zeros, `[example, label]`: whether the example has the label."""

    name = "labels"
    axes: ClassVar[tuple[str, ...]] = ()

    def read(self, y: Any) -> _Sets:
        """Return the labels of each example, as Python's own types.

        Args:
            y: a list with a text such as `red;round` (an empty one for no label) or a list, tuple or set of labels for each example; or
                ones and zeros `[example, label]`, as an array, a tensor or a table, whose columns' names are then the labels.

        Raises:
            DataError: numbers other than 0 and 1, or labels that are missing or cannot be found again.

        >>> list(LabelTarget().read(["red;round", "", ["round"]]))
        [('red', 'round'), (), ('round',)]
        >>> list(LabelTarget().read(np.array([[0, 1], [1, 1]])))
        [(1,), (0, 1)]
        """
        names = [*y.columns] if is_table(y) else None
        given = unwrapped(y, "label sets")
        if hasattr(given, "__array__") and np.asarray(given).ndim == 2:
            return _of_columns(np.asarray(given), names)
        entries = list(np.asarray(given)) if hasattr(given, "__array__") else list(given)
        _check_no_columns(entries)
        sets = tuple(_one(place, entry) for place, entry in enumerate(entries))
        return _Sets(sets, tuple(dict.fromkeys(label for one in sets for label in one)))

    def joined(self, known: Sequence[Any], answers: _Sets) -> tuple[Any, ...]:
        """Return all labels: the known ones, then the new ones; raise a DataError for columns without names if other names are known."""
        if answers.nameless and not all(isinstance(label, int) for label in known):
            names = ", ".join(map(repr, known))
            raise DataError(
                f"label sets came as {len(answers.named)} columns without names, but {names} are known; give a table whose columns have "
                "names, or a list of labels for each example."
            )
        return tuple(extended(known, answers.named))

    def rows(self, answers: _Sets, labels: Sequence[Any]) -> np.ndarray:
        """Return ones and zeros, float32 `[example, label]`; raise a DataError for a label that is not among these."""
        column = {label: place for place, label in enumerate(labels)}
        strange = [label for label in answers.named if label not in column]
        if strange:
            known = ", ".join(map(repr, labels))
            raise DataError(
                f"{strange[0]!r} is none of the labels, which are {known}; leave it out, or name it too.",
                subject=str(strange[0]),
            )
        rows = np.zeros((len(answers), len(labels)), np.float32)
        for place, labels_of_one in enumerate(answers):
            rows[place, [column[label] for label in labels_of_one]] = 1
        return rows

    def answers(self, rows: np.ndarray, labels: Sequence[Any]) -> list[list[Any]]:
        """Return the labels of each example whose logits, `[example, label]`, say that they are likelier there than not."""
        return [[labels[place] for place in np.flatnonzero(row > 0).tolist()] for row in rows]

    def given(self, rows: np.ndarray, labels: Sequence[Any]) -> list[list[Any]]:
        """Return the answers that `rows` made these rows of."""
        return self.answers(rows - 0.5, labels)

    def together(self, earlier: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return earlier rows and later ones, which have a column for every label; earlier examples have none of the new labels."""
        return ClassTarget().together(earlier, rows)

    def check_savable(self, labels: Sequence[Any]) -> None:
        """Raise a DataError if a label cannot be kept in a file."""
        ClassTarget().check_savable(labels)

    def check_several(self, labels: Sequence[Any]) -> None:
        """Raise a TaskError if there is no label at all; a single one may be told from its absence."""
        if not labels:
            raise TaskError("no example has a label; give examples that have some, so that they can be told from the others.")

    def warn_of_unshown(self, rows: np.ndarray, labels: Sequence[Any]) -> None:
        """Warn of labels that no example has, or that all have: nothing can be learned of them."""
        counts = rows.sum(0)
        for lacking, said in ((counts == 0, "no example has"), (counts == len(rows), "every example has")):
            if lacking.any():
                names = ", ".join(repr(labels[place]) for place in np.flatnonzero(lacking).tolist())
                warnings.warn(
                    f"{said} the label{'s' if lacking.sum() > 1 else ''} {names}, so that nothing tells when it applies; add examples with "
                    "it and without it.",
                    InputWarning,
                    stacklevel=4,
                )


def split(text: str, separator: str = SEPARATOR) -> tuple[str, ...]:
    """Return the labels in a text, each once and without blanks around it.

    >>> split(" red;round ;red;")
    ('red', 'round')
    """
    return tuple(dict.fromkeys(part.strip() for part in text.split(separator) if part.strip()))


def _check_no_columns(entries: Sequence[Any]) -> None:
    """Raise a DataError for lists of ones and zeros, which may be meant as columns, as those of an array are."""
    lists = [entry for entry in entries if isinstance(entry, list | tuple) and len(entry) > 1]
    alike = len(lists) == len(entries) > 0 and len({len(entry) for entry in lists}) == 1
    if alike and all(isinstance(label, int | float) and label in (0, 1) for entry in lists for label in entry):
        raise DataError(
            "label sets are lists of ones and zeros of one length, which may be columns or labels; give columns as an array, "
            "np.asarray(y), and labels as texts."
        )


def _one(place: int, entry: Any) -> tuple[Any, ...]:
    """Return the labels of one example."""
    if isinstance(entry, str):
        return split(entry)
    if hasattr(entry, "detach"):
        entry = entry.detach().cpu().numpy()
    if isinstance(entry, np.ndarray) and entry.ndim == 1:
        entry = entry.tolist()
    if not isinstance(entry, list | tuple | set | frozenset):
        raise DataError(
            f"the labels of example {place} are {entry!r}, a {type(entry).__name__}; expected a text such as 'red{SEPARATOR}round', a list "
            "of labels, or ones and zeros [example, label] for all examples together."
        )
    ordered: Iterable[Any] = sorted(entry, key=repr) if isinstance(entry, set | frozenset) else entry
    return tuple(dict.fromkeys(checked(ordered)))


def _of_columns(rows: np.ndarray, names: Sequence[Any] | None) -> _Sets:
    """Return the labels that ones and zeros `[example, label]` say; labels without a name are numbers."""
    if rows.dtype.kind not in "biuf" or not np.isin(rows, (0, 1)).all():
        raise DataError(
            f"the label sets are {rows.dtype} of shape {list(rows.shape)}, and not all of them are 0 or 1; expected a column of ones and "
            "zeros for each label."
        )
    labels = tuple(checked(range(rows.shape[1]) if names is None else names))
    return _Sets(tuple(tuple(labels[place] for place in np.flatnonzero(row)) for row in rows), labels, names is None)
