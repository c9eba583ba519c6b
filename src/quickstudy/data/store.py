"""Images are decoded once, into one uint8 file in the cache folder, and memory-mapped (copy on write) from then on.

`<key>.npy` holds the pixels, `<key>.json` beside it the paths that could not be read, a fingerprint, and size and CRC-32 of
the pixels' file. The key is a hash of the source's identity, the paths, the spec and `VERSION`. Both files are written under
another name and renamed, pixels first, so that a reader sees a whole cache or none. Of several processes that want the same
cache, one builds it while the others wait; where the file system has no locks all build it, and write the same bytes. A cache
that does not fit its JSON is built again.
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
from collections.abc import Callable, Iterator

import numpy as np

from quickstudy.data import places
from quickstudy.data.dataset import derived
from quickstudy.data.tree import Tree
from quickstudy.errors import DataError, StorageError
from quickstudy.inputs.image import ImageSpec, load_image

Chunk = tuple[np.ndarray, list[int]]

VERSION = "2"
"""Part of every key: raise it when decoding changes."""
CHUNK = 256
CRC_LIMIT = 256 * 2**20
"""Larger caches are checked by size and shape only: reading them whole would undo the memory map."""
THREADS_FROM = 8 * 2**10
"""Mean bytes per file from which threads pay: below, Python's own work (which threads cannot share) outweighs decoding."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What to decode: these paths of a tree, in this order, as the spec says."""

    tree: Tree
    paths: tuple[str, ...]
    spec: ImageSpec

    def key(self) -> str:
        """Name of the cache: equal jobs on equal sources, equal key."""
        return derived(self.tree.identity(), VERSION, json.dumps(self.spec.model_dump(), sort_keys=True), "\n".join(self.paths))


@dataclasses.dataclass(frozen=True)
class Decoded:
    """Images uint8 `[image, height, width, channel]` in the order of the job, without the unreadable; a hash of the pixels."""

    images: np.ndarray
    unreadable: tuple[str, ...]
    pixel_hash: str


def decoded(job: Job, strict: bool = False) -> Decoded:
    """The job's images, from the cache where there is a sound one. `strict` stops at the first unreadable image."""
    folder = places.cache_root() / "images"
    pixels, notes = folder / f"{job.key()}.npy", folder / f"{job.key()}.json"
    found = _open(pixels, notes, job)
    if found is None:
        try:
            with places.exclusive(folder / f"{job.key()}.lock"):
                if _open(pixels, notes, job) is None:
                    _build(job, pixels, notes, strict)
        except OSError as error:
            raise StorageError(
                f"cannot write the image cache in {str(folder)!r} ({error}); free space or set QUICKSTUDY_CACHE."
            ) from error
        found = _open(pixels, notes, job)
    if found is None:
        raise StorageError(
            f"the image cache {str(pixels)!r} cannot be read back; check the disk or set QUICKSTUDY_CACHE to another folder."
        )
    return found


def _open(pixels: pathlib.Path, notes: pathlib.Path, job: Job) -> Decoded | None:
    """The cache, or None where it is missing or damaged."""
    try:
        about = json.loads(notes.read_text(encoding="utf-8"))
        unreadable = tuple(about["unreadable"])
        if pixels.stat().st_size != about["bytes"]:
            return None
        if about["bytes"] <= CRC_LIMIT and _crc(pixels) != about["crc32"]:
            return None
        images = np.load(pixels, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if images.dtype != np.uint8 or images.shape != (len(job.paths) - len(unreadable), *job.spec.shape):
        return None
    return Decoded(images, unreadable, str(about["pixel_hash"]))


def _build(job: Job, pixels: pathlib.Path, notes: pathlib.Path, strict: bool) -> None:
    with _temporary(pixels) as written:
        unreadable, pixel_hash = _write_pixels(written, job, strict)
        about = {
            "unreadable": [job.paths[row] for row in unreadable],
            "bytes": written.stat().st_size,
            "crc32": _crc(written),
            "pixel_hash": pixel_hash,
            "source": job.tree.label,
        }
        os.replace(written, pixels)
    with _temporary(notes) as written:
        written.write_text(json.dumps(about, indent=1), encoding="utf-8")
        os.replace(written, notes)


def _write_pixels(file: pathlib.Path, job: Job, strict: bool) -> tuple[list[int], str]:
    """Decode all paths into an .npy file, without what cannot be read; returns the rows left out and a hash of the pixels."""
    starts = range(0, len(job.paths), CHUNK)
    left_out: list[int] = []
    digest = hashlib.sha256()
    with file.open("wb") as stream:
        stream.write(_header(len(job.paths), job.spec))
        for images, failed in _mapped(lambda start: _decode_chunk(job, start, strict), starts, _workers(job), job.tree.name):
            stream.write(images.data)
            digest.update(images.data)
            left_out += failed
        stream.seek(0)
        stream.write(_header(len(job.paths) - len(left_out), job.spec))
    return left_out, digest.hexdigest()


def _header(count: int, spec: ImageSpec) -> bytes:
    """The header of an .npy file; NumPy leaves room in it for a growing first axis, so its length is the same for any count."""
    buffer = io.BytesIO()
    about = {"descr": "|u1", "fortran_order": False, "shape": (count, *spec.shape)}
    np.lib.format.write_array_header_1_0(buffer, about)
    return buffer.getvalue()


def _decode_chunk(job: Job, start: int, strict: bool) -> Chunk:
    """The images from row `start` on, without the unreadable, and the rows of these."""
    images, failed = [], []
    for row in range(start, min(start + CHUNK, len(job.paths))):
        try:
            images.append(load_image(job.tree.read(job.paths[row]), job.spec))
        except (DataError, OSError) as error:
            if strict:
                raise DataError(f"{job.tree.label}: {job.paths[row]!r}: {error} Or read with strict=False.") from error
            failed.append(row)
    return np.stack(images) if images else np.empty((0, *job.spec.shape), dtype=np.uint8), failed


def _workers(job: Job) -> int:
    sizes = job.tree.sizes()
    mean = sum(sizes[path] for path in job.paths) / max(1, len(job.paths))
    return min(8, os.cpu_count() or 1) if mean >= THREADS_FROM else 1


def _mapped(decode: Callable[[int], Chunk], starts: range, workers: int, name: str) -> Iterator[Chunk]:
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
    crc = 0
    with file.open("rb") as stream:
        while block := stream.read(2**20):
            crc = zlib.crc32(block, crc)
    return crc


@contextlib.contextmanager
def _temporary(beside: pathlib.Path) -> Iterator[pathlib.Path]:
    """A new file name in the same folder, removed afterwards unless it was renamed."""
    handle, name = tempfile.mkstemp(prefix=f".{beside.stem}.", suffix=f"{beside.suffix}.part", dir=beside.parent)
    os.close(handle)
    path = pathlib.Path(name)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
