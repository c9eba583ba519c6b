"""Glyphs: letters of many scripts, rendered from the fonts that matplotlib ships; whole scripts are held out. No download."""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import pathlib

from quickstudy import storage
from quickstudy.data import glyphs, handwriting
from quickstudy.data.dataset import Dataset
from quickstudy.data.places import cache_root, exclusive
from quickstudy.errors import DataError, FileFormatError, NotFoundError
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
    code = "".join(inspect.getsource(module) for module in (glyphs, handwriting))
    made_by = hashlib.sha256((code + importlib.metadata.version("matplotlib")).encode())
    path = cache_root() / SPEC.nouns / f"glyphs-{split}-{made_by.hexdigest()[:16]}.safetensors"
    with exclusive(path.with_suffix(".lock")):
        try:
            return _from_cache(path)
        except (FileFormatError, NotFoundError):  # not there yet, or damaged: drawn again
            rendered = glyphs.load_glyphs(split)  # pyright: ignore[reportArgumentType]
            facts = {
                "classes": rendered.classes,
                "groups": rendered.groups,
                "name": rendered.name,
                "fingerprint": rendered.fingerprint,
            }
            storage.save(path, "images", {"images": rendered.examples["image"], "counts": rendered.counts}, facts)
            return rendered


def _from_cache(path: pathlib.Path) -> Dataset:
    _, arrays, facts = storage.load(path, "images")
    return Dataset(
        stored={"image": arrays["images"]},
        counts=arrays["counts"],
        classes=tuple(facts["classes"]),
        groups=tuple(facts["groups"]),
        spec=SPEC,
        name=facts["name"],
        fingerprint=facts["fingerprint"],
    )
