"""Files that a table lists by their paths, as one tree, so that they are read, counted and cached as the files of a folder are."""

from __future__ import annotations

import functools
import hashlib
import pathlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from quickstudy.data import store
from quickstudy.data.dataset import DataWarning
from quickstudy.data.decoding import dataset_of, job_of
from quickstudy.data.readers import Found
from quickstudy.data.readers._tree import content_of
from quickstudy.data.tree import ClassFiles, Listing, group_of, printable, shortened
from quickstudy.errors import DataError
from quickstudy.inputs import InputSpec


class ListedTree:
    """The files that a table names; their paths are relative to the table's folder, or absolute.

    Args:
        table: file of the table.
        paths: what it names.
    """

    def __init__(self, table: pathlib.Path, paths: Iterable[str]) -> None:
        self.table, self.paths = table, sorted(set(paths))

    @property
    def label(self) -> str:
        """Return the table, as it was given."""
        return f"table {str(self.table)!r}"

    @property
    def name(self) -> str:
        """Return the table's name, shown in results."""
        return printable(self.table.name)

    @property
    def listing(self) -> Listing:
        """Return the files that are there, and those that are not."""
        return self._seen[0]

    def read(self, path: str) -> bytes:
        """Return the content of one file."""
        return content_of(self.table.parent / path)

    def identity(self, paths: Iterable[str]) -> str:
        """Return a hash of names, sizes and times of change."""
        listing, changed = self._seen
        return hashlib.sha256(repr([(path, listing.files[path], changed[path]) for path in paths]).encode()).hexdigest()

    @functools.cached_property
    def _seen(self) -> tuple[Listing, dict[str, int]]:
        """Return what is there, and the time of change of every file in nanoseconds."""
        sizes, changed, refused = {}, {}, {}
        for path in self.paths:
            try:
                file = self.table.parent / path
                stat = file.stat()
                if file.is_file():
                    sizes[path], changed[path] = stat.st_size, stat.st_mtime_ns
                else:
                    refused[path] = "no file"
            except (OSError, ValueError) as error:  # a path may hold a zero byte
                refused[path] = getattr(error, "strerror", None) or str(error)
        return Listing(sizes, (), refused), changed


def read_listed(
    table: pathlib.Path, paths: Sequence[str], labels: Sequence[str], spec: InputSpec, how: Mapping[str, Any], strict: bool
) -> Found:
    """Return the classes of a table of paths; files that are not there or cannot be read are left out, and counted.

    Raises:
        DataError: no file is left, or `strict` and one is missing.
    """
    tree = _tree_of(table, paths, strict)
    members: dict[str, list[str]] = {}
    for path, label in zip(paths, labels, strict=True):
        if path in tree.listing.files:
            members.setdefault(label, []).append(path)
    if not members:
        raise DataError(f"{tree.label}: none of its {len(paths)} files is there; expected paths relative to its folder.")
    classes = [ClassFiles(name, group_of(name), tuple(members[name])) for name in sorted(members)]
    return Found(dataset_of(job_of(tree, classes, spec, **how), classes, tree.name, strict))


def rows_of_files(
    table: pathlib.Path, paths: Sequence[str], spec: InputSpec, how: Mapping[str, Any], strict: bool
) -> tuple[np.ndarray | None, np.ndarray]:
    """Return what is stored of the files in a table's column, None if there is none, and which rows have one, bool `[row]`.

    Args:
        table: file of the table.
        paths: path in each row; empty for a row without one.
        spec: what the files hold, in a single tensor.
        how: options of the spec's `read`.
        strict: True: a file that is not there or cannot be read is an error; False: it is left out, and counted.

    Raises:
        DataError: `strict`, and a file cannot be had.
    """
    tree = _tree_of(table, [path for path in paths if path], strict)
    job = store.Job(tree, tuple(tree.listing.files), spec, how)
    if not job.paths:
        return None, np.zeros(len(paths), bool)
    found = store.decoded(job, strict)
    if found.unreadable:
        words = (
            f"{len(found.unreadable)} of {len(job.paths)} {spec.nouns} that cannot be read: {shortened([*found.unreadable])}"
        )
        warnings.warn(f"{tree.label}: left out {words}.", DataWarning, stacklevel=2)
    readable = [path for path in job.paths if path not in set(found.unreadable)]
    place = {path: row for row, path in enumerate(readable)}
    (stored,) = found.stored.values()
    said = spec.lacking(found.stored) if readable else None
    if said is not None:
        warnings.warn(f"{tree.label}: {said}.", DataWarning, stacklevel=2)
    return stored[[place[path] for path in paths if path in place]], np.array([path in place for path in paths], dtype=bool)


def _tree_of(table: pathlib.Path, paths: Sequence[str], strict: bool) -> ListedTree:
    """Return the tree of the files that a table names, and warn of those that are not there.

    Raises:
        DataError: `strict`, and one is not there.
    """
    tree = ListedTree(table, paths)
    refused = tree.listing.refused
    if refused:
        reasons = shortened([f"{printable(path)!r} ({reason})" for path, reason in refused.items()])
        said = f"{tree.label}: {len(refused)} of {len(tree.paths)} files are not to be had: {reasons}"
        if strict:
            raise DataError(f"{said}; mend the paths, which are relative to the table's folder, or read with strict=False.")
        warnings.warn(f"{said}; they are left out.", DataWarning, stacklevel=3)
    return tree
