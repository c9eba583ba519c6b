"""ImageDataset: labelled images held once as one uint8 array, selected and sampled by index arithmetic."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np

from quickstudy.errors import DataError
from quickstudy.inputs.image import ImageSpec


class DataWarning(UserWarning):
    """Part of the data could not be used; the rest goes on."""


@dataclasses.dataclass(frozen=True)
class ImageDataset:
    """Images of one size, sorted by class.

    Args:
        pixels: uint8 `[stored image, height, width, channel]`, may be a memory map, and may hold images of other classes too.
        counts: number of images of each class, `[class]`; each class owns a run of `pixels`.
        classes: name of each class, such as `"Greek/character01"`.
        groups: group of each class, such as its alphabet; the class's own name where there are no groups.
        spec: how an image file becomes a row of `images`, and a row becomes a network's input.
        name: shown in results.
        fingerprint: hash of the content; equal data, equal fingerprint.
        first: where in `pixels` the run of each class begins, `[class]`; None: one after the other, and `pixels` holds no more.
    """

    pixels: np.ndarray
    counts: np.ndarray
    classes: tuple[str, ...]
    groups: tuple[str, ...]
    spec: ImageSpec
    name: str
    fingerprint: str
    first: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not len(self.counts) == len(self.classes) == len(self.groups):
            raise DataError(
                f"{self.name}: {len(self.counts)} counts, {len(self.classes)} class names and {len(self.groups)} "
                "groups; expected one of each for every class."
            )
        if self.first is None and int(self.counts.sum()) != len(self.pixels):
            raise DataError(f"{self.name}: counts add up to {int(self.counts.sum())}, but there are {len(self.pixels)} images.")

    @property
    def images(self) -> np.ndarray:
        """The images of all classes in their order, uint8 `[image, height, width, channel]`; copied if they lie scattered."""
        if self.first is None:
            return self.pixels
        rows = self.rows
        together = (np.diff(rows) == 1).all()
        return self.pixels[rows[0] : rows[-1] + 1] if together else self.pixels[rows]

    @property
    def rows(self) -> np.ndarray:
        """Where in `pixels` each image is, int64 `[image]`."""
        return np.repeat(self._first - self.starts, self.counts) + np.arange(int(self.counts.sum()))

    @property
    def starts(self) -> np.ndarray:
        """Where in `images` (and `labels`) each class begins, `[class]`."""
        return np.cumsum(self.counts) - self.counts

    @property
    def labels(self) -> np.ndarray:
        """Class index of each image, int64 `[image]`."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @property
    def _first(self) -> np.ndarray:
        return self.starts if self.first is None else self.first

    def select(self, classes: Sequence[int], name: str | None = None) -> ImageDataset:
        """The dataset that holds only these classes (indices), in this order; a view of the same pixels."""
        chosen = np.asarray(classes, dtype=np.int64)
        if len(chosen) == 0:
            raise DataError(f"{self.name}: no classes are left in {name or 'this selection'}.")
        return dataclasses.replace(
            self,
            counts=self.counts[chosen],
            classes=tuple(self.classes[c] for c in chosen),
            groups=tuple(self.groups[c] for c in chosen),
            name=name or self.name,
            fingerprint=derived(self.fingerprint, "select", chosen.tobytes()),
            first=self._first[chosen],
        )

    def compact(self) -> ImageDataset:
        """The same dataset with pixels of its own, so that the memory of other classes' pixels can be freed."""
        return self if self.first is None else dataclasses.replace(self, pixels=self.pixels[self.rows], first=None)

    def rotated(self) -> ImageDataset:
        """Every class four times, turned by 0, 90, 180 and 270 degrees: the rotations are classes of their own.

        The pixels are copied: images that are turned only when they are drawn are drawn more slowly.
        """
        images = self.images
        turned = [np.rot90(images, quarter, axes=(1, 2)) for quarter in range(4)]
        suffixes = [f"rot{90 * quarter:03d}" for quarter in range(4)]
        return dataclasses.replace(
            self,
            pixels=np.concatenate(turned),
            counts=np.tile(self.counts, 4),
            classes=tuple(f"{name}/{suffix}" for suffix in suffixes for name in self.classes),
            groups=tuple(f"{group}/{suffix}" for suffix in suffixes for group in self.groups),
            fingerprint=derived(self.fingerprint, "rotated"),
            first=None,
        )


def derived(fingerprint: str, *parts: str | bytes) -> str:
    """Fingerprint of something made from fingerprinted content by a named operation."""
    digest = hashlib.sha256(fingerprint.encode())
    for part in parts:
        digest.update(part if isinstance(part, bytes) else part.encode())
    return digest.hexdigest()[:16]


def content_fingerprint(images: np.ndarray, counts: np.ndarray, classes: Sequence[str], spec: ImageSpec) -> str:
    """Hash of pixels, class names and spec: the same wherever the images were read from."""
    digest = hashlib.sha256(
        repr((sorted(spec.model_dump(exclude={"kind"}).items()), list(classes), counts.tolist(), images.shape)).encode()
    )
    for start in range(0, len(images), 4096):
        digest.update(np.ascontiguousarray(images[start : start + 4096]).data)
    return digest.hexdigest()[:16]


def joined(parts: Sequence[ImageDataset], name: str) -> ImageDataset:
    """All classes of several datasets with one spec, one dataset after the other."""
    if any(part.spec != parts[0].spec for part in parts):
        raise DataError(
            f"{name}: the parts have different image specs: {[part.spec for part in parts]}; read them with one spec."
        )
    return dataclasses.replace(
        parts[0],
        pixels=np.concatenate([part.images for part in parts]),
        counts=np.concatenate([part.counts for part in parts]),
        classes=tuple(chosen for part in parts for chosen in part.classes),
        groups=tuple(group for part in parts for group in part.groups),
        name=name,
        fingerprint=derived("joined", *(part.fingerprint for part in parts)),
        first=None,
    )
