"""Languages: strings of one to five digits, spoken by espeak-ng in 82 languages, three voices of each. No download.

A class is a transcript of one voice, such as `fi+m3/4081`, and its group is the voice: tasks of transcripts have one voice each. Splits
share out languages, so that those of `test` and `val` have no close relative elsewhere. Sounds of a split are spoken once, which
takes a few minutes, and then kept in the cache folder.
"""

from __future__ import annotations

import pathlib
import zlib

from quickstudy.data import digit_strings
from quickstudy.data.dataset import Dataset
from quickstudy.inputs.sound import SoundSpec

SPEC = SoundSpec(seconds=3.0)
TARGET = "sequences"
TRAIN = """
af am ar as az ba bg bn ca cmn cs da de en-gb es fa fr-fr gu hi hr ht ia is it ja kk ko ku ky la lt lv mk mr mt my nb nl om or pa pl pt
ro ru sd sk sl sq sr sv th tr tt uk ur uz vi yue
"""
VAL = "haw id mi ms qu sw tn"
TEST = "cy el et eu fi ga gd hu hy ka kl kn ml smj ta te"
LANGUAGES = {"train": TRAIN.split(), "val": VAL.split(), "test": TEST.split()}
"""Languages of each split, as espeak-ng names them."""
SPLITS = (*LANGUAGES, "all")
PLAIN_TIMBRES = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "f1", "f2", "f3", "f4", "f5")
"""Timbres without an effect, of which each language is spoken in three."""


def read(split: str, spec: SoundSpec, data_dir: str | pathlib.Path | None, strict: bool) -> Dataset:
    """Return the strings of one split. They come from a program: `data_dir` and `strict` change nothing."""
    languages = [language for part, some in LANGUAGES.items() if split in (part, "all") for language in some]
    names = [f"{language}+{timbre}" for language in languages for timbre in timbres(language)]
    return digit_strings.made_digit_strings(names, spec, f"languages/{split}")


def timbres(language: str) -> tuple[str, ...]:
    """Return the timbres in which a language is spoken, others for the next one.

    >>> timbres("fi") == timbres("fi"), len(set(timbres("fi")))
    (True, 3)
    """
    first = zlib.crc32(language.encode()) % len(PLAIN_TIMBRES)
    return tuple(PLAIN_TIMBRES[(first + further) % len(PLAIN_TIMBRES)] for further in (0, 5, 10))
