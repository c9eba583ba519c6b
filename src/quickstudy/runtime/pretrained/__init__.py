"""Learners that ship with quickstudy; `find` turns a path, a run's folder or a shipped name into a file. No torch here."""

from __future__ import annotations

import os
import pathlib
import shlex

from quickstudy import discovery
from quickstudy.errors import ConfigError, NotFoundError, unknown_name
from quickstudy.storage import CHECKPOINT, LEARNER

FOLDER = pathlib.Path(__file__).parent


def names() -> list[str]:
    """Return the names of the learners that ship with quickstudy.

    >>> "omniglot" in names()
    True
    """
    return discovery.names("runtime/pretrained", ".qs")


def find(path: str | os.PathLike[str]) -> pathlib.Path:
    """Return the file that a path, the folder of a run, or the name of a shipped learner stands for.

    >>> find("omniglot").name
    'omniglot.qs'
    """
    if str(path) in names():  # a name wins over a path; write ./omniglot for the path
        return FOLDER / f"{path}.qs"
    given = pathlib.Path(path)
    if os.path.isdir(given):
        if (given / CHECKPOINT).exists() and not (given / LEARNER).exists():
            raise NotFoundError(
                f"{given} holds a run that has saved no learner yet; it does so at its first validation, or at its end. "
                f"Go on with: quickstudy train --resume {shlex.quote(str(given))}",
                subject=str(given),
            )
        return given / LEARNER
    if os.path.exists(given) or given.suffix or len(given.parts) != 1:
        return given
    problem = unknown_name("learner file, run folder or shipped learner", given.name, names())
    raise ConfigError(
        f"{problem} There is no file or folder {given.name!r} in {str(pathlib.Path.cwd())!r}.", subject=given.name
    )
