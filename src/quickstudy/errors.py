"""Every error that quickstudy raises on purpose.

    QuickstudyError                      exit code   HTTP status
    ├── UserError                            2           400      the caller can mend it
    │   ├── DataError                        2           422      images, labels, folders, downloads
    │   ├── TaskError                        2           422      ways, shots, queries that the data cannot give
    │   ├── ConfigError                      2           400      unknown name, option or value
    │   ├── ModelError                       2           422      a layer or net that a learner cannot use
    │   └── FileFormatError                  2           422      damaged, foreign or newer file
    ├── TrainingError                        1           500      the loss stopped being a number
    │   └── ProcessError                     1           500      another process of the training has gone
    └── StorageError                         1           507      a file could not be written; the old one stays

A message names the value, says what was expected and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class QuickstudyError(Exception):
    """Root of the tree: catch this to catch everything that quickstudy raises on purpose."""

    exit_code = 1
    http_status = 500


class UserError(QuickstudyError, ValueError):
    """Something that the caller can mend."""

    exit_code = 2
    http_status = 400


class DataError(UserError):
    """Images, labels, folders or downloads that cannot be used."""

    http_status = 422


class TaskError(UserError):
    """Ways, shots or queries that the data cannot give."""

    http_status = 422


class ConfigError(UserError):
    """An unknown name, option or value."""


class ModelError(UserError):
    """A layer or net that a learner cannot use."""

    http_status = 422


class FileFormatError(UserError):
    """A damaged, foreign or newer file."""

    http_status = 422


class TrainingError(QuickstudyError):
    """Training cannot go on; the last good checkpoint stays."""


class ProcessError(TrainingError):
    """Another process of the training has gone; the last good checkpoint stays."""


class StorageError(QuickstudyError):
    """A file could not be written; what was there before stays."""

    http_status = 507


def check_choice(name: str, value: str, choices: Iterable[str]) -> str:
    """`value`, if it is one of the choices.

    >>> check_choice("halving", "pool", ["pool", "stride"])
    'pool'

    Raises:
        ConfigError: it is none of them.
    """
    choices = list(choices)
    if value not in choices:
        raise ConfigError(f"{name} is {value!r}; expected one of {', '.join(choices)}.")
    return value


def check_at_least(name: str, value: float, least: float) -> None:
    """A ConfigError unless `value` is `least` or more.

    >>> check_at_least("inner_steps", 5, 0)
    """
    if not value >= least:  # written so that NaN is refused
        raise ConfigError(f"{name} is {value}; expected {least} or more.")


def unknown_name(kind: str, name: str, known: Iterable[str]) -> ConfigError:
    """The error for a name that does not exist, with the nearest names that do.

    >>> print(unknown_name("learner", "mmal", ["maml", "anil", "protonet"]))
    unknown learner 'mmal'. Did you mean: maml, anil? Known: anil, maml, protonet.
    """
    known = sorted(known)
    nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f" Did you mean: {', '.join(nearest)}?" if nearest else ""
    return ConfigError(f"unknown {kind} {name!r}.{hint} Known: {', '.join(known)}.")
