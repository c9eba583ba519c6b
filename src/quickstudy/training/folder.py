"""RunFolder: the folder of a run. One training at a time holds it, and no other run is ever overwritten."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shlex
import shutil
from collections.abc import Iterator
from typing import IO

from quickstudy.errors import BusyError, ConfigError, ConflictError, NotFoundError, ProcessError, StorageError
from quickstudy.storage import CHECKPOINT, LEARNER, write_atomically

CONFIG = "config.yaml"
"""Name of the file with a run's options."""
EVENTS = "tensorboard"
"""Name of the folder with the events that TensorBoard shows."""
METRICS = "metrics.csv"
"""Name of the file with a row for each step."""
LOCK = ".lock"
"""Name of the file that the training at work in the folder holds."""


class RunFolder:
    """Folder in which a run keeps its learner, checkpoint, metrics and options.

    Args:
        path: the folder; made if it is missing.
        config: the options of the run as text, kept beside its files; empty for none.
        resume: go on from the checkpoint in the folder, to end bit for bit where an unbroken run ends.
    """

    def __init__(self, path: str | os.PathLike[str], config: str = "", *, resume: bool = False) -> None:
        self.path, self.config, self.resume = pathlib.Path(path), config, resume

    @property
    def checkpoint(self) -> pathlib.Path:
        """Return the file of the checkpoint."""
        return self.path / CHECKPOINT

    @property
    def learner(self) -> pathlib.Path:
        """Return the file of the best learner."""
        return self.path / LEARNER

    @property
    def way_on(self) -> str:
        """Return what goes on with the run: a command if the command line began it, else Python."""
        path = str(self.path)
        by_command = (self.path / CONFIG).exists()
        return (
            f"quickstudy train --resume {shlex.quote(path)}"
            if by_command
            else f"fit(..., out=RunFolder({path!r}, resume=True))"
        )

    def check(self, resume: bool) -> None:
        """Raise an error unless a run may begin here, or, to `resume`, may go on.

        Raises:
            ConflictError: the folder holds files of a run, which would be overwritten.
            ConfigError: it is a file.
            NotFoundError: there is nothing to resume from.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"{self.path} is a file; expected a folder for the run.")
        if resume:
            if not self.checkpoint.exists():
                raise NotFoundError(
                    f"{self.path} holds no {CHECKPOINT} to resume from. Start without resume, or name the folder of an interrupted run."
                )
            return
        if self.checkpoint.exists():
            raise ConflictError(f"{self.path} holds a run already. Choose another folder. Or go on with: {self.way_on}")
        kept = [name for name in (LEARNER, METRICS, CONFIG) if (self.path / name).exists()]
        if kept:
            raise ConflictError(
                f"{self.path} holds files of a run ({', '.join(kept)}), which a new run would overwrite. Choose another folder, or "
                "delete them first."
            )

    @contextlib.contextmanager
    def held(self, job: str = "") -> Iterator[bool]:
        """Hold the folder against other trainings; yield whether this job held it before, and died.

        The lock is the system's: it is gone when its process is, however that ended. File systems without locks have none.

        Args:
            job: name of all attempts of one launch; empty if this is no such attempt.

        Raises:
            BusyError: another training holds the folder.
            StorageError: the folder cannot be written.
        """
        file, comes_again = self._locked(), False
        try:
            again = bool(job) and file.read() == job.encode()
            file.truncate(0)
            file.write(job.encode())
            yield again
        except ProcessError:  # all processes of the launch may start again
            comes_again = True
            raise
        finally:
            if not comes_again:
                with contextlib.suppress(OSError):
                    os.unlink(self.path / LOCK)
            file.close()

    def begin(self) -> None:
        """Keep the options of a run that begins here."""
        if self.config:
            write_atomically(self.path / CONFIG, self.config.encode())

    def abandon(self) -> None:
        """Remove what a run that made no step has written, so that the next one may begin here."""
        for name in (CHECKPOINT, METRICS, CONFIG):
            (self.path / name).unlink(missing_ok=True)
        shutil.rmtree(self.path / EVENTS, ignore_errors=True)

    def _locked(self) -> IO[bytes]:
        """Return the open lock file, locked, and still the one that has its name."""
        while True:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                file = (self.path / LOCK).open("a+b", buffering=0)
                file.seek(0)
            except OSError as error:
                raise StorageError(
                    f"could not write in {self.path}: {error.strerror or error}. Choose another folder."
                ) from error
            if not _lock(file):
                file.close()
                raise BusyError(
                    f"another training is at work in {self.path}. Wait until it has ended, or choose another folder."
                )
            with contextlib.suppress(OSError):  # somebody who ended meanwhile removed the name
                if os.fstat(file.fileno()).st_ino == os.stat(self.path / LOCK).st_ino:
                    return file
            file.close()


def _lock(file: IO[bytes]) -> bool:
    """Lock an open file for this process alone, if the system and its file system have such locks; False if another process has."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return True
    return True
