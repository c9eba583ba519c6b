"""SoundSpec: a sound of any rate and length as a log-mel picture, which is drawn as fast as other small pictures. No torch here."""

from __future__ import annotations

import math
import os
import pathlib
import warnings
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

import annotated_types
import numpy as np

from quickstudy.errors import DataError, InputWarning, TooLargeError
from quickstudy.inputs import _grey, _heard, _sound_files, _waves
from quickstudy.inputs._layout import InputSpec, Shown, TensorLayout, as_array, check_several, listed

SoundLike = Any
"""Type of one sound: a path, a file's content, an open file, samples, or samples with their rate, as a pair or as a dictionary."""

TAKEN = {"least_ms": 10.0, "most_channels": 256}
"""Milliseconds of the shortest sound, which is less than a single consonant; channels from which an array of two axes is no sound."""
UNLIKE = {"spreads": 3.0, "least": 0.05}
"""Spreads of the training sounds beyond which others are called far from them, as for images; the number that counts as one spread if they
vary less."""
MEASURED = {
    "length": "the share of the time in which something is heard",
    "ground": "the level of the quietest moments",
    "brightness": "the middle of the pitch",
}
"""Names of the statistics of sounds in files, with the words for them in warnings; all from 0 to 1."""


class SoundSpec(InputSpec, frozen=True):
    """The sound that a network expects: one channel, silence at the ends trimmed, in the middle of a fixed time, as a log-mel picture.

    A picture is `[1, mels, frames]`, one byte for each place: 0 is 80 dB below the sound's loudest place, and 255 that place itself, so
    that how loud a recording is does not matter. A byte is a third of a decibel. The numbers are those of librosa's
    `feature.melspectrogram` and `power_to_db` (Slaney's mel scale and areas, Hann windows, centred frames). As it has the shape of a grey
    picture, nets for these take it.

    Args:
        rate: samples per second. 8000 keeps what a telephone keeps, which is enough to tell words apart, and which every recording has;
            music and birds need more.
        seconds: time of a picture. What is longer loses its ends.
        mels: bands from 0 Hz to half the rate.
        window: milliseconds of each frame.
        hop: milliseconds from one frame to the next. With 25 a second has 40 frames, as many as there are bands.
        trim: whether silence at both ends is cut off: all that is more than 40 dB below the loudest moment.

    >>> SoundSpec().layout()["sound"].shape
    (1, 40, 40)
    >>> tone = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)
    >>> int(SoundSpec().read((tone, 22050))["sound"][0, :, 20].argmax())  # bands are 57 Hz apart
    7
    """

    nouns: ClassVar[str] = "sounds"
    usual_net: ClassVar[str] = "conv4"
    column: ClassVar[str] = "sound"
    paths_in_tables: ClassVar[bool] = True
    words: ClassVar[Mapping[str, str]] = {
        "rate": "samples per second to which your own sounds are brought",
        "seconds": "seconds of your own sounds; what is longer loses its ends",
        "mels": "mel bands of your own sounds",
        "trim": "whether silence at the ends of your own sounds is cut off",
    }
    resizing: ClassVar[frozenset[str]] = frozenset(["rate", "seconds", "mels", "trim"])

    kind: Literal["sound"] = "sound"
    rate: Annotated[int, annotated_types.Interval(ge=2000, le=192_000)] = 8000
    seconds: Annotated[float, annotated_types.Interval(gt=0, le=60)] = 1.0
    mels: Annotated[int, annotated_types.Interval(ge=4, le=512)] = 40
    window: Annotated[float, annotated_types.Interval(ge=1, le=1000)] = 50.0
    hop: Annotated[float, annotated_types.Interval(ge=1, le=1000)] = 25.0
    trim: bool = True

    def __init__(self, rate: int = 8000, seconds: float = 1.0, mels: int = 40, **fields: Any) -> None:
        super().__init__(rate=rate, seconds=seconds, mels=mels, **fields)
        if self.frames < 1:
            raise DataError(f"seconds is {self.seconds}, less than a hop of {self.hop:g} ms; expected at least one frame.")
        size = _waves.transform_size(self._window)
        if not _waves.mel_filters(self.rate, size, self.mels).any(1).all():
            raise DataError(
                f"mels is {self.mels}, but a window of {self.window:g} ms at a rate of {self.rate} tells only {size // 2 + 1} pitches "
                f"apart, and some bands would be empty; lower mels, or take a longer window."
            )

    def __str__(self) -> str:
        return f"sounds of {self.seconds:g} s at {self.rate / 1000:g} kHz, {self.mels} mel bands by {self.frames} frames"

    @property
    def frames(self) -> int:
        """Return the number of frames of a picture."""
        return round(self.seconds * self.rate) // self._hop

    @property
    def _window(self) -> int:
        return max(2, round(self.window * self.rate / 1000))

    @property
    def _hop(self) -> int:
        return max(1, round(self.hop * self.rate / 1000))

    @property
    def _axes(self) -> tuple[int, int, int]:
        return 1, self.mels, self.frames

    @classmethod
    def suffixes(cls) -> frozenset[str]:
        """Return the endings of files that soundfile reads."""
        return frozenset([".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff"])

    @classmethod
    def takes(cls, array: np.ndarray) -> bool:
        """Return whether an array is a list of sounds, `[example]`: samples of different lengths, or pairs of samples and a rate."""
        return array.ndim == 1 and array.dtype == object and len(array) > 0 and _is_wave(array[0])

    @classmethod
    def own(  # pyright: ignore[reportIncompatibleMethodOverride]  # the wishes of this kind, by name
        cls,
        array: np.ndarray | None = None,
        *,
        rate: int | None = None,
        seconds: float | None = None,
        mels: int | None = None,
        trim: bool | None = None,
    ) -> Self:
        """Return the spec for sounds of a user's own.

        Args:
            array: the sounds, if they are an array; None if they are files.
            rate: samples per second; None: 8000.
            seconds: time of a picture; None: 1.
            mels: mel bands; None: 40.
            trim: whether silence at the ends is cut off; None: it is.

        Raises:
            DataError: the array holds no sounds, or a wish is impossible.
        """
        if array is not None and array.ndim == 0:
            raise DataError(f"sounds are {array.dtype} of shape {tuple(array.shape)}; expected a list of sounds.")
        wishes = {"rate": rate, "seconds": seconds, "mels": mels, "trim": trim}
        return cls(**{name: value for name, value in wishes.items() if value is not None})

    def how(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, *, rate: int | None = None, seconds: float | None = None, mels: int | None = None, trim: bool | None = None
    ) -> dict[str, Any]:
        """Return no options of `read`, as files say themselves what they are.

        Raises:
            DataError: a wish is another than this spec's.
        """
        for name, value in {"rate": rate, "seconds": seconds, "mels": mels, "trim": trim}.items():
            if value not in (None, getattr(self, name)):
                raise DataError(
                    f"{name} {value} was given, but this learner takes {self}; leave it out, and sounds are brought to what it takes."
                )
        return {}

    def resized(self, other: InputSpec) -> Self:
        """Return `other`, as files of sounds can be read in any way."""
        return self.changed(**other.model_dump(exclude={"kind"})) if isinstance(other, SoundSpec) else self

    def layout(self) -> dict[str, TensorLayout]:
        """Return the layout of the one part, `sound`: bytes, floats from 0 (silence) to 1 (the loudest place)."""
        return {"sound": TensorLayout(axes=self._axes, order=(0, 1, 2), dtype="uint8", scale=1 / 255)}

    def read(self, thing: SoundLike, **how: Any) -> dict[str, np.ndarray]:
        """Return one stored sound, uint8 `[1, mels, frames]`; one that is stored already as it is."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)  # `lacking` counts over all sounds that are read one by one
            things = thing[None] if isinstance(thing, np.ndarray) and thing.dtype == np.uint8 else [thing]
            return {name: rows[0] for name, rows in self.read_all(things, **how).items()}

    def read_all(self, things: Any, **how: Any) -> dict[str, np.ndarray]:
        """Return stored sounds, uint8 `[example, 1, mels, frames]`.

        Args:
            things: a list, array or column of sounds: paths, content of files, open files, samples (at the rate of this spec), pairs of
                samples and their rate (as soundfile and librosa return them), or dictionaries with `array` and `sampling_rate` (as
                datasets of Hugging Face have them); or sounds as they are stored. Channels are mixed.
            how: nothing; sounds have no options.

        Raises:
            NotFoundError: there is no such file.
            TooLargeError: a sound lasts longer than two minutes.
            DataError: there is no sound, or one is silent, too short, damaged, or holds what is no number.

        Warns:
            InputWarning: sounds were longer than `seconds`, and lost their ends; says how many.
        """
        if how:
            raise DataError(f"{', '.join(how)} was given, but sounds have no such option; leave it out.")
        check_several(things, (str, bytes, bytearray, pathlib.Path, dict), "sound")
        if isinstance(things, tuple) and len(things) == 2 and isinstance(things[1], int | float | np.integer | np.floating):
            raise DataError("one sound was given, with its rate; expected a list of sounds.")
        if isinstance(things, np.ndarray) and things.dtype == np.uint8:
            return {"sound": self._as_stored(things)}
        found = [self._picture(thing, _label(thing, place)) for place, thing in enumerate(listed(things, "sounds"))]
        long = [seconds for _, seconds in found if seconds > self.seconds * (1 + 1e-6)]
        if long:
            warnings.warn(
                f"{len(long)} of {len(found)} sounds are longer than {self.seconds:g} s (the longest has {max(long):.1f}); their ends are "
                f"left out.",
                InputWarning,
                stacklevel=2,
            )
        return {"sound": np.stack([picture for picture, _ in found])}

    def statistics(self, stored: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return how long, how noisy and how bright sounds are; each with its spread over sounds."""
        numbers = {}
        for name, values in _measured(stored["sound"]).items():
            numbers |= {name: float(values.mean()), f"{name}_spread": float(values.std())}
        return numbers

    def unlike(self, statistics: Mapping[str, float], stored: Mapping[str, np.ndarray], **how: Any) -> str | None:
        """Return a warning if the sounds are far longer, shorter, noisier, cleaner, higher or lower than those of training."""
        here = {name: float(values.mean()) for name, values in _measured(stored["sound"]).items() if name in statistics}
        far = {
            name: abs(value - statistics[name]) / max(statistics[f"{name}_spread"], UNLIKE["least"])
            for name, value in here.items()
        }
        worst = max(far, key=lambda name: far[name], default=None)
        if worst is None or far[worst] <= UNLIKE["spreads"]:
            return None
        return (
            f"{MEASURED[worst]} is {here[worst]:.2f} in these sounds (from 0 to 1), but {statistics[worst]:.2f} in those that the learner "
            f"was trained on; record them in the same way, one thing in each."
        )

    def lacking(self, stored: Mapping[str, np.ndarray]) -> str | None:
        """Return a warning if sounds reach both ends of the time, so that more may lie beyond them."""
        pictures = stored["sound"]
        full = int((pictures[..., 0].any((1, 2)) & pictures[..., -1].any((1, 2))).sum())
        reach = f"{full} of {len(pictures)} sounds fill all of {self.seconds:g} s, and what may lie beyond its ends is left out"
        return reach if full else None

    def shown(self, stored: Mapping[str, np.ndarray]) -> Shown:
        """Return one stored sound as a grey PNG file, the low pitches below, and as a wave that has this picture, nearly."""
        picture = stored["sound"][0]
        wave = _heard.wave_of(picture, self.rate, self._window, self._hop)
        return Shown("image/png", _grey.png(picture[::-1]), _heard.wav(wave, self.rate))

    def _as_stored(self, pictures: np.ndarray) -> np.ndarray:
        """Return pictures that are stored already.

        Raises:
            DataError: they are of another size.
        """
        if pictures.shape[1:] != self._axes:
            raise DataError(
                f"bytes of shape {list(pictures.shape)} are no stored sounds; expected {['example', *self._axes]}. Read them anew from "
                f"their files, or give samples as floats or 16-bit numbers."
            )
        return pictures.copy()

    def _picture(self, thing: SoundLike, label: str) -> tuple[np.ndarray, float]:
        """Return one sound as a picture, and the seconds that it lasts without silence at its ends."""
        if isinstance(thing, bytes | bytearray | memoryview) and bytes(thing[:8]) == _grey.SIGNATURE:
            return self._as_stored(_grey.unpacked(bytes(thing), (self.mels, self.frames), label)[None, None, ::-1])[0], 0.0
        wave, rate = _samples(thing, self.rate, label)
        wave = _checked(wave, rate, label)
        wave = _waves.trimmed(wave, rate) if self.trim else wave
        length = self.frames * self._hop
        kept = _waves.centred(wave, math.ceil(length * rate / self.rate)) if len(wave) * self.rate > length * rate else wave
        there = _waves.centred(_waves.resampled(kept, rate, self.rate), length)
        level = _waves.decibels(_waves.mel_power(there, self.rate, self.mels, self._window, self._hop))
        return np.rint((1 + level / _waves.LEVELS["range"]) * 255).astype(np.uint8)[None], len(wave) / rate


class _Wave(NamedTuple):
    """Samples of all channels together, and how many there are in a second."""

    samples: np.ndarray
    rate: int


def _is_wave(thing: Any) -> bool:
    """Return whether a thing is an array of samples, alone or with its rate."""
    samples = thing[0] if isinstance(thing, tuple) and len(thing) == 2 else thing
    samples = samples.get("array") if isinstance(samples, dict) else samples
    return isinstance(samples, np.ndarray) and samples.ndim in (1, 2) and samples.dtype.kind in "if"


def _label(thing: SoundLike, place: int) -> str:
    """Return the name of a sound in errors."""
    return f"sound {str(thing)!r}" if isinstance(thing, str | os.PathLike) else f"sound {place}"


def _samples(thing: SoundLike, rate: int, label: str) -> _Wave:
    """Return the samples of whatever users have for a sound.

    Args:
        thing: the sound.
        rate: samples per second of an array that comes without a rate.
        label: the sound's name in errors.
    """
    if isinstance(thing, bytes | bytearray | memoryview):
        return _Wave(*_sound_files.decoded(bytes(thing), label))
    if isinstance(thing, str | os.PathLike) or hasattr(thing, "read"):
        return _Wave(*_sound_files.decoded(thing, label))
    if isinstance(thing, Mapping) and {"array", "sampling_rate"} <= thing.keys():
        thing = thing["array"], thing["sampling_rate"]
    if isinstance(thing, tuple) and len(thing) == 2 and np.ndim(thing[0]) > 0 and np.ndim(thing[1]) == 0:
        thing, rate = thing[0], _whole(thing[1], label)
    expected = "a path, a file's content (bytes), samples, or a pair of samples and their rate"
    if thing is None or isinstance(thing, Mapping):
        raise DataError(f"{label} is {'None' if thing is None else 'a dictionary'}; expected {expected}.")
    array = as_array(thing, label, expected)
    if array.dtype.kind not in "if" or array.ndim not in (1, 2):
        raise DataError(
            f"{label} is {array.dtype} of shape {list(array.shape)}; expected {expected}, as floats or whole numbers with a sign."
        )
    return _Wave(_mixed(array, label), rate)


def _whole(rate: Any, label: str) -> int:
    """Return a rate as a whole number.

    Raises:
        DataError: it is none.
    """
    try:
        return int(rate) if float(rate) == int(rate) else int("no whole number")
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{label} has the rate {rate!r}; expected a whole number of samples per second.") from None


def _mixed(array: np.ndarray, label: str) -> np.ndarray:
    """Return the mean of the channels of an array, `[sample]`; the shorter of two axes are the channels.

    Raises:
        DataError: it has too many channels, which is what several sounds in one array look like.
    """
    if array.ndim == 1:
        return array.astype(np.float64)
    if min(array.shape) > TAKEN["most_channels"]:
        raise DataError(
            f"{label} has shape {list(array.shape)}, which is more than {TAKEN['most_channels']} channels; give a list of sounds."
        )
    return array.mean(int(np.argmin(array.shape)), dtype=np.float64) if array.size else array.reshape(-1).astype(np.float64)


def _checked(wave: np.ndarray, rate: int, label: str) -> np.ndarray:
    """Return a wave around zero, with 1 as its largest value.

    Raises:
        TooLargeError: it is longer than two minutes.
        DataError: its rate is impossible, it is too short or silent, or it holds what is no number.
    """
    _sound_files.check_rate(rate, label)
    if len(wave) * 1000 < TAKEN["least_ms"] * rate:
        raise DataError(
            f"{label} has {len(wave)} samples, {1000 * len(wave) / rate:.2g} ms; expected at least {TAKEN['least_ms']:g} ms. Leave it out."
        )
    if len(wave) > _sound_files.READ["seconds"] * rate:
        raise TooLargeError(
            f"{label} lasts {len(wave) / rate:,.0f} s; expected at most {_sound_files.READ['seconds']:.0f} s. Cut it into one sound for "
            f"each thing that is heard."
        )
    broken = int((~np.isfinite(wave)).sum())
    if broken:
        raise DataError(f"{label} holds {broken} samples that are NaN or infinite; record it again, or leave it out.")
    wave = wave - wave.mean(dtype=np.float64)
    loudest = np.abs(wave).max()
    if loudest <= np.finfo(np.float32).tiny:
        raise DataError(f"{label} is silent from beginning to end; record it again, or leave it out.")
    return wave / loudest


def _measured(pictures: np.ndarray) -> dict[str, np.ndarray]:
    """Return numbers of each of stored `pictures` `[sound, 1, mel, frame]`, by name, each `[sound]`, from 0 to 1."""
    levels = pictures[:, 0] / 255
    loudest = levels.max(1)
    heard = loudest > 0
    quiet = [np.quantile(row[there], 0.1) if there.any() else 0.0 for row, there in zip(loudest, heard, strict=True)]
    weight = 10 ** ((levels - 1) * _waves.LEVELS["range"] / 10)
    pitch = (weight.sum(2) * np.linspace(0, 1, levels.shape[1])).sum(1) / weight.sum((1, 2))
    return {"length": heard.mean(1), "ground": np.array(quiet), "brightness": pitch}
