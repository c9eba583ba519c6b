"""Named emoji: the 1,560 emoji of the set `emoji`, of which each example has two parts, a drawing (`image`) and the emoji's name (`name`).

All four drawings of an emoji have one name, such as "hot pepper", so that a query with its name would tell the answer: leave names out of
queries (`--draw.hide_from_queries name`). Splits, groups, styles, file and licences are those of `emoji`.
"""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np

from quickstudy.data.dataset import Dataset, derived, facts_of
from quickstudy.data.known import emoji
from quickstudy.inputs.several import SeveralSpec
from quickstudy.inputs.text import TextSpec

SPEC = SeveralSpec({"image": emoji.SPEC, "name": TextSpec(48)})
SPLITS = emoji.SPLITS


def read(split: str, spec: SeveralSpec, data_dir: str | pathlib.Path | None, strict: bool) -> Dataset:
    """Return the drawings and names of the emoji of one split.

    Raises:
        DataError: the file is missing or damaged.
    """
    drawings = emoji.read(split, spec.parts["image"], data_dir, strict)  # pyright: ignore[reportArgumentType]
    names = spec.parts["name"].read_all([name_of(one) for one in drawings.classes])
    there = np.ones(int(drawings.counts.sum()), bool)
    stored = {
        **spec.spread("image", drawings.examples["image"], there),
        **spec.spread("name", np.repeat(names["text"], drawings.counts, axis=0), there),
    }
    fingerprint = derived(drawings.fingerprint, "named", repr(facts_of(spec)))
    return dataclasses.replace(
        drawings, stored=stored, spec=spec, name=f"named_emoji/{split}", fingerprint=fingerprint, first=None
    )


def name_of(chosen: str) -> str:
    """Return the name of the emoji that a class holds, in words.

    >>> name_of("food-drink/hot-pepper")
    'hot pepper'
    """
    return chosen.rpartition("/")[2].replace("-", " ")
