"""A zip of images with one folder per class, read in place: nothing is ever extracted."""

from __future__ import annotations

import functools
import hashlib
import pathlib
import zipfile
import zlib

from quickstudy.data.tree import is_image
from quickstudy.errors import DataError, NotFoundError, TooLargeError

LARGEST_MEMBER = 256 * 2**20


class ZipTree:
    """The image files in a zip. One folder around everything, as zip tools like to add, is looked through.

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
        except (zipfile.BadZipFile, OSError) as error:
            raise DataError(
                f"{str(file)!r} cannot be read as a zip ({error}); it may be cut short: copy or download it again."
            ) from error

    @property
    def label(self) -> str:
        """The zip file, as it was given."""
        return f"zip {str(self.file)!r}"

    @property
    def name(self) -> str:
        """Shown in results."""
        return self.file.stem

    def sizes(self) -> dict[str, int]:
        """Path and size (unpacked) of every image file, sorted by path."""
        return {path: member.file_size for path, member in self._members.items()}

    def read(self, path: str) -> bytes:
        """One encoded image file, checked against its CRC."""
        member = self._members[path]
        if member.file_size > LARGEST_MEMBER:
            raise TooLargeError(
                f"{self.label}: {path!r} unpacks to {member.file_size} bytes; expected an image of at most {LARGEST_MEMBER}."
            )
        try:
            return self._zip.read(member)
        except (zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error) as error:
            raise DataError(f"{self.label}: {path!r} is damaged ({error}).") from error

    def identity(self) -> str:
        """Hash of the zip's directory (names, sizes, CRCs), its size and its time of change."""
        stat = self.file.stat()
        lines = [f"{path} {member.CRC:08x} {member.file_size}" for path, member in self._members.items()]
        return hashlib.sha256("\n".join([*lines, f"{stat.st_size} {stat.st_mtime_ns}"]).encode()).hexdigest()

    def content_digest(self) -> str:
        """SHA-256 over path and SHA-256 of every image: equal for the same images zipped again. Reads the whole zip."""
        lines = [f"{path} {hashlib.sha256(self.read(path)).hexdigest()}\n" for path in self._members]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @functools.cached_property
    def _members(self) -> dict[str, zipfile.ZipInfo]:
        members = {member.filename: member for member in self._zip.infolist() if not member.is_dir()}
        for name, member in members.items():
            if name.startswith("/") or "\\" in name or ".." in name.split("/") or ":" in name.split("/")[0]:
                raise DataError(
                    f"{self.label}: member {name!r} points outside the zip; expected plain paths such as <class>/<image>. "
                    "Zip the folder again."
                )
            if member.flag_bits & 1:
                raise DataError(f"{self.label}: member {name!r} is encrypted; zip the folder again without a password.")
        images = {name: member for name, member in members.items() if is_image(name)}
        roots = {name.split("/")[0] for name in images}
        if len(roots) == 1 and all(name.count("/") >= 2 for name in images):
            images = {name.partition("/")[2]: member for name, member in images.items()}
        return dict(sorted(images.items()))
