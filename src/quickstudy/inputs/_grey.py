"""Grey PNG files of one byte a place, written and read by hand: what a page shows of a sound, and what is read back from it."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from quickstudy.errors import DataError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
"""Bytes with which every PNG file begins."""


def png(grey: np.ndarray) -> bytes:
    """Return bytes `[row, column]` as a PNG file.

    >>> unpacked(png(np.array([[1, 2, 3], [4, 5, 6]], np.uint8)), (2, 3), "it").tolist()
    [[1, 2, 3], [4, 5, 6]]
    """
    height, width = grey.shape
    rows = np.pad(grey, ((0, 0), (1, 0))).tobytes()  # each row begins with its filter: 0 for none
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    return SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )


def unpacked(content: bytes, shape: tuple[int, int], label: str) -> np.ndarray:
    """Return the bytes `[row, column]` of a file that `png` wrote.

    Args:
        content: of the file.
        shape: rows and columns that are expected; a file that claims another size is not unpacked, as that might fill the memory.
        label: the example's name in errors.

    Raises:
        DataError: another program wrote it, or it has another size.
    """
    width, height = struct.unpack(">II", content[16:24].ljust(8, b"\0"))
    if (height, width) != shape:
        raise DataError(
            f"{label} is a picture; expected a sound, or a picture of one of {shape[0]} bands and {shape[1]} frames."
        )
    length = int.from_bytes(content[33:37], "big")
    try:
        rows = zlib.decompressobj().decompress(content[41 : 41 + length], max(1, height * (width + 1)))
    except zlib.error:
        rows = b""
    if len(rows) == height * (width + 1) > 0:
        found = np.frombuffer(rows, np.uint8).reshape(height, width + 1)[:, 1:]
        if png(found) == content:
            return found
    raise DataError(f"{label} is a picture; expected a sound.")
