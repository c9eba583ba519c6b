"""A zip with one folder of files per class, read in place: nothing is ever extracted."""

from __future__ import annotations

import functools
import hashlib
import pathlib
import re
import zipfile
import zlib
from collections.abc import Iterable

from quickstudy.data.litter import is_litter
from quickstudy.data.readers import Found, Wanted, kind_by_endings
from quickstudy.data.readers._tree import LARGEST, read_tree
from quickstudy.data.tree import Listing, printable, suffix_of
from quickstudy.errors import DataError, NotFoundError, TooLargeError
from quickstudy.inputs import kinds

EXPECTED = ".zip"
WINDOWS = (0, 11, 14)
"""Numbers of the systems whose zips may hold paths with backslashes: FAT, NTFS and VFAT, by the ZIP specification, 4.4.2."""


def recognises(path: pathlib.Path) -> bool:
    """Return whether a path ends in .zip."""
    return path.suffix.lower() == ".zip"


def kind(path: pathlib.Path) -> str | None:
    """Return the kind of input that the first files of a zip hold."""
    return kind_by_endings(ZipTree(path).listing.files)


def read(path: pathlib.Path, wanted: Wanted) -> Found:
    """Return the classes of a zip."""
    return read_tree(ZipTree(path), wanted)


class ZipTree:
    """The files in a zip. One folder around everything, as zip tools like to add, is looked through.

    Args:
        file: an existing zip file.

    Raises:
        DataError: not a zip, a damaged or encrypted one, or one whose members point outside it.
    """

    def __init__(self, file: str | pathlib.Path) -> None:
        self.file = pathlib.Path(file)
        try:
            self._zip = zipfile.ZipFile(self.file)
        except FileNotFoundError:
            raise NotFoundError(f"there is no file {str(file)!r}; check the path.", subject=str(file)) from None
        except PermissionError as error:
            raise DataError(f"{str(file)!r} may not be read ({error.strerror}); change its permissions.") from error
        except (zipfile.BadZipFile, OSError) as error:
            raise DataError(
                f"{str(file)!r} cannot be read as a zip ({error}); it may be cut short: copy or download it again."
            ) from error

    @property
    def label(self) -> str:
        """Return the zip file, as it was given."""
        return f"zip {str(self.file)!r}"

    @property
    def name(self) -> str:
        """Return the file's name without its ending, shown in results."""
        return printable(self.file.stem)

    @property
    def listing(self) -> Listing:
        """Return what lies in the zip."""
        files = {path: member.file_size for path, member in self._members.items()}
        above = {"/".join(parts[:length]) for parts in (path.split("/") for path in files) for length in range(1, len(parts))}
        return Listing(files, tuple(sorted(above | self._folders)))

    def read(self, path: str) -> bytes:
        """Return the content of one file, checked against its CRC."""
        member = self._members[path]
        if member.file_size > LARGEST:
            raise TooLargeError(
                f"{self.label}: {path!r} unpacks to {member.file_size} bytes; expected a file of at most {LARGEST}."
            )
        try:
            return self._zip.read(member)
        except (zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error) as error:
            raise DataError(f"{self.label}: {path!r} is damaged ({error}).") from error

    def identity(self, paths: Iterable[str]) -> str:
        """Return a hash of names, sizes and CRCs, and of the zip's size and time of change."""
        stat = self.file.stat()
        lines = [f"{path} {self._members[path].CRC:08x} {self._members[path].file_size}" for path in paths]
        return hashlib.sha256("\n".join([*lines, f"{stat.st_size} {stat.st_mtime_ns}"]).encode()).hexdigest()

    def content_digest(self) -> str:
        """Return the SHA-256 over path and SHA-256 of every example, the same if the files are zipped again. Reads the whole zip."""
        known = _known_suffixes()
        paths = [path for path in self._members if suffix_of(path) in known]
        lines = [f"{path} {hashlib.sha256(self.read(path)).hexdigest()}\n" for path in paths]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def _members(self) -> dict[str, zipfile.ZipInfo]:
        return self._contents[0]

    @property
    def _folders(self) -> frozenset[str]:
        return self._contents[1]

    @functools.cached_property
    def _contents(self) -> tuple[dict[str, zipfile.ZipInfo], frozenset[str]]:
        """Return the files by path, and the folders that have an entry of their own."""
        plain = any("/" in name for name in self._zip.namelist())
        entries = {_path(member, plain): member for member in self._zip.infolist()}
        files: dict[str, zipfile.ZipInfo] = {}
        for name, member in entries.items():
            if name.endswith("/"):
                continue
            self._check(name, member)
            if not is_litter(name):
                files[name] = member
        around = _around(files)
        files = {name.removeprefix(around): member for name, member in files.items()}
        folders = {name.rstrip("/").removeprefix(around) for name in entries if name.endswith("/") and not is_litter(name)}
        return dict(sorted(files.items())), frozenset(folders - {"", around.rstrip("/")})

    def _check(self, name: str, member: zipfile.ZipInfo) -> None:
        """Raise a DataError if a member points outside the zip, has a path that cannot be told, or is encrypted."""
        if name.startswith("/") or ".." in name.split("/") or re.match("[A-Za-z]:(/|$)", name):
            raise DataError(
                f"{self.label}: member {name!r} points outside the zip; expected plain paths such as <class>/<file>. "
                "Zip the folder again."
            )
        if "\\" in name:
            raise DataError(
                f"{self.label}: member {name!r} uses \\, which is no separator of paths in a zip that was not made on Windows; "
                "expected /. Zip the folder again."
            )
        if member.flag_bits & 1:
            raise DataError(f"{self.label}: member {name!r} is encrypted; zip the folder again without a password.")


def _path(member: zipfile.ZipInfo, plain: bool) -> str:
    """Return the path of a member with `/`.

    Zips from Windows may separate folders by `\\`, and some of these name another system as their own. A backslash is therefore part of
    a name only if the zip names another system and is `plain`: some path in it has a `/`.
    """
    return member.filename if plain and member.create_system not in WINDOWS else member.filename.replace("\\", "/")


def _around(files: Iterable[str]) -> str:
    """Return the one folder that holds all class folders, with `/`, or nothing."""
    known = _known_suffixes()
    examples = [name for name in files if suffix_of(name) in known]
    roots = {name.split("/")[0] for name in examples}
    return f"{roots.pop()}/" if len(roots) == 1 and all(name.count("/") >= 2 for name in examples) else ""


def _known_suffixes() -> frozenset[str]:
    return frozenset().union(*(kind.suffixes() for kind in kinds().values()))
