"""A folder of images with one sub-folder per class, nested as deep as you like."""

from __future__ import annotations

import functools
import hashlib
import os
import pathlib

from quickstudy.data.tree import is_image
from quickstudy.errors import NotFoundError


class FolderTree:
    """The image files below a folder; links to folders are followed, once each.

    Args:
        root: an existing folder.

    Raises:
        DataError: there is no such folder.
    """

    def __init__(self, root: str | pathlib.Path) -> None:
        self.root = pathlib.Path(root)
        if not self.root.is_dir():
            raise NotFoundError(
                f"there is no folder {str(root)!r}; give the folder that holds one sub-folder per class.", subject=str(root)
            )

    @property
    def label(self) -> str:
        """The folder, as it was given."""
        return f"folder {str(self.root)!r}"

    @property
    def name(self) -> str:
        """Shown in results."""
        return self.root.resolve().name

    def sizes(self) -> dict[str, int]:
        """Path and size of every image file, sorted by path."""
        return {path: size for path, (size, _) in self._stats.items()}

    def read(self, path: str) -> bytes:
        """One encoded image file."""
        return (self.root / path).read_bytes()

    def identity(self) -> str:
        """Hash of names, sizes and times of change."""
        return hashlib.sha256(repr(list(self._stats.items())).encode()).hexdigest()

    @functools.cached_property
    def _stats(self) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        visited: set[str] = set()
        for folder, subfolders, files in os.walk(self.root, followlinks=True):
            if os.path.realpath(folder) in visited:
                subfolders.clear()
                continue
            visited.add(os.path.realpath(folder))
            for file in files:
                path = pathlib.Path(folder, file)
                relative = path.relative_to(self.root).as_posix()
                if is_image(relative) and path.is_file():
                    stat = path.stat()
                    found[relative] = (stat.st_size, stat.st_mtime_ns)
        return dict(sorted(found.items()))
