"""dataset_of: chosen classes of a tree of image files as one dataset; what cannot be read is named and counted."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from quickstudy.data import store
from quickstudy.data.dataset import DataWarning, ImageDataset, derived
from quickstudy.data.tree import ClassFiles, Tree, shortened
from quickstudy.errors import DataError
from quickstudy.inputs.image import ImageSpec


def dataset_of(tree: Tree, classes: list[ClassFiles], spec: ImageSpec, name: str, strict: bool = False) -> ImageDataset:
    """Decode these classes of a tree (or take them from the cache) and hold them as one dataset.

    Args:
        tree: where the files are.
        classes: what to read, as `classes_of` lists it.
        spec: how the images are stored.
        name: shown in results.
        strict: True: the first unreadable image is an error; False: unreadable images are left out, with a warning.

    Raises:
        DataError: a class has no readable image, or `strict` and any image is unreadable.
    """
    job = store.Job(tree, tuple(path for chosen in classes for path in chosen.paths), spec)
    found = store.decoded(job, strict=strict)
    left_out = frozenset(found.unreadable)
    if left_out:
        _report_unreadable(tree.label, list(found.unreadable), len(job.paths), strict)
    counts = [sum(path not in left_out for path in chosen.paths) for chosen in classes]
    empty = [chosen.name for chosen, count in zip(classes, counts, strict=True) if count == 0]
    if empty:
        raise DataError(f"{tree.label}: no readable image in class {shortened(empty)}; mend the images or remove the folder.")
    return _as_dataset(found, counts, classes, spec, name)


def _report_unreadable(label: str, paths: list[str], total: int, strict: bool) -> None:
    """Warn, or stop where `strict`, with the count and the first few names."""
    if strict:
        raise DataError(
            f"{label}: cannot read {paths[0]!r} ({len(paths)} of {total} images); mend it, or read with strict=False."
        )
    warnings.warn(
        f"{label}: left out {len(paths)} of {total} images, as they cannot be read: {shortened(paths)}.",
        DataWarning,
        stacklevel=3,
    )


def _as_dataset(
    found: store.Decoded, counts: Sequence[int], classes: Sequence[ClassFiles], spec: ImageSpec, name: str
) -> ImageDataset:
    """The dataset of decoded images; its fingerprint depends on pixels, class names and spec, not on where they came from."""
    names = tuple(chosen.name for chosen in classes)
    fingerprint = derived(found.pixel_hash, repr((names, list(counts), sorted(spec.model_dump(exclude={"kind"}).items()))))
    groups = tuple(chosen.group for chosen in classes)
    return ImageDataset(found.images, np.asarray(counts, dtype=np.int64), names, groups, spec, name, fingerprint)
