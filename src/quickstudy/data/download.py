"""Files of known sets: they are taken from the data folder, or downloaded into it and checked. A download that broke off goes on.

Each file has a pinned digest of its content, which does not depend on how the content was packed. For a .gz it is the SHA-256 of
the unpacked content; for a .zip it is the SHA-256 over path and SHA-256 of every example; for any other file, .tar.gz among them, it
is the SHA-256 of the bytes. Files that were put in place by hand are not compared with it: readers find damage, and every dataset
has a fingerprint.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import hashlib
import http.client
import os
import pathlib
import re
import ssl
import sys
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from typing import IO

from quickstudy.data import places
from quickstudy.data.readers.zip import ZipTree
from quickstudy.errors import DataError, StorageError

LIMITS = {"bytes": 2**18, "seconds": 30.0}
"""Bytes that are read at a time; seconds without a sign of the server after which a download fails."""


@dataclasses.dataclass(frozen=True)
class Remote:
    """A file of a known set.

    Args:
        folder: the set's folder in the data folder.
        file: path in that folder.
        url: address from which it can be downloaded.
        digest: digest of its content, as `content_digest` computes it.
    """

    folder: str
    file: str
    url: str
    digest: str


def obtain(remote: Remote, data_dir: str | pathlib.Path | None = None) -> pathlib.Path:
    """Return the local file, downloaded if need be.

    Raises:
        DataError: it is not there and cannot be downloaded; the message names the address, and the place to put the file by hand.
        StorageError: it cannot be written.
    """
    found = places.find(remote.folder, remote.file, data_dir)
    if found is None:
        found = places.data_root(data_dir) / remote.folder / remote.file
        download(remote.url, found, remote.digest)
    return found


def download(url: str, target: pathlib.Path, digest: str) -> None:
    """Download to a `.part` file, which a later call resumes, and rename it to `target` if its content is right."""
    part = target.with_name(f"{target.name}.part")
    try:
        with places.exclusive(target.with_name(f"{target.name}.lock")):
            while not target.is_file():
                _attempt(url, part, target, digest)
    except OSError as error:
        raise StorageError(f"cannot write {str(target)!r} ({error}); free space, or give another data_dir.") from error


def _attempt(url: str, part: pathlib.Path, target: pathlib.Path, digest: str) -> None:
    """Fetch what is missing and rename the file if it is right. A wrong file that was resumed is removed, to be fetched as a whole."""
    resumed = part.is_file() and part.stat().st_size > 0
    _transfer(url, part, target)
    found = content_digest(part, target.name)
    if found == digest:
        os.replace(part, target)
        return
    part.unlink()
    if not resumed:
        raise _by_hand(url, target, f"its content has the digest {found}, expected {digest}")


def content_digest(file: pathlib.Path, name: str) -> str:
    """Return the SHA-256 of the content, hex; `"unreadable"` if a .gz or .zip is damaged. `name` is that of the finished file."""
    try:
        if name.endswith(".zip"):
            return ZipTree(file).content_digest()
        unpacked = name.endswith(".gz") and not name.endswith(".tar.gz")
        digest = hashlib.sha256()
        with gzip.open(file) if unpacked else file.open("rb") as stream:
            while block := stream.read(LIMITS["bytes"]):
                digest.update(block)
        return digest.hexdigest()
    except (DataError, gzip.BadGzipFile, EOFError, zlib.error):
        return "unreadable"


def _transfer(url: str, part: pathlib.Path, target: pathlib.Path) -> None:
    """Fetch what is missing of the `.part` file."""
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=LIMITS["seconds"]) as reply:
            start = _start(reply, have)
            length = reply.headers.get("Content-Length")
            total = start + int(length) if length and length.isdigit() else None
            with part.open("r+b" if start else "wb") as file, _progress(target.name, start, total) as advance:
                file.seek(start)
                file.truncate()
                _copy(reply, file, advance)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise _by_hand(url, target, f"the server answers {error.code} {error.reason}") from error
    except (urllib.error.URLError, http.client.HTTPException, ssl.SSLError, ConnectionError, TimeoutError) as error:
        raise _by_hand(url, target, str(getattr(error, "reason", error)) or type(error).__name__) from error
    else:
        if total is not None and part.stat().st_size < total:
            raise _by_hand(
                url,
                target,
                f"the connection broke off at {part.stat().st_size} of {total} bytes; run again to go on from there",
            )


def _start(reply: http.client.HTTPResponse, have: int) -> int:
    """Return the place in the file at which the reply begins: 0 if the server ignores the wish to resume and sends the whole file."""
    if reply.status != http.client.PARTIAL_CONTENT:
        return 0
    match = re.match(r"bytes (\d+)-", reply.headers.get("Content-Range", ""))
    return have if match and int(match[1]) == have else 0


def _copy(reply: http.client.HTTPResponse, file: IO[bytes], advance: Callable[[int], object]) -> None:
    """Copy what a server sends into a file."""
    while block := reply.read(LIMITS["bytes"]):
        file.write(block)
        advance(len(block))


@contextlib.contextmanager
def _progress(name: str, start: int, total: int | None) -> Iterator[Callable[[int], object]]:
    """Yield a function to call with the number of new bytes: it draws a bar on a terminal."""
    if not sys.stderr.isatty():
        yield lambda size: None
        return
    import rich.console
    import rich.progress

    columns = (
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.DownloadColumn(),
        rich.progress.TransferSpeedColumn(),
        rich.progress.TimeRemainingColumn(),
    )
    with rich.progress.Progress(*columns, console=rich.console.Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"downloading {name}", total=total, completed=start)
        yield lambda size: bar.update(task, advance=size)


def _by_hand(url: str, target: pathlib.Path, reason: str) -> DataError:
    """Return the error for a failed download; it says how to download the file by hand."""
    return DataError(
        f"cannot download {url} ({reason}). Download it by hand and put it at {str(target)!r}, "
        "or name the folder that has it: data_dir='FOLDER'."
    )
