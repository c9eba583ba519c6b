"""A tree of files, one folder per class: what a folder and a zip have in common.

A tree lists its files and reads their bytes; `readers/folder.py` and `readers/zip.py` hold the two kinds. The folder of a file is
its class, the folder of that is the class's group: `Greek/character01/07.png` is of class `Greek/character01`, in group `Greek`.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import warnings
from collections.abc import Iterable, Mapping, Sized
from typing import Protocol

from quickstudy.data.dataset import DataWarning
from quickstudy.errors import DataError
from quickstudy.inputs import InputSpec, kind_of_files, kinds


@dataclasses.dataclass(frozen=True)
class Listing:
    """Files and folders below a root, without litter. Paths are relative to the root, with `/`.

    Args:
        files: path and size in bytes of every file, sorted by path.
        folders: path of every folder.
        refused: path of everything that cannot be listed or looked at, with the reason.
    """

    files: Mapping[str, int]
    folders: tuple[str, ...]
    refused: Mapping[str, str] = dataclasses.field(default_factory=dict)


class Tree(Protocol):
    """Files below one root."""

    @property
    def label(self) -> str:
        """Return the root, for messages."""
        ...

    @property
    def name(self) -> str:
        """Return the name of the root, shown in results."""
        ...

    @property
    def listing(self) -> Listing:
        """Return the files and folders below the root."""
        ...

    def read(self, path: str) -> bytes:
        """Return the content of one file."""
        ...

    def identity(self, paths: Iterable[str]) -> str:
        """Return a hash that changes when these files do; cheap, and not the hash of all bytes."""
        ...


@dataclasses.dataclass(frozen=True)
class ClassFiles:
    """The files of one class.

    Args:
        name: class, such as `Greek/character01`.
        group: its parent folder, or the class's own name if it has none.
        paths: files, sorted.
    """

    name: str
    group: str
    paths: tuple[str, ...]


def kind_of(tree: Tree) -> type[InputSpec]:
    """Return the kind of input that most files of a tree hold.

    Raises:
        DataError: no file is of any kind.
    """
    found = kind_of_files(suffix_of(path) for path in tree.listing.files)
    if found is None:
        raise DataError(_nothing(tree, frozenset().union(*(kind.suffixes() for kind in kinds().values())), 0))
    return found


def classes_of(tree: Tree, kind: type[InputSpec], strict: bool = False) -> list[ClassFiles]:
    """Return the classes of a tree, sorted by name; a `DataWarning` counts and names what is left out.

    Args:
        tree: the files.
        kind: kind of input; files with its endings are read.
        strict: True: a folder or file that cannot be listed is an error.

    Raises:
        DataError: no file of this kind lies in a class folder, or `strict` and something cannot be listed.
    """
    members: dict[str, list[str]] = {}
    others: list[str] = []
    for path in tree.listing.files:
        chosen = members.setdefault(path.rpartition("/")[0], []) if suffix_of(path) in kind.suffixes() else others
        chosen.append(path)
    loose = members.pop("", [])
    _report_refused(tree, strict)
    if not members:
        raise DataError(_nothing(tree, kind.suffixes(), len(loose)))
    if loose:
        _warn(tree, f"left out, because they lie in no class folder: {shortened(loose)}")
    _report_others(tree, [path for path in others if "/" in path], kind)
    _report_empty(tree, members, kind)
    return [ClassFiles(name, group_of(name), tuple(sorted(members[name]))) for name in sorted(members)]


def _report_refused(tree: Tree, strict: bool) -> None:
    """Warn of folders and files that cannot be listed, or raise a DataError if `strict`."""
    refused = tree.listing.refused
    if not refused:
        return
    reasons = shortened([f"{printable(path)!r} ({reason})" for path, reason in refused.items()])
    if strict:
        raise DataError(f"{tree.label}: cannot read {reasons}; mend it, or read with strict=False.")
    _warn(tree, f"left out what cannot be read: {reasons}")


def _report_others(tree: Tree, others: list[str], kind: type[InputSpec]) -> None:
    """Warn of files that were not looked at, counted by their endings."""
    endings = collections.Counter(suffix_of(path) or "no ending" for path in others)
    if endings:
        found = [f"{ending} ({count})" for ending, count in endings.most_common()]
        _warn(
            tree,
            f"{counted(others, 'file was', 'files were')} not looked at, because these are no endings of {kind.nouns}: {shortened(found)}",
        )


def _report_empty(tree: Tree, members: Mapping[str, list[str]], kind: type[InputSpec]) -> None:
    """Warn of folders in which no class is found, the topmost of each branch."""
    above = {"/".join(parts[:length]) for parts in (name.split("/") for name in members) for length in range(1, len(parts) + 1)}
    empty = [folder for folder in tree.listing.folders if folder not in above]
    tops = [folder for folder in empty if folder.rpartition("/")[0] in above or "/" not in folder]
    if tops:
        _warn(
            tree,
            f"{counted(tops, 'folder holds', 'folders hold')} no {kind.nouns}, and no class: {shortened(tops)}",
        )


def _warn(tree: Tree, words: str) -> None:
    warnings.warn(f"{tree.label}: {words}.", DataWarning, stacklevel=4)


def _nothing(tree: Tree, suffixes: frozenset[str], loose: int) -> str:
    """Return the message about a tree that has no class."""
    common = [suffix for suffix in (".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif") if suffix in suffixes]
    endings = ", ".join(common or sorted(suffixes))
    return (
        f"{tree.label}: no examples in class folders ({loose} beside them, {len(tree.listing.files)} files in all); expected "
        f"<class>/<file> or <group>/<class>/<file>, with files ending in {endings} or another of {len(suffixes)} endings."
    )


def suffix_of(path: str) -> str:
    """Return the ending of a file's name, in lower case.

    >>> suffix_of("cat/IMG_1.JPG"), suffix_of("cat/README")
    ('.jpg', '')
    """
    return pathlib.PurePosixPath(path).suffix.lower()


def group_of(name: str) -> str:
    """Return the group of a class: its parent folder, or its own name if it has none.

    >>> group_of("Greek/character01"), group_of("cat")
    ('Greek', 'cat')
    """
    return name.rpartition("/")[0] or name


def printable(name: str) -> str:
    """Return a file's name as text that can be printed and written; bytes that are no UTF-8 become `\\udcXX`."""
    return name.encode("utf-8", "backslashreplace").decode()


def counted(things: Sized, one: str, several: str) -> str:
    """Return the number of things with the words that fit it.

    >>> counted([7], "file was", "files were"), counted([7, 8], "file was", "files were")
    ('1 file was', '2 files were')
    """
    return f"{len(things)} {one if len(things) == 1 else several}"


def shortened(names: list[str], shown: int = 5) -> str:
    """Return the first few names, and how many more there are.

    >>> shortened(["a", "b", "c", "d", "e", "f", "g"])
    'a, b, c, d, e and 2 more'
    """
    rest = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(printable(name) for name in names[:shown]) + rest
