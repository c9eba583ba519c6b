"""Bundle: a learner, or a task that it has learned, as one zip file that needs no PyTorch. See docs/bundle.md."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import pathlib
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np
import safetensors
import safetensors.numpy

from quickstudy.errors import FileFormatError
from quickstudy.runtime import manifest as manifests
from quickstudy.runtime.manifest import Manifest
from quickstudy.storage import write_atomically

SUFFIX = ".qs"
GRAPHS = ("adapt.onnx", "update.onnx", "predict.onnx")
TENSORS = ("weights.safetensors", "state.safetensors", "support.safetensors")
LARGEST = 2**30
"""Bytes of all parts together."""
EXTERNAL = b"location"
"""Part of every graph that refers to other files: the name of the entry that says where they are."""

Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Bundle:
    """What a bundle holds.

    Args:
        manifest: what it says about itself.
        graphs: ONNX without weights, by the names in `GRAPHS`.
        weights: the weights of all graphs.
        state: of an adapted task, what the learner knows.
        support: of an adapted task whose learner would forget, the examples `x` and `y`.
    """

    manifest: Manifest
    graphs: Mapping[str, bytes]
    weights: Arrays
    state: Arrays = dataclasses.field(default_factory=dict)
    support: Arrays = dataclasses.field(default_factory=dict)


def is_bundle(path: str | os.PathLike[str]) -> bool:
    """True for a file that begins as a zip archive does."""
    path = pathlib.Path(path)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def write(path: str | os.PathLike[str], bundle: Bundle) -> None:
    """Write a bundle, whole or not at all; equal content, equal bytes."""
    parts = dict(bundle.graphs)
    for name, arrays in zip(TENSORS, (bundle.weights, bundle.state, bundle.support), strict=True):
        if arrays or name == TENSORS[0]:
            parts[name] = safetensors.numpy.save({key: np.ascontiguousarray(value) for key, value in sorted(arrays.items())})
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()}
    about = bundle.manifest.model_copy(update={"parts": hashes}).model_dump_json(indent=1, exclude_none=True)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in {"manifest.json": about.encode(), **parts}.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    write_atomically(path, file.getvalue())


def read(path: str | os.PathLike[str]) -> Bundle:
    """Read a bundle.

    Raises:
        FileFormatError: there is no such file, or it is foreign, damaged, truncated, newer, or made to harm.
    """
    parts = _parts(pathlib.Path(path))
    manifest = manifests.parse(parts.pop("manifest.json", b""), str(path))
    if parts.keys() != manifest.parts.keys():
        strange = sorted(parts.keys() ^ manifest.parts.keys())
        raise FileFormatError(
            f"{path}: {', '.join(strange)} is in the archive or in its manifest, but not in both. Export it again."
        )
    for name, data in parts.items():
        if hashlib.sha256(data).hexdigest() != manifest.parts[name]:
            raise FileFormatError(f"{path} is damaged: {name} does not match its hash. Copy or export it again.")
    missing = {*GRAPHS, TENSORS[0]} - parts.keys()
    if missing:
        raise FileFormatError(f"{path} lacks {', '.join(sorted(missing))}. Export it again.")
    graphs = {name: parts[name] for name in GRAPHS}
    for name, graph in graphs.items():
        if EXTERNAL in graph:
            raise FileFormatError(f"{path}: {name} refers to data in other files, which a bundle must not. Do not use it.")
    weights, state, support = (_tensors(parts.get(name), f"{path}: {name}") for name in TENSORS)
    bundle = Bundle(manifest, graphs, weights, state, support)
    _check(bundle, str(path))
    return bundle


def _parts(path: pathlib.Path) -> dict[str, bytes]:
    """The parts of the archive, by name: none that is unknown or twice, and together no larger than they may be."""
    if not path.is_file():
        raise FileFormatError(f"{path} is not a file; expected a bundle, written by quickstudy export.")
    known = {"manifest.json", *GRAPHS, *TENSORS}
    parts: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(info.file_size for info in archive.infolist()) > LARGEST:
                raise FileFormatError(f"{path} would unpack to more than {LARGEST >> 20} MB; expected a bundle. Do not use it.")
            for info in archive.infolist():
                if info.filename not in known or info.filename in parts:
                    raise FileFormatError(f"{path} holds {info.filename!r}, which is no part of a bundle. Do not use it.")
                with archive.open(info) as file:
                    parts[info.filename] = file.read(info.file_size + 1)
                if len(parts[info.filename]) != info.file_size:
                    raise FileFormatError(f"{path} is damaged: {info.filename} has not the size it claims. Copy it again.")
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise FileFormatError(
            f"{path} is damaged or no bundle ({error}); expected one that quickstudy export wrote."
        ) from error
    return parts


def _tensors(data: bytes | None, name: str) -> dict[str, np.ndarray]:
    try:
        return {} if data is None else safetensors.numpy.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise FileFormatError(f"{name} is damaged ({error}). Copy or export it again.") from error


def _check(bundle: Bundle, path: str) -> None:
    """Weights that the graphs need, and the state of a task, are all there and of the right shape."""
    manifest = bundle.manifest
    for name in ("adapt", "update", "predict"):
        lacking = set(getattr(manifest.programs, name).weights) - bundle.weights.keys()
        if lacking:
            raise FileFormatError(f"{path} lacks the weight {min(lacking)} of {name}.onnx. Export it again.")
    if manifest.kind == "task":
        if manifest.labels is None:
            raise FileFormatError(f"{path} is a task without labels. Adapt again.")
        check_state(bundle.state, manifest, path)


def check_state(state: Arrays, manifest: Manifest, name: str) -> None:
    """A FileFormatError unless the state is one of this learner: the same tensors, of fitting shapes, with numbers in them."""
    if state.keys() != manifest.state.keys():
        strange = sorted(state.keys() ^ manifest.state.keys())
        raise FileFormatError(
            f"{name} holds a state of another learner ({strange[0]} is not in both). Use the learner it came from."
        )
    for key, axes in manifest.state.items():
        shape, value = np.shape(state[key]), state[key]
        fits = len(shape) == len(axes) and all(
            isinstance(axis, str) or axis == size for axis, size in zip(axes, shape, strict=True)
        )
        if not fits or value.dtype != np.float32:
            raise FileFormatError(
                f"{name}: state {key} is {value.dtype} {list(shape)}; expected float32 {list(axes)}. Adapt again."
            )
        if not np.isfinite(value).all():
            raise FileFormatError(f"{name}: state {key} holds NaN or infinity. Adapt again.")
