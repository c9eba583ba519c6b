"""FSDD: 3,000 recordings of the ten digits, by six speakers of English, at 8 kHz (Jackson et al., the Free Spoken Digit Dataset).

In split `all` a class is a digit, with 300 recordings of all speakers. `train` and `test` divide the recordings, not the digits, as the
authors do: `test` has the first five of each speaker and digit, `train` the others. In `speakers` a class is a speaker. In
`speaker_digits` a class is a digit of one speaker, such as `george/7`, whose group is the speaker; `train_voices` has four speakers of
these, and `test_voices` the other two, Lucas and Nicolas. Licence: CC BY-SA 4.0.
"""

from __future__ import annotations

import pathlib
import re

from quickstudy.data.dataset import Dataset
from quickstudy.data.decoding import dataset_of, job_of
from quickstudy.data.download import Remote, obtain
from quickstudy.data.readers.zip import ZipTree
from quickstudy.data.tree import ClassFiles, group_of
from quickstudy.errors import DataError
from quickstudy.inputs.sound import SoundSpec

SPEC = SoundSpec()
SPLITS = ("train", "test", "all", "speakers", "speaker_digits", "train_voices", "test_voices")
FILE = re.compile(r"(?:.*/)?(?P<digit>\d)_(?P<speaker>\w+)_(?P<take>\d+)\.wav")
TAKES = {"train": range(5, 1000), "test": range(5)}
"""Numbers of the recordings of the authors' own splits."""
HELD_OUT = frozenset(["lucas", "nicolas"])
"""Speakers of the split `test_voices`."""
ARCHIVE = Remote(
    "fsdd",
    "recordings.zip",
    "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.zip",
    "baa3a6dcf4da47fb3075bec71a8cefb512022cb9ae030a79a31b315f37bc67af",
)


def read(split: str, spec: SoundSpec, data_dir: str | pathlib.Path | None, strict: bool) -> Dataset:
    """Return the recordings of one split."""
    tree = ZipTree(obtain(ARCHIVE, data_dir))
    members: dict[str, list[str]] = {}
    for path in tree.listing.files:
        found = FILE.fullmatch(path)
        if found is None or int(found["take"]) not in TAKES.get(split, range(1000)):
            continue
        if split.endswith("_voices") and (found["speaker"] in HELD_OUT) != (split == "test_voices"):
            continue
        both = f"{found['speaker']}/{found['digit']}"
        by_voice = dict.fromkeys(("speaker_digits", "train_voices", "test_voices"), both)
        name = {"speakers": found["speaker"], **by_voice}.get(split, found["digit"])
        members.setdefault(name, []).append(path)
    if not members:
        raise DataError(f"{tree.label} has no files such as 7_jackson_32.wav; get it again.")
    classes = [ClassFiles(name, group_of(name), tuple(members[name])) for name in sorted(members)]
    return dataset_of(job_of(tree, classes, spec), classes, f"fsdd/{split}", strict)
