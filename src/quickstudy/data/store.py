"""Files are read once, into one array per part of an example in the cache folder, memory-mapped (copy on write) from then on.

`<key>.<name>.npy` holds the stored examples. `<key>.json` holds notes: the paths that could not be read, a fingerprint, and size and
CRC-32 of every array's file. The key is a hash of the source's identity, the paths, the spec and `VERSION`. All files are written
under another name and renamed, the notes last, so that a reader sees a whole cache or none. If several processes want the same
cache, one builds it while the others wait; if the file system has no locks, all build it and write the same bytes. A cache that
does not fit its notes is built again. Files that a killed process left half-written are removed by the next process that builds.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import io
import json
import os
import pathlib
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from quickstudy.data import places
from quickstudy.data.dataset import derived
from quickstudy.data.tree import Tree
from quickstudy.errors import DataError, StorageError, UserError
from quickstudy.inputs import InputSpec, TensorLayout

Chunk = tuple[dict[str, np.ndarray], list[int]]

VERSION = "3"
"""Part of every key: raise it when reading changes."""
TUNED = {"chunk": 256, "checked": 256 * 2**20, "threads_from": 8 * 2**10}
"""Files per unit of work; bytes up to which an array is checked by CRC-32 (reading a larger one whole would undo the memory map);
mean bytes per file from which threads pay (below, Python's own work, which threads cannot share, outweighs decoding)."""


@dataclasses.dataclass(frozen=True)
class Job:
    """Files to read: paths of a tree, in this order. The spec reads them, with the options `how` of its `read`."""

    tree: Tree
    paths: tuple[str, ...]
    spec: InputSpec
    how: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def key(self) -> str:
        """Return the name of the cache: equal jobs on equal sources, equal key."""
        facts = json.dumps([self.spec.model_dump(), dict(self.how)], sort_keys=True)
        return derived(self.tree.identity(self.paths), VERSION, facts, "\n".join(self.paths))


@dataclasses.dataclass(frozen=True)
class Decoded:
    """Stored examples by name, in the order of the job; the paths that could not be read; and a hash of the content."""

    stored: dict[str, np.ndarray]
    unreadable: tuple[str, ...]
    content_hash: str


@dataclasses.dataclass(frozen=True)
class _Place:
    """The files of one cache."""

    folder: pathlib.Path
    key: str

    @property
    def notes(self) -> pathlib.Path:
        return self.folder / f"{self.key}.json"

    @property
    def lock(self) -> pathlib.Path:
        return self.folder / f"{self.key}.lock"

    def array(self, name: str) -> pathlib.Path:
        return self.folder / f"{self.key}.{name}.npy"


def decoded(job: Job, strict: bool = False) -> Decoded:
    """Return the job's examples, from the cache if there is a sound one. `strict` stops at the first unreadable file."""
    place = _Place(places.cache_root() / job.spec.nouns, job.key())
    found = _open(place, job)
    if found is None:
        try:
            _build_once(job, place, strict)
        except OSError as error:
            raise StorageError(
                f"cannot write the cache in {str(place.folder)!r} ({error}); free space or set QUICKSTUDY_CACHE."
            ) from error
        found = _open(place, job)
    if found is None:
        raise StorageError(
            f"the cache {str(place.notes)!r} cannot be read back; check the disk or set QUICKSTUDY_CACHE to another folder."
        )
    return found


def _open(place: _Place, job: Job) -> Decoded | None:
    """Return the cache, or None if it is missing or damaged."""
    try:
        about = json.loads(place.notes.read_text(encoding="utf-8"))
        unreadable = tuple(about["unreadable"])
        count = len(job.paths) - len(unreadable)
        stored = {name: _mapped_array(place.array(name), about["arrays"][name]) for name in job.spec.layout()}
        content_hash = str(about["content_hash"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    for name, layout in job.spec.layout().items():
        array = stored[name]
        if array is None or array.dtype != layout.dtype or array.shape != (count, *layout.axes):
            return None
    return Decoded({name: array for name, array in stored.items() if array is not None}, unreadable, content_hash)


def _mapped_array(file: pathlib.Path, about: Mapping[str, Any]) -> np.ndarray | None:
    """Return the array of a file, or None if its size or checksum is not what the notes say."""
    if file.stat().st_size != about["bytes"]:
        return None
    if about["bytes"] <= TUNED["checked"] and _crc(file) != about["crc32"]:
        return None
    return np.load(file, mmap_mode="c", allow_pickle=False)


def _build_once(job: Job, place: _Place, strict: bool) -> None:
    """Build the cache, unless another process has built it meanwhile."""
    with places.exclusive(place.lock) as ours:
        if _open(place, job) is not None:
            return
        if ours:
            _sweep(place.folder, place.key)
        _build(job, place, strict)


def _build(job: Job, place: _Place, strict: bool) -> None:
    """Read all files of a job and write the cache."""
    with contextlib.ExitStack() as stack:
        written = {name: stack.enter_context(_temporary(place.array(name))) for name in job.spec.layout()}
        unreadable, content_hash = _write_arrays(written, job, strict)
        about = {
            "unreadable": [job.paths[row] for row in unreadable],
            "arrays": {name: {"bytes": file.stat().st_size, "crc32": _crc(file)} for name, file in written.items()},
            "content_hash": content_hash,
            "source": job.tree.label,
        }
        for name, file in written.items():
            os.replace(file, place.array(name))
    with _temporary(place.notes) as file:
        file.write_text(json.dumps(about, indent=1), encoding="utf-8")
        os.replace(file, place.notes)


def _write_arrays(files: Mapping[str, pathlib.Path], job: Job, strict: bool) -> tuple[list[int], str]:
    """Read all paths into .npy files, without what cannot be read.

    Returns:
        The rows left out, and a hash of the content.
    """
    starts = range(0, len(job.paths), TUNED["chunk"])
    layouts, left_out = job.spec.layout(), []
    digests = {name: hashlib.sha256() for name in files}
    with contextlib.ExitStack() as stack:
        streams = {name: stack.enter_context(file.open("wb")) for name, file in files.items()}
        for name, stream in streams.items():
            stream.write(_header(len(job.paths), layouts[name]))
        for examples, failed in _mapped(lambda start: _read_chunk(job, start, strict), starts, _workers(job), job.tree.name):
            for name, array in examples.items():
                streams[name].write(array.data)
                digests[name].update(array.data)
            left_out += failed
        for name, stream in streams.items():
            stream.seek(0)
            stream.write(_header(len(job.paths) - len(left_out), layouts[name]))
    hashes = [digest.hexdigest() for digest in digests.values()]
    return left_out, hashes[0] if len(hashes) == 1 else derived("several", *hashes)


def _header(count: int, layout: TensorLayout) -> bytes:
    """Return the header of an .npy file; NumPy leaves room in it for a growing first axis, so its length is the same for any count."""
    buffer = io.BytesIO()
    about = {"descr": np.dtype(layout.dtype).str, "fortran_order": False, "shape": (count, *layout.axes)}
    np.lib.format.write_array_header_1_0(buffer, about)
    return buffer.getvalue()


def _read_chunk(job: Job, start: int, strict: bool) -> Chunk:
    """Return the examples from row `start` on, without the unreadable, and the rows of these."""
    examples, failed = [], []
    for row in range(start, min(start + TUNED["chunk"], len(job.paths))):
        try:
            examples.append(job.spec.read(job.tree.read(job.paths[row]), **job.how))
        except (UserError, OSError) as error:
            if strict:
                raise DataError(f"{job.tree.label}: {job.paths[row]!r}: {error} Or read with strict=False.") from error
            failed.append(row)
    layouts = job.spec.layout().items()
    stacked = {
        name: np.stack([example[name] for example in examples]) if examples else np.empty((0, *layout.axes), layout.dtype)
        for name, layout in layouts
    }
    return stacked, failed


def _workers(job: Job) -> int:
    """Return how many threads read the files."""
    sizes = job.tree.listing.files
    mean = sum(sizes[path] for path in job.paths) / max(1, len(job.paths))
    return min(8, os.cpu_count() or 1) if mean >= TUNED["threads_from"] else 1


def _mapped(decode: Callable[[int], Chunk], starts: range, workers: int, name: str) -> Iterator[Chunk]:
    """Yield the chunks in order, with a bar on a terminal."""
    with contextlib.ExitStack() as stack:
        results: Iterator[Chunk] = map(decode, starts)
        if workers > 1:
            pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(workers))
            results = pool.map(decode, starts)
        if sys.stderr.isatty():
            import rich.console
            import rich.progress

            console = rich.console.Console(stderr=True)
            results = iter(rich.progress.track(results, f"reading {name}", total=len(starts), console=console, transient=True))
        yield from results


def _crc(file: pathlib.Path) -> int:
    """Return the CRC-32 of a file."""
    crc = 0
    with file.open("rb") as stream:
        while block := stream.read(2**20):
            crc = zlib.crc32(block, crc)
    return crc


def _sweep(folder: pathlib.Path, held: str) -> None:
    """Remove what killed processes left half-written: parts of caches whose lock is free. The lock of `held` is ours."""
    for part in folder.glob(".*.part"):
        lock = folder / f"{part.name.split('.')[1]}.lock"
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            ours = lock.stem == held or (lock.exists() and stack.enter_context(places.exclusive(lock, wait=False)))
            if ours:
                part.unlink()


@contextlib.contextmanager
def _temporary(beside: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield a new file name in the same folder, removed afterwards unless it was renamed."""
    handle, name = tempfile.mkstemp(prefix=f".{beside.stem}.", suffix=f"{beside.suffix}.part", dir=beside.parent)
    os.close(handle)
    path = pathlib.Path(name)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
