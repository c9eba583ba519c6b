"""Emoji: 1,560 emoji in four drawings each, by Twemoji, OpenMoji, Fluent and Noto; 48x48 pixels in colour on white.

A class is an emoji, such as `food-drink/hot-pepper`, and its group is that of Unicode. Splits share out groups, so that no emoji of a group
that is tested was trained on: `test` has animals, food and places (492 emoji), `val` activities (83), `train` the others (985), and `all`
every one. In tasks of one shot, an emoji is known by a drawing of one hand, and asked for by those of others.

The file is not downloaded: `emoji4/emoji4.zip`, with `group/name/style.png`. Licences: CC BY 4.0 (Twemoji), CC BY-SA 4.0 (OpenMoji), MIT
(Fluent), Apache 2.0 (Noto).
"""

from __future__ import annotations

import pathlib

from quickstudy.data.dataset import Dataset
from quickstudy.data.decoding import dataset_of, job_of
from quickstudy.data.pool import local
from quickstudy.data.readers.zip import ZipTree
from quickstudy.data.tree import classes_of
from quickstudy.inputs.image import ImageSpec

SPEC = ImageSpec(48, 48, 3)
SPLITS = ("train", "val", "test", "all")
HELD_OUT = {"animals-nature": "test", "food-drink": "test", "travel-places": "test", "activities": "val"}
"""Split of each group that is not for training."""
SOURCE = "renderings of the npm packages @iconify-json/twemoji, openmoji, fluent-emoji-flat and noto"


def read(split: str, spec: ImageSpec, data_dir: str | pathlib.Path | None, strict: bool) -> Dataset:
    """Return the drawings of the emoji of one split.

    Raises:
        DataError: the file is missing or damaged.
    """
    tree = ZipTree(local("emoji4", "emoji4.zip", data_dir, SOURCE))
    classes = [entry for entry in classes_of(tree, ImageSpec, strict) if split in ("all", HELD_OUT.get(entry.group, "train"))]
    return dataset_of(job_of(tree, classes, spec), classes, f"emoji/{split}", strict)
