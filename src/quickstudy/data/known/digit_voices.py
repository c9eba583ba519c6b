"""Digit voices: strings of one to five digits, spoken by espeak-ng in 65 voices of English, in made-up rooms. No download.

They are to strings what `voices` are to words: practice for learners that meet people later, such as those of `fsdd`. A class is a
transcript of one voice, such as `en-us+f3/4081`, and its group is the voice, so that tasks of transcripts have one voice each. The splits
share out timbres: no timbre of `val` or `test` is heard in `train`. Sounds of a split are spoken once, and then kept in the cache folder.
"""

from __future__ import annotations

import pathlib

from quickstudy.data import digit_strings, espeak, voices
from quickstudy.data.dataset import Dataset
from quickstudy.inputs.sound import SoundSpec

SPEC = SoundSpec(seconds=3.0)
TARGET = "sequences"
PARTS = {"train": slice(12, None), "val": slice(6), "test": slice(6, 12), "all": slice(None)}
"""Timbres of each split, of each of which there is one voice."""
SPLITS = tuple(PARTS)


def read(split: str, spec: SoundSpec, data_dir: str | pathlib.Path | None, strict: bool) -> Dataset:
    """Return the strings of one split. They come from a program: `data_dir` and `strict` change nothing."""
    timbres = sorted(espeak.TIMBRES)
    names = [f"{voices.ACCENTS[timbres.index(timbre) % len(voices.ACCENTS)]}+{timbre}" for timbre in timbres[PARTS[split]]]
    return digit_strings.made_digit_strings(names, spec, f"digit_voices/{split}", rooms=True)
