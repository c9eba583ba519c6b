"""Places of caches and of known data sets on this machine."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator

from quickstudy.errors import DataError, StorageError


def cache_root() -> pathlib.Path:
    """Return the folder of environment variable `QUICKSTUDY_CACHE`, else the user's cache folder of the operating system.

    Raises:
        StorageError: the user has no home folder.
    """
    chosen = os.environ.get("QUICKSTUDY_CACHE")
    try:
        if chosen:
            return pathlib.Path(chosen).expanduser()
        import platformdirs

        return pathlib.Path(platformdirs.user_cache_dir("quickstudy"))
    except RuntimeError as error:
        raise StorageError(
            f"there is no folder to keep caches in ({error}); set the environment variable QUICKSTUDY_CACHE to one that can be written."
        ) from error


def data_root(data_dir: str | pathlib.Path | None = None) -> pathlib.Path:
    """Return the argument, else environment variable `QUICKSTUDY_DATA`, else `data` in the cache folder."""
    chosen = data_dir or os.environ.get("QUICKSTUDY_DATA")
    return expanded(chosen) if chosen else cache_root() / "data"


def expanded(path: str | pathlib.Path) -> pathlib.Path:
    """Return a path with `~` replaced by the home folder.

    Raises:
        DataError: there is no such user, or the user has no home folder.
    """
    try:
        return pathlib.Path(path).expanduser()
    except RuntimeError as error:
        raise DataError(
            f"the path {str(path)!r} names a home folder that is not known ({error}); write the path in full."
        ) from error


def find(folder: str, file: str, data_dir: str | pathlib.Path | None = None) -> pathlib.Path | None:
    """Return a known set's file: `<data root>/<folder>/<file>` or `<data root>/<file>`; None if there is neither.

    Raises:
        DataError: the folder may not be entered.
    """
    root = data_root(data_dir)
    for candidate in (root / folder / file, root / file):
        if kind_of_path(candidate) == "file":
            return candidate
    return None


def kind_of_path(path: pathlib.Path) -> str:
    """Return `folder`, `file`, or nothing if there is neither.

    Raises:
        DataError: the path may not be looked at.
    """
    try:
        return "folder" if path.is_dir() else "file" if path.exists() else ""
    except OSError as error:
        raise DataError(
            f"{str(path)!r} cannot be looked at ({error.strerror}); change the permissions of the folders above it, or copy it elsewhere."
        ) from error


def matching(path: pathlib.Path) -> list[pathlib.Path]:
    """Return the files that a pattern such as `folder/*.csv` names, sorted; none if it is no pattern, or fits none."""
    pattern = any(sign in path.name for sign in "*?[") and not os.path.exists(path)  # a file may have such a name
    return sorted(path.parent.glob(path.name)) if pattern else []


@contextlib.contextmanager
def exclusive(lock: pathlib.Path, wait: bool = True) -> Iterator[bool]:
    """Let one process in at a time, if the operating system and file system have such locks; makes the lock's folder.

    The lock is the system's, on an empty file: it is gone when its process is, however that ended.

    Args:
        lock: file that stands for the lock.
        wait: True waits for the process that holds the lock; False goes on without the lock.

    Yields:
        Whether the lock is ours.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as handle:
        ours = False
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            ours = True
        yield ours
