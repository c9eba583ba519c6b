"""Bundle: a learner, or a skill (a task that it has learned), as one zip file. See docs/bundle.md."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import pathlib
import struct
import zipfile
import zlib
from collections.abc import Collection, Mapping

import numpy as np
import safetensors
import safetensors.numpy

from quickstudy import targets
from quickstudy.errors import DataError, FileFormatError, NotFoundError, TooLargeError
from quickstudy.inputs import TensorLayout
from quickstudy.runtime import manifest as manifests
from quickstudy.runtime.manifest import Manifest, StateTensor
from quickstudy.storage import write_atomically

TENSORS = ("weights.safetensors", "state.safetensors", "support.safetensors")
"""Names of the parts that hold tensors: a learner's weights, a skill's state, and the examples that a skill keeps."""
TORCH_LEARNER = "learner.safetensors"
"""Name of the part that holds, in place of graphs, a learner for PyTorch as `save_learner` writes it."""
LIMITS = {"parts": 2**30, "manifest": 2**20}
"""Largest size in bytes of all parts together, and of manifest.json; the browser has the same limit for the latter."""
KINDS = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9, "float16": 10, "float64": 11}
"""Types that a weight may have, with ONNX's number of each."""
UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError),
    *(NotImplementedError, OverflowError, RuntimeError, UnicodeDecodeError),
)
"""Errors that zipfile raises, in practice, for a damaged or foreign file."""
EXTERNAL = b"location"
"""Bytes that every graph has which refers to other files: the name of the entry that says where these are."""

Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Bundle:
    """Content of a bundle.

    Args:
        manifest: what the bundle says about itself.
        graphs: ONNX without weights, by file name, such as `adapt.onnx`; empty if the bundle holds a learner for PyTorch.
        weights: the weights of all graphs.
        state: what a skill knows; empty in a learner's bundle.
        support: the examples that a skill keeps, by the names of the input's layout, as stored, and `y`.
        learner: a file as `save_learner` writes it, in place of graphs; None if there are graphs.
    """

    manifest: Manifest
    graphs: Mapping[str, bytes]
    weights: Arrays
    state: Arrays = dataclasses.field(default_factory=dict)
    support: Arrays = dataclasses.field(default_factory=dict)
    learner: bytes | None = None

    def __repr__(self) -> str:
        state = f", with {len(self.state)} tensors of a state" if self.state else ""
        name = self.manifest.learner.get("name", "a learner")
        return f"<Bundle of {name}: {', '.join(self.graphs) or 'a learner for PyTorch'}{state}>"


def is_bundle(path: str | os.PathLike[str]) -> bool:
    """Return whether a file begins as a zip archive does."""
    path = pathlib.Path(path)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def write(path: str | os.PathLike[str], bundle: Bundle) -> None:
    """Write a bundle, whole or not at all; equal content, equal bytes.

    Raises:
        DataError: so many labels that it could not be read again.
    """
    parts = dict(bundle.graphs) if bundle.learner is None else {TORCH_LEARNER: bundle.learner}
    for name, arrays in zip(TENSORS, (bundle.weights, bundle.state, bundle.support), strict=True):
        if arrays or (name == TENSORS[0] and bundle.learner is None):
            parts[name] = safetensors.numpy.save({key: np.asarray(value, order="C") for key, value in sorted(arrays.items())})
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()}
    about = bundle.manifest.model_copy(update={"parts": hashes}).model_dump_json(indent=1, exclude_none=True).encode()
    if len(about) > LIMITS["manifest"]:
        raise DataError(
            f"{path} would have a manifest of {len(about)} bytes; expected at most {LIMITS['manifest']}. Use fewer or shorter labels."
        )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in {"manifest.json": about, **parts}.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    write_atomically(path, file.getvalue())


def read(path: str | os.PathLike[str]) -> Bundle:
    """Read a bundle.

    Raises:
        NotFoundError: there is no such file.
        FileFormatError: the file is foreign, damaged, truncated, newer, or made to harm.
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
    _check_names(parts.keys(), manifest, str(path))
    graphs = {file: parts[file] for file in _graph_files(manifest)}
    for name, graph in graphs.items():
        if EXTERNAL in graph:
            raise FileFormatError(f"{path}: {name} refers to data in other files, which a bundle must not. Do not use it.")
    weights, state, support = (_tensors(parts.get(name), f"{path}: {name}") for name in TENSORS)
    bundle = Bundle(manifest, graphs, weights, state, support, parts.get(TORCH_LEARNER))
    _check(bundle, str(path))
    return bundle


def _graph_files(manifest: Manifest) -> list[str]:
    """Return the file names of a bundle's graphs."""
    return [f"{name}.onnx" for name in manifest.programs]


def _parts(path: pathlib.Path) -> dict[str, bytes]:
    """Return the parts of the archive by name, or raise an error if one is unknown or there twice, or if they are too large together."""
    if not path.is_file():
        raise NotFoundError(f"{path} is not a file; expected a bundle, written by quickstudy export.", subject=str(path))
    known = {"manifest.json", TORCH_LEARNER, *(f"{name}.onnx" for name in manifests.program_names(continues=True)), *TENSORS}
    parts: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(info.file_size for info in archive.infolist()) > LIMITS["parts"]:
                raise TooLargeError(
                    f"{path} would unpack to more than {LIMITS['parts'] >> 20} MB; expected a bundle. Do not use it."
                )
            if "manifest.json" not in archive.namelist():
                raise FileFormatError(
                    f"{path} is neither a learner nor a skill: it has no manifest.json. Give a file that quickstudy train, export or "
                    "adapt wrote."
                )
            for info in archive.infolist():
                _check_entry(info, path, known - parts.keys())
                parts[info.filename] = _content(archive, info, path)
    except UNREADABLE as error:
        raise FileFormatError(
            f"{path} is damaged or no bundle ({error}); expected one that quickstudy export wrote."
        ) from error
    return parts


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: pathlib.Path) -> bytes:
    """Return the bytes of an entry, or raise a FileFormatError if they are not as many as the entry says."""
    with archive.open(info) as file:
        found = file.read(info.file_size + 1)
    if len(found) != info.file_size:
        raise FileFormatError(f"{path} is damaged: {info.filename} has not the size it claims. Copy it again.")
    return found


def _check_entry(info: zipfile.ZipInfo, path: pathlib.Path, expected: Collection[str]) -> None:
    """Raise a FileFormatError for an entry that `write` never makes, or that needs much memory or other libraries to unpack."""
    if info.filename not in expected:
        raise FileFormatError(f"{path} holds {info.filename!r}, which is no part of a bundle. Do not use it.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise FileFormatError(
            f"{path} is damaged or no bundle ({info.filename} is compressed by method {info.compress_type}); expected one that "
            "quickstudy export wrote."
        )
    if info.filename == "manifest.json" and info.file_size > LIMITS["manifest"]:
        raise FileFormatError(
            f"{path}: manifest.json has {info.file_size} bytes; expected at most {LIMITS['manifest']}. Do not use it."
        )


def _check_names(names: Collection[str], manifest: Manifest, path: str) -> None:
    """Raise a FileFormatError unless every part that the manifest needs is there, and no other."""
    learner = {*_graph_files(manifest), TENSORS[0]} if manifest.programs else {TORCH_LEARNER}
    expected = learner | ({TENSORS[1]} if manifest.kind == "skill" else set())
    if manifest.kind == "skill" and not manifest.continues:
        expected |= {TENSORS[2]}
    optional = {TENSORS[2]} if manifest.kind == "skill" else set()
    missing, extra = sorted(expected - set(names)), sorted(set(names) - expected - optional)
    if missing:
        raise FileFormatError(f"{path} lacks {', '.join(missing)}. Export it, or adapt, again.")
    if extra:
        raise FileFormatError(f"{path} holds {', '.join(extra)}, which is no part of such a {manifest.kind}. Export it again.")


def _tensors(data: bytes | None, name: str) -> dict[str, np.ndarray]:
    """Return the tensors of a part by name; none if the part is not there."""
    try:
        return {} if data is None else safetensors.numpy.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise FileFormatError(f"{name} is damaged ({error}). Copy or export it again.") from error


def _check(bundle: Bundle, path: str) -> None:
    """Raise a FileFormatError unless weights, state and examples are all there, of the right shape and type."""
    manifest = bundle.manifest
    for name, value in bundle.weights.items():
        if value.dtype.name not in KINDS:
            raise FileFormatError(
                f"{path}: weight {name} is {value.dtype}; expected one of {', '.join(KINDS)}. Export it again."
            )
    for name, program in manifest.programs.items():
        lacking = set(program.weights) - bundle.weights.keys()
        if lacking:
            raise FileFormatError(f"{path} lacks the weight {min(lacking)} of {name}.onnx. Export it again.")
    if manifest.kind == "skill" and bundle.graphs:
        check_state(bundle.state, manifest, path)
    if bundle.learner is not None:  # whose tensors may be of any type
        _check_numbers({**bundle.state, **bundle.support}, f"{path}: tensor")
    elif bundle.support:
        _check_support(bundle.support, manifest, path)


def check_state(state: Arrays, manifest: Manifest, name: str) -> None:
    """Raise a FileFormatError unless the state is one of this learner: the same tensors, of fitting shapes and types, all numbers."""
    if state.keys() != manifest.state.keys():
        strange = sorted(state.keys() ^ manifest.state.keys())
        raise FileFormatError(
            f"{name} holds a state of another learner ({strange[0]} is not in both). Use the learner it came from."
        )
    check_layout(state, manifest.state, _sizes(manifest), f"{name}: state")
    _check_numbers(state, f"{name}: state")


def check_layout(values: Arrays, layout: Mapping[str, StateTensor], sizes: Mapping[str, int], name: str) -> None:
    """Raise a FileFormatError unless values have the shapes and types that `layout` says; an axis has one size wherever it is named.

    Args:
        values: arrays by name.
        layout: shape and type of each array.
        sizes: sizes of named axes, as far as they are known.
        name: name of the values, for the message.
    """
    known: dict[str | int, int] = {**sizes}
    for key, tensor in layout.items():
        value, expected = values[key], [known.get(axis, axis) for axis in tensor.shape]
        fits = value.ndim == len(expected) and all(
            isinstance(axis, str) or axis == size for axis, size in zip(expected, value.shape, strict=True)
        )
        if not fits or value.dtype != tensor.dtype:
            raise FileFormatError(
                f"{name} {key} is {value.dtype} {list(value.shape)}; expected {tensor.dtype} {expected}. Adapt again."
            )
        known |= {axis: size for axis, size in zip(tensor.shape, value.shape, strict=True) if isinstance(axis, str)}


def _check_support(support: Arrays, manifest: Manifest, path: str) -> None:
    """Raise a FileFormatError unless the kept examples are as the learner's input is stored, each with its row of `y`."""
    if support.keys() != {*manifest.layout, "y"}:
        expected = ", ".join([*manifest.layout, "y"])
        raise FileFormatError(f"{path}: support.safetensors holds {sorted(support)}; expected {expected}. Adapt again.")
    y = support["y"]
    ways = _sizes(manifest).get("way") or manifest.target.outputs
    axes = targets.axes(manifest.target.kind)
    if y.ndim != 2 + len(axes) or y.dtype != np.float32 or (ways is not None and y.shape[-1] != ways):
        expected = ["example", *axes, ways or "way"]
        raise FileFormatError(f"{path}: support y is {y.dtype} {list(y.shape)}; expected float32 {expected}. Adapt again.")
    for name, layout in manifest.layout.items():
        _check_stored(support[name], layout, len(y), f"{path}: support {name}")
    _check_numbers(support, f"{path}: support")


def _check_stored(values: np.ndarray, layout: TensorLayout, count: int, name: str) -> None:
    """Raise a FileFormatError unless values are `count` examples as the layout stores them."""
    expected = (count, *layout.axes)
    if values.shape != expected or values.dtype != layout.dtype:
        raise FileFormatError(
            f"{name} is {values.dtype} {list(values.shape)}; expected {layout.dtype} {list(expected)}. Adapt again."
        )


def _check_numbers(values: Arrays, name: str) -> None:
    """Raise a FileFormatError if a tensor holds NaN or infinity."""
    for key, value in values.items():
        if not np.isfinite(value).all():
            raise FileFormatError(f"{name} {key} holds NaN or infinity. Adapt again.")


def _sizes(manifest: Manifest) -> dict[str, int]:
    """Return the sizes of the axes that the labels determine; values have no labels, so none."""
    classes = manifest.labels is not None and manifest.target.kind in ("classes", "labels")
    return {"way": len(manifest.labels or ())} if classes else {}


def same_learner(one: Bundle, other: Bundle) -> bool:
    """Return whether a state of one is a state of the other: their graphs, weights and inputs are equal."""
    if one is other:
        return True
    alike = (
        one.manifest.input.layout() == other.manifest.input.layout()
        and one.graphs == other.graphs
        and one.learner == other.learner
    )
    return (
        alike
        and one.weights.keys() == other.weights.keys()
        and all(
            value.dtype == other.weights[name].dtype and np.array_equal(value, other.weights[name])
            for name, value in one.weights.items()
        )
    )
