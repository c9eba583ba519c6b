"""Voices: 345 English words, spoken by espeak-ng in 20 voices each, in made-up rooms. No download.

Splits `train`, `val` and `test` are words, shared out by the hash of their names; `all` has every one. No word is a digit. Sounds are
spoken once, which takes a minute or two, and then kept in the cache folder.
"""

from __future__ import annotations

import pathlib

from quickstudy.data import espeak, splits, voices
from quickstudy.data.dataset import Dataset
from quickstudy.data.made import made
from quickstudy.inputs import _waves, sound
from quickstudy.inputs.sound import SoundSpec

SPEC = SoundSpec()
SPLITS = splits.SPLITS


def read(split: str, spec: SoundSpec, data_dir: str | pathlib.Path | None, strict: bool) -> Dataset:
    """Return the words of one split. They come from a program: `data_dir` and `strict` change nothing."""
    everything = made(
        "voices", spec, (voices, espeak, _waves, sound), espeak.release(), lambda: voices.load_voices(voices.WORDS, spec)
    )
    return splits.chosen(everything, split, splits.SplitOptions())
