"""From what a user has (image files, Pillow images, arrays, rows of numbers) to what the network sees."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from quickstudy.data.image import Ink, load_image
from quickstudy.errors import DataError
from quickstudy.runtime.manifest import ImageInput, RowsInput


def to_input(examples: Sequence[Any] | np.ndarray, expected: ImageInput | RowsInput, ink: Ink | None = None) -> np.ndarray:
    """float32 `[example, channel, height, width]` or `[example, feature]`.

    Args:
        examples: a list of images (paths, encoded bytes, Pillow images, arrays), or rows of numbers.
        expected: what the learner was trained on.
        ink: polarity of the images, where it is not the learner's.

    Raises:
        DataError: unreadable images, wrong shapes, numbers that are none, or no example at all.
    """
    if isinstance(examples, str | bytes | pathlib.Path):
        raise DataError(f"one image was given ({str(examples)[:80]}); expected a list of images.")
    if len(examples) == 0:
        raise DataError("no example was given; expected at least one.")
    if isinstance(expected, ImageInput):
        pixels = np.stack([load_image(image, expected.spec, ink=ink) for image in examples])
        return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)) * np.float32(expected.scale) + np.float32(expected.offset)
    try:
        rows = np.asarray(examples, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"the rows are no table of numbers ({error}); expected [example, {expected.features}].") from error
    if rows.ndim != 2 or rows.shape[1] != expected.features:
        raise DataError(f"the rows have shape {list(rows.shape)}; expected [example, {expected.features}].")
    if not np.isfinite(rows).all():
        raise DataError(
            f"the rows hold {int((~np.isfinite(rows)).sum())} values that are NaN or infinite; replace or drop them."
        )
    return rows
