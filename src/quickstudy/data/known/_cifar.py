"""Read CIFAR-10 and CIFAR-100: find the images that somebody put in place, or read the binary form in which they are downloaded."""

from __future__ import annotations

import pathlib
import tarfile
import zlib
from collections.abc import Sequence

import numpy as np

from quickstudy.data.places import data_root
from quickstudy.data.readers.folder import FolderTree
from quickstudy.data.readers.zip import ZipTree
from quickstudy.data.tree import Tree
from quickstudy.errors import DataError


def tree_of(folder: str, tops: Sequence[str], data_dir: str | pathlib.Path | None) -> Tree | None:
    """Return the images that were put in place by hand, None if there are none.

    Args:
        folder: their folder in the data folder; a zip whose name begins like this is found in the folder and beside it.
        tops: names of folders, of which one in there says that these are the images.
        data_dir: the data folder; None for the usual one.
    """
    root = data_root(data_dir)
    for place in (root / folder, root):
        zips = sorted(file for file in place.glob(f"{folder}*.zip") if not file.name[len(folder)].isdigit())
        if zips:
            return ZipTree(zips[0])
    return FolderTree(root / folder) if any((root / folder / top).is_dir() for top in tops) else None


def records_of(
    file: pathlib.Path, parts: Sequence[str], names: str, label_bytes: int
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return images `[image, 32, 32, 3]`, the class index of each, and the names of classes, from an archive in binary form.

    Args:
        file: the archive. Its records are labels and then 3 x 32 x 32 values, a byte each.
        parts: paths within it of the files of records.
        names: path of the text file of class names.
        label_bytes: bytes of labels, of which the last is the class.

    Raises:
        DataError: the archive is damaged, or is not CIFAR in binary form.
    """
    try:
        with tarfile.open(file, "r:gz") as archive:
            classes = _member(archive, names).decode().split()
            content = b"".join(_member(archive, part) for part in parts)
        records = np.frombuffer(content, dtype=np.uint8).reshape(-1, label_bytes + 3 * 32 * 32)
    except (tarfile.TarError, KeyError, ValueError, EOFError, OSError, zlib.error) as error:
        raise DataError(
            f"{str(file)!r} cannot be read as the binary form of CIFAR ({error}); remove it, and it is downloaded again."
        ) from error
    images = records[:, label_bytes:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return images, records[:, label_bytes - 1].astype(np.int64), classes


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    stream = archive.extractfile(name)
    if stream is None:
        raise KeyError(f"{name} is not a file")
    return stream.read()
