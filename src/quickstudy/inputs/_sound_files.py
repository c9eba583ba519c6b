"""Files of sounds, decoded by soundfile in small parts, so that a long one cannot fill the memory."""

from __future__ import annotations

import io
import os
import types
from typing import IO, Any

import numpy as np

from quickstudy.errors import ConfigError, DataError, NotFoundError, TooLargeError

READ = {"seconds": 120.0, "block": 2**16, "least_rate": 2000, "most_rate": 384_000}
"""Seconds of the longest sound that is read (at 192 kHz a channel of it has 92 MB); samples of a channel that are read at once; samples per
second that a sound may have: less holds no speech, and more has no recorder."""


def decoded(source: str | os.PathLike[str] | bytes | IO[bytes], label: str) -> tuple[np.ndarray, int]:
    """Return the samples of a file, float32 `[sample]`, all channels mixed to one; and how many there are in a second.

    Args:
        source: path, content, or an open file.
        label: the sound's name in errors.

    Raises:
        ConfigError: soundfile is not installed.
        NotFoundError: there is no such file.
        TooLargeError: the sound is longer than two minutes.
        DataError: the file is empty, damaged, or no sound.
    """
    soundfile = _soundfile()
    if isinstance(source, bytes) and not source:
        raise DataError(f"{label} is an empty file; record or copy it again.")
    try:
        # an open file, so that its content tells the format, and not its name
        with (
            io.BytesIO(source) if isinstance(source, bytes) else _opened(source, label) as stream,
            soundfile.SoundFile(stream) as file,
        ):
            return _mixed(file, label), int(file.samplerate)
    except (RuntimeError, TypeError, ValueError, OSError, MemoryError) as error:
        if isinstance(error, DataError | NotFoundError | TooLargeError):
            raise
        raise DataError(
            f"{label} cannot be read as a sound ({str(error).rstrip('.')}); play it, or convert it to WAV or FLAC."
        ) from error


def check_rate(rate: int, label: str) -> None:
    """Raise a DataError unless a sound has a rate that sounds have."""
    if not READ["least_rate"] <= rate <= READ["most_rate"]:
        raise DataError(
            f"{label} has the rate {rate}; expected {READ['least_rate']} to {READ['most_rate']} samples per second."
        )


def _soundfile() -> types.ModuleType:
    """Return the module soundfile.

    Raises:
        ConfigError: it is not installed, or lacks its library.
    """
    try:
        import soundfile
    except (ImportError, OSError) as error:
        raise ConfigError(
            f"files of sounds are read by soundfile, which is missing ({error}); install it with: pip install 'quickstudy[sound]'"
        ) from error
    return soundfile


def _opened(source: Any, label: str) -> Any:
    """Return an open file for a path, with a check that there is something in it; an open file as it is.

    Raises:
        NotFoundError: there is no such file.
        DataError: it is empty, or cannot be opened.
    """
    if hasattr(source, "read"):
        return source
    try:
        if os.path.getsize(source) == 0:
            raise DataError(f"{label} is an empty file; record or copy it again.")
        return open(source, "rb")
    except FileNotFoundError:
        raise NotFoundError(f"there is no file of a sound {str(source)!r}; check the path.", subject=str(source)) from None
    except OSError as error:
        raise DataError(f"{label} cannot be opened ({error.strerror}); check its permissions.") from error


def _mixed(file: Any, label: str) -> np.ndarray:
    """Return the mean of the channels of an open sound, read part by part: what a damaged head says of its length is not believed."""
    check_rate(file.samplerate, label)
    most = int(READ["seconds"] * file.samplerate)
    parts, count = [], file.frames
    while count <= most and len(block := file.read(READ["block"], dtype="float32", always_2d=True)):
        parts.append(block.mean(1))
        count = max(file.frames, sum(map(len, parts)))
    if count > most:
        raise TooLargeError(
            f"{label} lasts {count / file.samplerate:,.0f} s or more; expected at most {READ['seconds']:.0f} s. Cut it into one sound for "
            f"each thing that is heard."
        )
    if not parts:
        raise DataError(f"{label} holds no samples; record or copy it again.")
    return np.concatenate(parts)
