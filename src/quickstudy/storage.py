"""Files that are written whole or not at all: tensors and JSON in one safetensors file, never pickle. No torch here."""

from __future__ import annotations

import contextlib
import hashlib
import json
import operator
import os
import pathlib
import secrets
import stat
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import safetensors
import safetensors.numpy

from quickstudy.errors import FileFormatError, NotFoundError, StorageError

FORMAT = 2
"""Version of the file format; a file of another version is refused, with the version that it has."""

LEARNER = "learner.safetensors"
"""Name of the learner's file in the folder of a run."""

CHECKPOINT = "checkpoint.safetensors"
"""Name of the checkpoint in the folder of a run."""

HEADER = ("format", "kind", "hash", "meta_hash", "meta")

Arrays = Mapping[str, np.ndarray]


class Content(NamedTuple):
    """Content of a file."""

    kind: str
    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file so that at any moment `path` is the old file or the new one: write beside it, fsync, rename.

    A link is followed. An existing file keeps its mode, a new one has the mode that the umask leaves. A pipe or a device is not
    replaced but written into.

    Raises:
        StorageError: the disk is full or the folder cannot be written; the old file stays.
    """
    try:
        before = _status(path)
        if before is None or stat.S_ISREG(before.st_mode):
            _replace(pathlib.Path(os.path.realpath(path)), data, None if before is None else stat.S_IMODE(before.st_mode))
        else:
            with open(path, "wb") as stream:
                stream.write(data)
    except OSError as error:
        kept = "what was there before is unchanged" if os.path.lexists(path) else "nothing was written"
        remedy = "Free some space or choose another place."
        raise StorageError(
            f"could not write {path}: {error.strerror or error}; {kept}. {remedy}", subject=str(path), remedy=remedy
        ) from error


def _status(path: str | os.PathLike[str]) -> os.stat_result | None:
    """Return what the system knows of a file, None if there is none."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _replace(path: pathlib.Path, data: bytes, mode: int | None) -> None:
    """Write the new file beside `path` and rename it; `mode` is that of the old file, None if there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:200]}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with contextlib.ExitStack() as stack:
        handle = os.open(temporary, flags, 0o666 if mode is None else mode)  # the system takes off what the umask says
        stack.callback(_remove, temporary)
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, mode)
        os.replace(temporary, path)
        stack.pop_all()


def _remove(path: pathlib.Path) -> None:
    """Remove a file that may be gone already."""
    with contextlib.suppress(OSError):
        os.unlink(path)


def save(path: str | os.PathLike[str], kind: str, arrays: Arrays, meta: Mapping[str, Any]) -> None:
    """Save arrays and plain values as one file of the given kind (`learner`, `checkpoint`, `images`)."""
    write_atomically(path, packed(kind, arrays, meta))


def packed(kind: str, arrays: Arrays, meta: Mapping[str, Any]) -> bytes:
    """Return the bytes of the file that `save` writes."""
    facts = {"format": FORMAT, "kind": kind, "hash": fingerprint(arrays), "meta": meta, "meta_hash": _meta_hash(meta)}
    header = {"quickstudy": json.dumps(facts)}
    contiguous = {name: np.asarray(value, order="C") for name, value in arrays.items()}
    return safetensors.numpy.save(contiguous, metadata=header)


def load(path: str | os.PathLike[str], *kinds: str) -> Content:
    """Read a file of one of the given kinds.

    Raises:
        NotFoundError: there is no such file.
        FileFormatError: it may not be read, is damaged, foreign, of another kind, or of a newer format.
    """
    path = pathlib.Path(path)
    expected = f"expected a saved {' or '.join(kinds)}"
    check_file(path, expected)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            header = (file.metadata() or {}).get("quickstudy")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
    except (safetensors.SafetensorError, OSError, ValueError, TypeError) as error:
        raise FileFormatError(f"{path} is damaged or no safetensors file ({error}); {expected}.") from error
    if header is None:
        raise FileFormatError(f"{path} is a safetensors file, but quickstudy did not write it; {expected}.")
    try:
        found = dict(zip(HEADER, operator.itemgetter(*HEADER)(json.loads(header)), strict=True))
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise FileFormatError(f"{path} has a damaged header ({error}); {expected}.") from error
    if not isinstance(found["format"], int) or found["format"] > FORMAT:
        raise FileFormatError(f"{path} has format {found['format']}, this quickstudy reads up to {FORMAT}: update quickstudy.")
    if found["format"] < FORMAT:
        raise FileFormatError(
            f"{path} has format {found['format']}, which quickstudy 0.1 wrote and this one does not read: train again."
        )
    if found["kind"] not in kinds:
        raise FileFormatError(f"{path} is a saved {found['kind']}; {expected}.")
    if found["hash"] != fingerprint(arrays) or found["meta_hash"] != _meta_hash(found["meta"]):
        raise FileFormatError(f"{path} is damaged: its content does not match its hash. Copy or train it again.")
    return Content(found["kind"], arrays, found["meta"])


def check_file(path: str | os.PathLike[str], expected: str) -> None:
    """Raise an error unless `path` is a file that may be read.

    Args:
        path: file to look at.
        expected: the end of the message, such as `expected a saved learner`.

    Raises:
        NotFoundError: there is no such file.
        FileFormatError: the system does not let this process read it.
    """
    try:
        if stat.S_ISREG(os.stat(path).st_mode):
            with open(path, "rb"):
                return
        raise NotFoundError(f"{path} is not a file; {expected}.", subject=str(path), expected=expected)
    except PermissionError as error:
        raise FileFormatError(
            f"{path} may not be read ({error.strerror}); {expected}. Ask its owner, or change its permissions.",
            subject=str(path),
            expected=expected,
        ) from error
    except OSError as error:
        raise NotFoundError(f"there is no file {path}; {expected}.", subject=str(path), expected=expected) from error


def _meta_hash(meta: Mapping[str, Any]) -> str:
    """Return a hash of plain values that is the same before and after JSON."""
    plain = json.dumps(json.loads(json.dumps(meta)), sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()[:16]


def fingerprint(arrays: Arrays) -> str:
    """Return a hash of names, shapes, types and values: equal content, equal fingerprint."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        value = np.asarray(arrays[name], order="C")
        digest.update(f"{name} {value.dtype.str} {value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()[:16]
