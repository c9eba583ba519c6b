"""A tree of image files, one folder per class: what a folder and a zip have in common.

A tree lists its image files and reads their bytes; folder.py and archive.py hold the two kinds. The folder of an image is its
class, the folder of that is the class's group: `Greek/character01/07.png` is an image of class `Greek/character01`, in group
`Greek`.
"""

from __future__ import annotations

import dataclasses
import pathlib
import warnings
from collections.abc import Mapping
from typing import Protocol

from quickstudy.data.dataset import DataWarning
from quickstudy.errors import DataError

SUFFIXES = frozenset([".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"])
NAMES_SHOWN = 5


class Tree(Protocol):
    """Image files below one root. Paths are relative to the root, with `/`."""

    @property
    def label(self) -> str:
        """The root, for messages."""
        ...

    @property
    def name(self) -> str:
        """Shown in results: the name of the root."""
        ...

    def sizes(self) -> Mapping[str, int]:
        """Path and size in bytes of every image file, sorted by path."""
        ...

    def read(self, path: str) -> bytes:
        """One encoded image file."""
        ...

    def identity(self) -> str:
        """Hash that changes when the files do; cheap, and not the hash of all bytes."""
        ...


@dataclasses.dataclass(frozen=True)
class ClassFiles:
    """The image files of one class.

    Args:
        name: class, such as `Greek/character01`.
        group: its parent folder, or the class's own name where there is none.
        paths: image files, sorted.
    """

    name: str
    group: str
    paths: tuple[str, ...]


def is_image(path: str) -> bool:
    """Whether a path is an image file that counts: hidden files and the litter of macOS do not."""
    parts = pathlib.PurePosixPath(path).parts
    if any(part.startswith(".") or part == "__MACOSX" for part in parts):
        return False
    return pathlib.PurePosixPath(path).suffix.lower() in SUFFIXES


def classes_of(tree: Tree) -> list[ClassFiles]:
    """The classes of a tree, sorted by name."""
    members: dict[str, list[str]] = {}
    for path in tree.sizes():
        members.setdefault(path.rpartition("/")[0], []).append(path)
    loose = members.pop("", [])
    if not members:
        raise DataError(
            f"{tree.label}: no images in class folders ({len(loose)} beside them); expected <class>/<image> or "
            f"<group>/<class>/<image>, with files ending in {' '.join(sorted(SUFFIXES))}."
        )
    if loose:
        warnings.warn(f"{tree.label}: left out, as they are in no class folder: {shortened(loose)}.", DataWarning, stacklevel=2)
    return [ClassFiles(name, group_of(name), tuple(sorted(members[name]))) for name in sorted(members)]


def group_of(name: str) -> str:
    """Group of a class: its parent folder, or its own name where it has none.

    >>> group_of("Greek/character01"), group_of("cat")
    ('Greek', 'cat')
    """
    return name.rpartition("/")[0] or name


def shortened(names: list[str]) -> str:
    """The first few names, and how many more there are.

    >>> shortened(["a", "b", "c", "d", "e", "f", "g"])
    'a, b, c, d, e and 2 more'
    """
    rest = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + rest
