"""Images and labels in the idx format of MNIST, plain or gzipped.

An idx file is: two zero bytes, a type (8: unsigned bytes, the one read here), the number of axes, the size of each axis
(big-endian, 4 bytes), and the values.
"""

from __future__ import annotations

import gzip
import math
import pathlib
import struct
import zlib

import numpy as np

from quickstudy.data.arrays import from_arrays
from quickstudy.data.places import kind_of_path
from quickstudy.data.readers import Found, Wanted
from quickstudy.data.tree import printable
from quickstudy.errors import DataError, NotFoundError

GZIP_MAGIC = b"\x1f\x8b"


EXPECTED = "an idx file"


def recognises(path: pathlib.Path) -> bool:
    """Return whether a file's name says idx: `train-images-idx3-ubyte.gz`, `shapes.idx`.

    >>> recognises(pathlib.Path("train-images-idx3-ubyte.gz")), recognises(pathlib.Path("train.csv"))
    (True, False)
    """
    name = path.name.lower().removesuffix(".gz")
    return name.endswith((".idx", "-ubyte", ".idx1", ".idx3"))


def kind(path: pathlib.Path) -> str:
    """Return that such files hold images."""
    del path
    return "image"


def read(path: pathlib.Path, wanted: Wanted) -> Found:
    """Return the classes of an idx file of images and the file of labels beside it."""
    images, labels = read_pair(path)
    spec, how = wanted.of_array(images)
    return Found(from_arrays(images, labels, spec=spec, how=how, name=printable(path.name)))


def read_idx(file: str | pathlib.Path, axes: int) -> np.ndarray:
    """Return the array in one idx file, uint8.

    Args:
        file: an idx file, gzipped or not.
        axes: how many axes it must have: 3 for images, 1 for labels.

    Raises:
        DataError: missing, foreign, cut short, or not of unsigned bytes.
    """
    content = _unpacked(pathlib.Path(file))
    expected = bytes([0, 0, 8, axes])
    if content[:4] != expected:
        raise DataError(
            f"{str(file)!r} starts with bytes {content[:4].hex(' ') or '(none)'}; expected {expected.hex(' ')}, an idx file of "
            f"unsigned bytes with {axes} axes ({'images' if axes == 3 else 'labels'})."
        )
    if len(content) < 4 + 4 * axes:
        raise DataError(f"{str(file)!r} is cut short in its header; copy or download it again.")
    shape = struct.unpack(f">{axes}I", content[4 : 4 + 4 * axes])
    values = len(content) - 4 - 4 * axes
    if values != math.prod(shape):
        raise DataError(
            f"{str(file)!r} holds {values} values; expected {math.prod(shape)} for {shape}. Copy or download it again."
        )
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * axes).reshape(shape)


def read_pair(images: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Return images `[image, height, width]` and labels `[image]`, from an image file and the labels file beside it.

    The labels file has the same name with `labels` for `images` (and `idx1` for `idx3`), gzipped or not.
    """
    name = images.name
    if "images" not in name:
        raise DataError(
            f"{str(images)!r}: the name of an idx image file must hold the word images, so that its labels file can be found."
        )
    plain = name.replace("images", "labels").replace("idx3", "idx1").removesuffix(".gz")
    for candidate in (images.with_name(plain), images.with_name(f"{plain}.gz")):
        if kind_of_path(candidate) == "file":
            return read_idx(images, 3), read_idx(candidate, 1)
    raise DataError(f"{str(images)!r} has no labels file; expected {plain!r} or {plain + '.gz'!r} beside it.")


def _unpacked(file: pathlib.Path) -> bytes:
    """Return the content of a file, unpacked if it is gzipped."""
    try:
        content = file.read_bytes()
        return gzip.decompress(content) if content[:2] == GZIP_MAGIC else content
    except FileNotFoundError:
        raise NotFoundError(f"there is no file {str(file)!r}; check the path.", subject=str(file)) from None
    except PermissionError as error:
        raise DataError(f"{str(file)!r} may not be read ({error.strerror}); change its permissions.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{str(file)!r} cannot be unpacked ({error}); it may be cut short: copy or download it again."
        ) from error
