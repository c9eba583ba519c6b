"""Glyphs: letters of many scripts, rendered from the fonts that matplotlib ships; whole scripts are held out. No download."""

from __future__ import annotations

import importlib.metadata
import pathlib

from quickstudy.data import glyphs, handwriting
from quickstudy.data.dataset import Dataset
from quickstudy.data.made import made
from quickstudy.errors import DataError
from quickstudy.inputs.image import ImageSpec

SPEC = ImageSpec(28, 28, 1, ink="dark")
SPLITS = ("train", "val", "test", "all")


def read(split: str, spec: ImageSpec, data_dir: str | pathlib.Path | None, strict: bool) -> Dataset:
    """Return the letters of one split's scripts, rendered once and then kept in the cache folder.

    The fonts are part of matplotlib: `data_dir` and `strict` change nothing.
    """
    if spec != SPEC:
        raise DataError(
            f"glyphs are drawn at 28x28 pixels, but {spec.height}x{spec.width} are wanted; leave out the size, or take a learner of 28x28."
        )
    return made(
        f"glyphs-{split}",
        SPEC,
        (glyphs, handwriting),
        importlib.metadata.version("matplotlib"),
        lambda: glyphs.load_glyphs(split),  # pyright: ignore[reportArgumentType]
    )
