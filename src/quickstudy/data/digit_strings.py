"""Strings of digits that the program espeak-ng speaks, in many languages and voices. No download.

A voice is a language with a timbre, a speed and a pitch of its own; each of its strings is spoken a little faster or slower, higher or
lower. The digits of a string are drawn alike, and read in the language's own words. A string that would be longer than a sound may be
loses its last digits, so that no transcript says more than is heard.

Everything is a pure function of its arguments and of espeak-ng's release. Random numbers are keyed by (seed, voice), so a string does not
depend on the other voices.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Sequence

import numpy as np

from quickstudy.data import espeak, voices
from quickstudy.data.arrays import from_arrays
from quickstudy.data.dataset import Dataset
from quickstudy.data.made import made
from quickstudy.errors import DataError
from quickstudy.inputs import _waves, sound
from quickstudy.inputs._waves import trimmed
from quickstudy.inputs.sound import SoundSpec

SPOKEN = {"slowest": 130, "fastest": 190, "lowest": 25, "highest": 75, "faster": 12, "higher": 5, "digits": 5}
"""Words per minute, and pitch as espeak-ng counts it, between which voices lie; by how much the strings of a voice differ from it;
digits of the longest string."""


def load_digit_strings(
    names: Sequence[str], spec: SoundSpec, *, count: int = 60, rooms: bool = False, seed: int = 0, name: str = "digit strings"
) -> Dataset:
    """Return strings of digits, as many of each voice. A class is a transcript of one voice, such as `fi+m3/4081`, its group the voice.

    Args:
        names: voices of espeak-ng, such as `fi+m3`.
        spec: what sounds become.
        count: strings of each voice.
        rooms: whether made-up rooms and cheap microphones record them, as those of `voices`.
        seed: seed of the voices and strings, a whole number from 0 on.
        name: shown in results.

    Raises:
        DataError: no strings, a voice is named twice, negative seed, espeak-ng is not installed, or a single digit is longer than a
            sound may be.
    """
    if len(set(names)) != len(names):
        raise DataError(f"{len(names)} voices have {len(set(names))} different names; name each voice once.")
    if count < 1 or seed < 0:
        raise DataError(f"count is {count} and seed is {seed}; expected at least 1 string, and a seed from 0 on.")
    program, texts = espeak.program(), {}

    def spoken(voice: str) -> np.ndarray:
        random = np.random.Generator(np.random.Philox(key=[seed, zlib.crc32(voice.encode())]))
        speed = int(random.integers(SPOKEN["slowest"], SPOKEN["fastest"] + 1))
        pitch = int(random.integers(SPOKEN["lowest"], SPOKEN["highest"] + 1))
        sounds, texts[voice] = [], []
        for _ in range(count):
            faster, higher = (int(random.integers(-SPOKEN[most], SPOKEN[most] + 1)) for most in ("faster", "higher"))
            digits = "".join(str(digit) for digit in random.integers(0, 10, random.integers(1, SPOKEN["digits"] + 1)))
            wave, rate, said = _spoken(program, espeak.Voice(voice, speed + faster, pitch + higher, "."), digits, spec.seconds)
            texts[voice].append(f"{voice}/{said}")
            sounds.append(spec.read((voices.recorded(wave, rate, random) if rooms else wave, rate))["sound"])
        return np.stack(sounds)

    sounds = np.concatenate(espeak.in_parallel(spoken, names, "speaking digits"))
    return from_arrays(sounds, [text for voice in names for text in texts[voice]], spec=spec, name=name)


def made_digit_strings(names: Sequence[str], spec: SoundSpec, name: str, rooms: bool = False) -> Dataset:
    """Return what `load_digit_strings` makes of these arguments; it is made once, and then kept in the cache folder."""
    makers, rests_on = (sys.modules[__name__], voices, espeak, _waves, sound), " ".join([espeak.release(), *names, str(rooms)])
    return made(name.replace("/", "-"), spec, makers, rests_on, lambda: load_digit_strings(names, spec, rooms=rooms, name=name))


def _spoken(program: str, voice: espeak.Voice, digits: str, seconds: float) -> tuple[np.ndarray, int, str]:
    """Return the samples of digits in a voice, how many there are in a second, and what is said: what there is time for.

    Raises:
        DataError: there is not even time for the first.
    """
    for said in (digits[:end] for end in range(len(digits), 0, -1)):
        wave, rate = espeak.speak(program, " ".join(said), voice)
        if len(trimmed(wave, rate)) <= seconds * rate:
            return wave, rate, said
    raise DataError(f"{voice.name} needs more than {seconds:g} seconds for {digits[0]}; let sounds be longer (--seconds).")
