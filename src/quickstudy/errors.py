"""Every error that quickstudy raises on purpose.

    QuickstudyError                      exit code   HTTP status
    ├── UserError                            2           400      the caller can mend it
    │   ├── DataError                        2           422      images, labels, folders, downloads
    │   ├── TaskError                        2           422      ways, shots, queries that the data cannot give
    │   ├── ConfigError                      2           400      unknown name, option or value
    │   ├── ModelError                       2           422      a layer or net that a learner cannot use
    │   ├── FileFormatError                  2           422      damaged, foreign or newer file
    │   ├── NotFoundError                    2           404      no such file, folder or run
    │   ├── ConflictError                    2           409      something is there already and would be lost
    │   └── TooLargeError                    2           413      more bytes, pixels or examples than are taken
    ├── TrainingError                        1           500      the loss stopped being a number
    │   └── ProcessError                     1           500      another process of the training has gone
    ├── StorageError                         1           507      a file could not be written; the old one stays
    └── BusyError                            1           503      somebody else is using it now; try again later

A message names the value, says what was expected and what to do next; the same three can be had as data.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from typing import Any


class QuickstudyError(Exception):
    """Root of the tree: catch this to catch everything that quickstudy raises on purpose.

    Args:
        message: what is wrong, in full sentences.
        subject: the value, name or path that is wrong.
        expected: what would have been right.
        remedy: what to do next.

    >>> ConfigError("ways is 0; expected 1 or more.", subject="ways", expected="1 or more").to_dict()
    {'type': 'ConfigError', 'message': 'ways is 0; expected 1 or more.', 'status': 400, 'subject': 'ways', 'expected': '1 or more'}
    """

    exit_code = 1
    http_status = 500

    def __init__(self, message: str = "", *, subject: str = "", expected: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.subject, self.expected, self.remedy = subject, expected, remedy

    def to_dict(self) -> dict[str, Any]:
        """Return the error as plain values: its type, message and HTTP status, and the data that it was given."""
        data = {"subject": self.subject, "expected": self.expected, "remedy": self.remedy}
        given = {name: value for name, value in data.items() if value}
        return {"type": type(self).__name__, "message": str(self), "status": self.http_status, **given}


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


class NotFoundError(UserError):
    """A file, folder or run that is not there."""

    http_status = 404


class ConflictError(UserError):
    """Something that is there already and would be lost."""

    http_status = 409


class TooLargeError(UserError):
    """More bytes, pixels or examples than are taken."""

    http_status = 413


class TrainingError(QuickstudyError):
    """Training cannot go on; the last good checkpoint stays."""


class ProcessError(TrainingError):
    """Another process of the training has gone; the last good checkpoint stays."""


class StorageError(QuickstudyError):
    """A file could not be written; what was there before stays."""

    http_status = 507


class BusyError(QuickstudyError):
    """Somebody else is using it now; trying again later may work."""

    http_status = 503


class InputWarning(UserWarning):
    """Part of an example could not be used; the rest is. The message counts such examples and says what is left out."""


class UnlikeTrainingWarning(UserWarning):
    """Examples that are far from those that a learner was trained on; the message names what is far, and the remedy."""


def check_choice(name: str, value: str, choices: Iterable[str]) -> str:
    """Return `value` if it is one of the choices.

    >>> check_choice("halving", "pool", ["pool", "stride"])
    'pool'

    Raises:
        ConfigError: it is none of them.
    """
    choices = list(choices)
    if value not in choices:
        expected = f"one of {', '.join(choices)}"
        raise ConfigError(f"{name} is {value!r}; expected {expected}.", subject=name, expected=expected)
    return value


def check_at_least(name: str, value: float, least: float) -> None:
    """Raise a ConfigError unless `value` is a finite number, `least` or more.

    >>> check_at_least("inner_steps", 5, 0)
    """
    if not least <= value < math.inf:  # written so that NaN is refused
        raise _unlike(name, value, f"{_finite(value)}{least} or more")


def check_above(name: str, value: float, bound: float) -> None:
    """Raise a ConfigError unless `value` is a finite number that is greater than `bound`.

    >>> check_above("penalty", 0.1, 0)
    """
    if not bound < value < math.inf:
        raise _unlike(name, value, f"{_finite(value)}more than {bound}")


def check_between(name: str, value: float, least: float, most: float) -> None:
    """Raise a ConfigError unless `value` lies between `least` and `most`, or is one of them.

    >>> check_between("decay", 0.99, 0, 1)
    """
    if not least <= value <= most:
        raise _unlike(name, value, f"a number from {least} to {most}")


def _finite(value: float) -> str:
    """Return words that are added to what is expected, if the value is infinite and nothing else is wrong with it."""
    return "a finite number, " if value == math.inf else ""


def _unlike(name: str, value: float, expected: str) -> ConfigError:
    """Return the error for a number that is not what is expected."""
    return ConfigError(f"{name} is {value}; expected {expected}.", subject=name, expected=expected)


def unknown_name(kind: str, name: str, known: Iterable[str]) -> ConfigError:
    """Return the error for a name that does not exist, with the nearest names that do.

    >>> print(unknown_name("learner", "mmal", ["maml", "anil", "protonet"]))
    unknown learner 'mmal'. Did you mean: maml, anil? Known: anil, maml, protonet.
    """
    known = sorted(known)
    nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    remedy = f"Did you mean: {', '.join(nearest)}?" if nearest else ""
    expected = f"Known: {', '.join(known)}."
    message = " ".join(part for part in (f"unknown {kind} {name!r}.", remedy, expected) if part)
    return ConfigError(message, subject=name, expected=expected, remedy=remedy)
