"""Files that are written whole or not at all: tensors and JSON in one safetensors file, never pickle. No torch here."""

from __future__ import annotations

import contextlib
import hashlib
import json
import operator
import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import safetensors
import safetensors.numpy

from quickstudy.errors import FileFormatError, StorageError

FORMAT = 1
"""Version of the file format; newer files are refused by name, older ones stay readable."""

HEADER = ("format", "kind", "hash", "meta_hash", "meta")

Arrays = Mapping[str, np.ndarray]


class Content(NamedTuple):
    """What a file holds."""

    kind: str
    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write, fsync, rename: at any moment `path` is the old file or the new one.

    Raises:
        StorageError: the disk is full or the folder cannot be written; the old file stays.
    """
    path = pathlib.Path(path)
    temporary, written = None, False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = file.name
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        written = True
    except OSError as error:
        kept = "what was there before is unchanged" if path.exists() else "nothing was written"
        raise StorageError(
            f"could not write {path}: {error.strerror or error}; {kept}. Free some space or choose another place."
        ) from error
    finally:
        if temporary is not None and not written:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def save(path: str | os.PathLike[str], kind: str, arrays: Arrays, meta: Mapping[str, Any]) -> None:
    """Save arrays and plain values as one file of the given kind (`learner`, `task`, `checkpoint`)."""
    facts = {"format": FORMAT, "kind": kind, "hash": fingerprint(arrays), "meta": meta, "meta_hash": _meta_hash(meta)}
    header = {"quickstudy": json.dumps(facts)}
    contiguous = {name: np.asarray(value, order="C") for name, value in arrays.items()}
    write_atomically(path, safetensors.numpy.save(contiguous, metadata=header))


def load(path: str | os.PathLike[str], *kinds: str) -> Content:
    """Read a file of one of the given kinds.

    Raises:
        FileFormatError: there is no such file, or it is damaged, foreign, of another kind, or of a newer format.
    """
    path = pathlib.Path(path)
    expected = f"expected a saved {' or '.join(kinds)}"
    if not path.is_file():
        raise FileFormatError(f"{path} is not a file; {expected}.")
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
    if found["kind"] not in kinds:
        raise FileFormatError(f"{path} is a saved {found['kind']}; {expected}.")
    if found["hash"] != fingerprint(arrays) or found["meta_hash"] != _meta_hash(found["meta"]):
        raise FileFormatError(f"{path} is damaged: its content does not match its hash. Copy or train it again.")
    return Content(found["kind"], arrays, found["meta"])


def _meta_hash(meta: Mapping[str, Any]) -> str:
    """Hash of plain values, the same before and after JSON."""
    plain = json.dumps(json.loads(json.dumps(meta)), sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()[:16]


def fingerprint(arrays: Arrays) -> str:
    """Hash of names, shapes, types and values; equal content, equal fingerprint."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        value = np.asarray(arrays[name], order="C")
        digest.update(f"{name} {value.dtype.str} {value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()[:16]
