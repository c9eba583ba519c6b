"""Voices: words that the program espeak-ng speaks in many voices, and a made-up room and microphone record. No download.

A class is one word. Each copy is spoken in a voice of its own: an accent of English, a timbre, a speed, a pitch, and the melody of a
statement, a question or a call. It is then recorded as cheap microphones record: with the echo of a room, a colour, and noise.

The words for the digits, and words that sound like them (for, ate, won), are left out, so that learners of these words can be tried on
spoken digits as on words that they never heard.

Everything is a pure function of its arguments and of espeak-ng's release. Random numbers are keyed by (seed, word), so a sound depends
neither on the split nor on the other words.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from quickstudy.data import espeak
from quickstudy.data.arrays import from_arrays
from quickstudy.data.dataset import Dataset
from quickstudy.errors import DataError
from quickstudy.inputs._waves import trimmed
from quickstudy.inputs.sound import SoundSpec

LIST = """
able accept across afraid again airport album alive almost alone amber angel angry animal answer apple april arrow artist autumn
avenue baby bacon badge bake balance banana basket beach bean beauty become bedroom before begin behind believe below better
bicycle bird bishop black blanket blue body border borrow bottle bottom bread brick bridge bright broken brother brown bubble
bucket budget button buy cabin cable cactus camera candle carpet castle cat center chair change cheap cheese cherry chicken choose
church circle city clever clock cloud coffee cold color common copper corner cotton country cousin cradle crazy cross cup curtain
daily dance danger daughter deep desert dinner doctor dog dollar donkey double down dragon dream drink early earth east easy echo
effort elbow empire empty engine enjoy evening eye fabric face family farmer fashion father feather fence fever field finger fish
flag flower follow forest forget friend front fruit garden gentle ghost giant glass go gold goose grass green ground guitar half
hammer hand happy harvest heart heavy hello help history hold honey horse hotel house hungry ice idea inside island jacket jelly
judge juice jump jungle kettle kitchen knee ladder lake lamp laugh lazy leader learn left lemon letter light lion listen little
lucky lunch magic market marry matter meadow melon metal middle milk minute mirror money monkey moon morning mother mountain mouse
music napkin narrow nation never night noise north number ocean off office onion open orange over paint palace paper parrot pencil
people pepper perfect piano picture pilot planet please pocket police potato powder power prince promise purple quarter queen
quick quiet rabbit radio rain ready red remember ribbon right river robot rocket sailor salad salt school second secret shadow
sheep shoulder silver simple sister sky sleep slow smoke snow soldier south spider spring square station stone stop story street
student sugar summer sunday table teacher temple thunder ticket tiger today tomato tower travel tree trouble turtle umbrella uncle
under up valley velvet village violin visit voice wagon walk wall water weather west whisper white window winter wolf woman wonder
yellow yes young zebra
"""
"""Words that are spoken: common ones, most of one or two syllables."""
WORDS = tuple(LIST.split())
ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029")
"""Names of espeak-ng's voices of English."""
SPOKEN = {"slowest": 130, "fastest": 300, "lowest": 15, "highest": 85}
"""Words per minute, and pitch as espeak-ng counts it from 0 to 99, between which voices lie: as far as people speak."""
ROOM = {"echo": 0.25, "wet": 0.5, "tilt": 6.0, "quietest": 55.0, "loudest": 15.0, "around": 0.06}
"""Seconds in which the longest echo falls by 60 dB; its largest share; decibels by which a colour rises or falls over an octave at most, in
waves; decibels of the sound above the noise, from a studio to a kitchen; most seconds of noise before, and behind, the word."""


def load_voices(words: Sequence[str], spec: SoundSpec, *, copies: int = 20, seed: int = 0) -> Dataset:
    """Return spoken words, `copies` of each.

    Args:
        words: what is spoken; each is a class.
        spec: what sounds become.
        copies: sounds per word, each in another voice.
        seed: seed of the voices and recordings, a whole number from 0 on.

    Raises:
        DataError: no copies, negative seed, or espeak-ng is not installed.
    """
    if copies < 1 or seed < 0:
        raise DataError(f"copies is {copies} and seed is {seed}; expected at least 1 copy, and a seed from 0 on.")
    program = espeak.program()

    def spoken(word: str) -> np.ndarray:
        random = np.random.Generator(np.random.Philox(key=[seed, zlib.crc32(word.encode())]))
        return np.stack([_copy(program, word, spec, random) for _ in range(copies)])

    sounds = np.concatenate(espeak.in_parallel(spoken, words, "speaking words"))
    return from_arrays(sounds, np.repeat(np.array(words), copies), spec=spec, name="voices/all")


def _copy(program: str, word: str, spec: SoundSpec, random: np.random.Generator) -> np.ndarray:
    """Return one copy of a word as it is stored."""
    voice = espeak.Voice(
        f"{random.choice(ACCENTS)}+{random.choice(espeak.TIMBRES)}",
        int(random.integers(SPOKEN["slowest"], SPOKEN["fastest"] + 1)),
        int(random.integers(SPOKEN["lowest"], SPOKEN["highest"] + 1)),
        str(random.choice(np.array([".", ".", "?", "!"]))),
    )
    wave, rate = espeak.speak(program, word, voice)
    return spec.read((recorded(wave, rate, random), rate))["sound"]


def recorded(wave: np.ndarray, rate: int, random: np.random.Generator) -> np.ndarray:
    """Return a wave as a cheap microphone in some room hears it: with an echo, a colour and noise.

    >>> heard = recorded(np.sin(np.arange(2000.0)), 8000, np.random.default_rng(0))
    >>> 2000 <= len(heard) <= 3000, bool(np.isfinite(heard).all())
    (True, True)
    """
    around = (ROOM["around"] * rate * random.random(2)).astype(int)
    clean = np.pad(trimmed(wave, rate), tuple(around))
    count = len(clean)
    fall = ROOM["echo"] * random.uniform(0.1, 1)
    times = np.arange(int(fall * rate)) / rate
    echo = random.normal(size=len(times)) * 10 ** (-3 * times / fall)
    echo *= ROOM["wet"] * random.random() / np.linalg.norm(echo)
    echo[0] += 1
    size = 1 << (count + len(echo)).bit_length()
    frequencies = np.fft.rfftfreq(size, 1 / rate)
    heard = np.fft.irfft(np.fft.rfft(clean, size) * np.fft.rfft(echo, size) * _colour(frequencies, random), size)[:count]
    noise = np.fft.irfft(np.fft.rfft(random.normal(size=size)) * _colour(frequencies, random), size)[:count]
    loud = random.uniform(ROOM["loudest"], ROOM["quietest"])
    return heard + noise * np.sqrt((heard**2).mean() / (noise**2).mean()) * 10 ** (-loud / 20)


def _colour(frequencies: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return a gain for each frequency: a slope and two waves over octaves."""
    octaves = np.log2(np.maximum(frequencies, 100.0) / 100)
    level = random.uniform(-0.5, 0.5) * octaves
    for periods in (0.15, 0.35):
        level = level + random.uniform(0, 1) * np.sin(2 * np.pi * (periods * octaves + random.random()))
    return 10 ** (ROOM["tilt"] * level / 20)
