"""A folder with one sub-folder of files per class, nested as deep as you like."""

from __future__ import annotations

import functools
import hashlib
import os
import pathlib
from collections.abc import Iterable, Iterator

from quickstudy.data.litter import is_litter
from quickstudy.data.places import kind_of_path
from quickstudy.data.readers import Found, Wanted, kind_by_endings
from quickstudy.data.readers._tree import content_of, read_tree
from quickstudy.data.tree import Listing, classes_of, printable
from quickstudy.errors import NotFoundError
from quickstudy.inputs import InputSpec

EXPECTED = "a folder"


def recognises(path: pathlib.Path) -> bool:
    """Return whether a path is a folder."""
    return path.is_dir()


def kind(path: pathlib.Path) -> str | None:
    """Return the kind of input that the first files below a folder hold."""
    return kind_by_endings(name for _, _, files in os.walk(path) for name in files if not is_litter(name))


def read(path: pathlib.Path, wanted: Wanted) -> Found:
    """Return the classes of a folder."""
    return read_tree(FolderTree(path), wanted)


def examples_in(root: pathlib.Path, kind: type[InputSpec]) -> tuple[list[pathlib.Path], list[str]]:
    """Return the files of a kind in a folder with one sub-folder per class, and the class of each; read as for training.

    Raises:
        DataError: there is no such folder, or no file of this kind in class folders.
    """
    tree = FolderTree(root)
    classes = classes_of(tree, kind)
    pairs = [(root / path, printable(entry.name)) for entry in classes for path in entry.paths]
    return [path for path, _ in pairs], [name for _, name in pairs]


class FolderTree:
    """The files below a folder. Links to folders are followed, but a folder is read once: under its own name, if it lies below too.

    Args:
        root: an existing folder.

    Raises:
        NotFoundError: there is no such folder.
        DataError: it may not be entered.
    """

    def __init__(self, root: str | pathlib.Path) -> None:
        self.root = pathlib.Path(root)
        if kind_of_path(self.root) != "folder":
            raise NotFoundError(
                f"there is no folder {str(root)!r}; give the folder that holds one sub-folder per class.", subject=str(root)
            )

    @property
    def label(self) -> str:
        """Return the folder, as it was given."""
        return f"folder {str(self.root)!r}"

    @property
    def name(self) -> str:
        """Return the folder's own name, shown in results."""
        return printable(self.root.resolve().name)

    @property
    def listing(self) -> Listing:
        """Return what lies below the folder."""
        return self._scanned[0]

    def read(self, path: str) -> bytes:
        """Return the content of one file."""
        return content_of(self.root / path)

    def identity(self, paths: Iterable[str]) -> str:
        """Return a hash of names, sizes and times of change."""
        listing, changed = self._scanned
        return hashlib.sha256(repr([(path, listing.files[path], changed[path]) for path in paths]).encode()).hexdigest()

    @functools.cached_property
    def _scanned(self) -> tuple[Listing, dict[str, int]]:
        """Return what lies below, and the time of change of every file in nanoseconds."""
        stats: dict[str, os.stat_result] = {}
        refused: dict[str, str] = {}
        folders: list[str] = []
        visited: set[str] = set()
        real, links = [""], []
        while real or links:  # links last, so that a folder is met under its own name first
            folder = real.pop() if real else links.pop(0)
            identity = os.path.realpath(self.root / folder)
            if identity in visited:
                continue
            visited.add(identity)
            folders.append(folder)
            for entry in self._entries(folder, refused):
                path = f"{folder}/{entry.name}" if folder else entry.name
                kind = _kind(entry, path, stats, refused)
                (real if kind == "folder" else links if kind == "link" else []).append(path)
            real.sort(reverse=True)
            links.sort()
        files = {path: stats[path].st_size for path in sorted(stats)}
        listing = Listing(files, tuple(sorted(folder for folder in folders if folder and folder not in refused)), refused)
        return listing, {path: stat.st_mtime_ns for path, stat in stats.items()}

    def _entries(self, folder: str, refused: dict[str, str]) -> Iterator[os.DirEntry[str]]:
        """Yield what lies in one folder, without litter; note a folder that may not be listed."""
        try:
            with os.scandir(self.root / folder) as entries:
                yield from (entry for entry in entries if not is_litter(entry.name))
        except OSError as error:
            refused[folder or "."] = error.strerror or str(error)


def _kind(entry: os.DirEntry[str], path: str, stats: dict[str, os.stat_result], refused: dict[str, str]) -> str:
    """Return `folder`, `link` for a link to a folder, else nothing; note a file's size and time, or why it cannot be looked at."""
    try:
        if entry.is_dir():
            return "link" if entry.is_symlink() else "folder"
        stat = entry.stat()
    except OSError as error:
        refused[path] = "a link that leads nowhere" if entry.is_symlink() else error.strerror or str(error)
        return ""
    if entry.is_file():
        stats[path] = stat
    return ""
