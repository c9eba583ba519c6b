"""From what a user has (image files, Pillow images, arrays, rows of numbers; labels or values) to what the network sees."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import PIL.Image

from quickstudy.errors import DataError
from quickstudy.inputs import InputSpec
from quickstudy.inputs.image import Ink
from quickstudy.targets.classes import checked


def to_stored(examples: Sequence[Any] | np.ndarray, expected: InputSpec, ink: Ink | None = None) -> dict[str, np.ndarray]:
    """Return examples as the spec stores them, by name, `[example, ...]`.

    Args:
        examples: a list of images (paths, encoded bytes, Pillow images, arrays), or rows of numbers.
        expected: what the learner was trained on.
        ink: polarity of the images, where it is not the learner's.

    Raises:
        DataError: unreadable images, wrong shapes, numbers that are none, or no example at all.
    """
    how = {} if ink is None else {"ink": ink}
    return expected.read_all(examples, **how)


def to_labels(y: Sequence[Any]) -> list[Any]:
    """Labels that a task can learn, as Python's own types.

    Raises:
        DataError: a label that is not hashable, not equal to itself, or infinite, which a saved task could not hold.
    """
    labels = checked(y)
    infinite = [label for label in labels if isinstance(label, float) and math.isinf(label)]
    if infinite:
        raise DataError(
            f"label {infinite[0]} is infinite, and could not be saved; choose another, or leave these examples out."
        )
    return labels


def to_values(y: Any) -> np.ndarray:
    """What a regression learns, float32 `[example, value]`.

    Raises:
        DataError: text, or numbers that are none.
    """
    values = _numbers(y, "values of y", "a number, or a row of numbers, per example")
    if not np.isfinite(values).all():
        raise DataError("y holds NaN or infinity; leave these examples out.")
    return values.reshape(len(values), -1)


def check_several(examples: Any) -> None:
    """A DataError for one image alone, for what is no list, and for an empty list."""
    if isinstance(examples, str | bytes | pathlib.Path | PIL.Image.Image):
        raise DataError(f"one image was given ({str(examples)[:80]}); expected a list of images.")
    if counted(examples, "examples") == 0:
        raise DataError("no example was given; expected at least one.")


def counted(given: Any, name: str) -> int:
    """How many there are.

    Raises:
        DataError: they are no list.
    """
    try:
        return len(given)
    except TypeError:
        raise DataError(
            f"the {name} are a {type(given).__name__}; expected a list or an array, one entry per example."
        ) from None


def _numbers(given: Any, name: str, expected: str) -> np.ndarray:
    """A float32 copy. Text is no number, even where it reads like one."""
    try:
        found = np.asarray(given)
        if found.dtype.kind not in "biufO":
            raise TypeError(f"they are {found.dtype}")
        with np.errstate(over="ignore"):  # the infinity it gives is refused by name
            return found.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"the {name} are no table of numbers ({error}); expected {expected}.") from error
