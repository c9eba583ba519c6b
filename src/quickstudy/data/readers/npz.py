"""Images that already are arrays: in memory, or in an .npz file."""

from __future__ import annotations

import pathlib
import zipfile
import zlib
from collections.abc import Sequence

import numpy as np

from quickstudy.data.dataset import ImageDataset, content_fingerprint
from quickstudy.data.tree import group_of
from quickstudy.errors import DataError
from quickstudy.inputs.image import ImageSpec, load_image

IMAGE_KEYS = ("images", "x")
LABEL_KEYS = ("labels", "y")
CLASS_KEY = "classes"


def read_npz(file: str | pathlib.Path) -> tuple[np.ndarray, np.ndarray, list[str] | None]:
    """The arrays of an .npz file: `images` (or `x`), `labels` (or `y`) and, where it is there, `classes`. Pickles are refused.

    Returns:
        Images `[image, height, width]` or `[image, height, width, channel]`, labels `[image]`, names of the classes or None.
    """
    try:
        with pathlib.Path(file).open("rb") as stream:
            arrays = np.load(stream, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise DataError(f"{str(file)!r} is a single array; expected images and labels, as numpy.savez writes them.")
            lower = {key.lower(): key for key in arrays.files}
            images = arrays[_key(lower, IMAGE_KEYS, file)]
            labels = arrays[_key(lower, LABEL_KEYS, file)]
            classes = [str(name) for name in arrays[lower[CLASS_KEY]]] if CLASS_KEY in lower else None
    except DataError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        hint = "save plain arrays of numbers and strings" if "pickle" in str(error) else "it may be cut short: copy it again"
        raise DataError(f"{str(file)!r} cannot be read as .npz ({error}); {hint}.") from error
    return images, labels, classes


def default_spec(images: np.ndarray) -> ImageSpec:
    """The spec that keeps an array as it is: its own size; colour where it has 3 or 4 channels, else grey."""
    _check_images(images)
    channels = images.shape[3] if images.ndim == 4 else 1
    return ImageSpec(images.shape[1], images.shape[2], 3 if channels >= 3 else 1)


def from_arrays(
    images: np.ndarray,
    labels: np.ndarray | Sequence[str] | Sequence[int],
    *,
    classes: Sequence[str] | None = None,
    spec: ImageSpec | None = None,
    name: str = "arrays",
) -> ImageDataset:
    """A dataset of images in memory.

    Args:
        images: uint8 in 0..255, or float in 0..1, `[image, height, width]` or `[image, height, width, channel]`.
        labels: whole numbers or names `[image]`.
        classes: names of the classes, for labels that are indices into them; classes without an image are left out.
        spec: how the images are stored; None: in their own size.
        name: shown in results.

    Raises:
        DataError: counts that differ, labels without a class, values out of range, NaN.

    >>> data = from_arrays(np.zeros((4, 8, 8), dtype=np.uint8), ["b", "a", "b", "a"])
    >>> data.classes, data.counts.tolist(), data.images.shape
    (('a', 'b'), [2, 2], (4, 8, 8, 1))
    """
    _check_images(images)
    found, indices = _class_indices(np.asarray(labels), classes)
    if len(images) != len(indices):
        raise DataError(f"{name}: {len(images)} images, but {len(indices)} labels; expected one label for every image.")
    spec = spec or default_spec(images)
    order = np.argsort(indices, kind="stable")
    stored = _stored(images, spec)[order]
    counts = np.bincount(indices, minlength=len(found))
    groups = tuple(group_of(label) for label in found)
    return ImageDataset(stored, counts, tuple(found), groups, spec, name, content_fingerprint(stored, counts, found, spec))


def _stored(images: np.ndarray, spec: ImageSpec) -> np.ndarray:
    as_it_is = images if images.ndim == 4 else images[..., None]
    if images.dtype == np.uint8 and as_it_is.shape[1:] == spec.shape:
        return as_it_is
    return np.stack([load_image(image, spec) for image in images])


def _check_images(images: np.ndarray) -> None:
    if images.ndim not in (3, 4) or images.size == 0:
        raise DataError(
            f"images have shape {tuple(images.shape)}; expected [image, height, width] or "
            "[image, height, width, channel], and at least one."
        )


def _class_indices(labels: np.ndarray, classes: Sequence[str] | None) -> tuple[list[str], np.ndarray]:
    """Names of the classes that have images, and the index of each image's class, `[image]`."""
    if labels.ndim != 1 or labels.dtype.kind not in "iuUS":
        raise DataError(
            f"labels are {labels.dtype} of shape {labels.shape}; expected whole numbers or names, one for each image. "
            "Take argmax(-1) of one-hot labels."
        )
    values, indices = np.unique(labels, return_inverse=True)
    if classes is None:
        return [value.decode() if isinstance(value, bytes) else str(value) for value in values.tolist()], indices
    if labels.dtype.kind not in "iu" or values.min() < 0 or values.max() >= len(classes):
        raise DataError(
            f"labels lie in {values[0]!r}..{values[-1]!r}; expected indices into the {len(classes)} classes, from 0 on."
        )
    names = [str(classes[value]) for value in values]
    if len(set(names)) != len(names):
        raise DataError(
            f"classes name {len(names)} classes, but only {len(set(names))} names differ; expected different names."
        )
    return names, indices


def _key(lower: dict[str, str], wanted: tuple[str, ...], file: str | pathlib.Path) -> str:
    for key in wanted:
        if key in lower:
            return lower[key]
    raise DataError(f"{str(file)!r} has no array {' or '.join(wanted)}; it has {', '.join(sorted(lower.values())) or 'none'}.")
