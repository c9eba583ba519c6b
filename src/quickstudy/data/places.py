"""Where caches and known data sets live on this machine."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator


def cache_root() -> pathlib.Path:
    """Environment variable `QUICKSTUDY_CACHE`, else the user's cache folder of the operating system."""
    chosen = os.environ.get("QUICKSTUDY_CACHE")
    if chosen:
        return pathlib.Path(chosen).expanduser()
    import platformdirs

    return pathlib.Path(platformdirs.user_cache_dir("quickstudy"))


def data_root(data_dir: str | pathlib.Path | None = None) -> pathlib.Path:
    """The argument, else environment variable `QUICKSTUDY_DATA`, else `data` in the cache folder."""
    chosen = data_dir or os.environ.get("QUICKSTUDY_DATA")
    return pathlib.Path(chosen).expanduser() if chosen else cache_root() / "data"


def find(folder: str, file: str, data_dir: str | pathlib.Path | None = None) -> pathlib.Path | None:
    """A known set's file: `<data root>/<folder>/<file>` or `<data root>/<file>`; None where there is neither."""
    root = data_root(data_dir)
    for candidate in (root / folder / file, root / file):
        if candidate.is_file():
            return candidate
    return None


@contextlib.contextmanager
def exclusive(lock: pathlib.Path) -> Iterator[None]:
    """One process at a time, where the operating system and file system have such locks; makes the lock's folder.

    The lock is the system's, on an empty file: it is gone when its process is, however that ended.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as handle:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
