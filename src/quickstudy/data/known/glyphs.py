"""Glyphs: letters of many scripts, rendered from the fonts that matplotlib ships; whole scripts are held out. No download."""

from __future__ import annotations

import pathlib

from quickstudy.data.dataset import ImageDataset
from quickstudy.data.glyphs import load_glyphs
from quickstudy.data.image import ImageSpec
from quickstudy.errors import DataError

SPEC = ImageSpec(28, 28, 1, ink="dark")
SPLITS = ("train", "val", "test", "all")


def read(split: str, spec: ImageSpec, data_dir: str | pathlib.Path | None, strict: bool) -> ImageDataset:
    """The letters of one split's scripts. `data_dir` and `strict` have no bearing: the fonts are part of matplotlib."""
    if spec != SPEC:
        raise DataError(f"glyphs are drawn at 28x28 pixels, but size is {spec.height}; leave out the size.")
    return load_glyphs(split)  # pyright: ignore[reportArgumentType]
