"""Voices: 345 English words, spoken by espeak-ng in 20 voices each, in made-up rooms. No download.

Splits `train`, `val` and `test` are words, shared out by the hash of their names; `all` has every one. No word is a digit. Sounds are
spoken once, which takes a minute or two, and then kept in the cache folder.
"""

from __future__ import annotations

import hashlib
import inspect
import pathlib

from quickstudy import storage
from quickstudy.data import splits, voices
from quickstudy.data.dataset import Dataset
from quickstudy.data.places import cache_root, exclusive
from quickstudy.errors import FileFormatError, NotFoundError
from quickstudy.inputs import _waves, sound
from quickstudy.inputs.sound import SoundSpec

SPEC = SoundSpec()
SPLITS = splits.SPLITS


def read(split: str, spec: SoundSpec, data_dir: str | pathlib.Path | None, strict: bool) -> Dataset:
    """Return the words of one split. They come from a program: `data_dir` and `strict` change nothing."""
    code = "".join(inspect.getsource(module) for module in (voices, _waves, sound))
    made_by = hashlib.sha256((code + voices.release() + spec.model_dump_json()).encode())
    path = cache_root() / SPEC.nouns / f"voices-{made_by.hexdigest()[:16]}.safetensors"
    with exclusive(path.with_suffix(".lock")):
        try:
            everything = _from_cache(path, spec)
        except (FileFormatError, NotFoundError):  # not there yet, or damaged: spoken again
            everything = voices.load_voices(voices.WORDS, spec)
            facts = {"classes": everything.classes, "fingerprint": everything.fingerprint}
            storage.save(path, "sounds", {"sounds": everything.examples["sound"], "counts": everything.counts}, facts)
    return splits.chosen(everything, split, splits.SplitOptions())


def _from_cache(path: pathlib.Path, spec: SoundSpec) -> Dataset:
    _, arrays, facts = storage.load(path, "sounds")
    classes = tuple(facts["classes"])
    return Dataset({"sound": arrays["sounds"]}, arrays["counts"], classes, classes, spec, "voices/all", facts["fingerprint"])
