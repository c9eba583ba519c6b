"""Emoji: drawings by their names, whole groups in one split."""

from __future__ import annotations

import io
import pathlib
import zipfile

import numpy as np
import PIL.Image
import pytest

from quickstudy.data import load
from quickstudy.data.known import emoji
from quickstudy.errors import QuickstudyError

EMOJI = {
    "food-drink": ("hot-pepper", "bread"),
    "activities": ("jack-o-lantern", "kite"),
    "objects": ("bell", "key"),
    "flags": ("a", "b"),
}


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    random = np.random.default_rng(0)
    (tmp_path / "emoji4").mkdir()
    with zipfile.ZipFile(tmp_path / "emoji4" / "emoji4.zip", "w") as archive:
        for group, names in EMOJI.items():
            for name in names:
                for style in ("twemoji", "openmoji", "fluent", "noto"):
                    content = io.BytesIO()
                    PIL.Image.fromarray(random.integers(0, 255, (48, 48, 3), np.uint8)).save(content, "PNG")
                    archive.writestr(f"{group}/{name}/{style}.png", content.getvalue())
    return tmp_path


def test_groups_are_in_one_split_and_an_emoji_has_its_four_drawings(folder: pathlib.Path) -> None:
    found = {split: load("emoji", split, data_dir=folder) for split in emoji.SPLITS}
    assert {split: set(part.groups) for split, part in found.items()} == {
        "train": {"objects", "flags"},
        "val": {"activities"},
        "test": {"food-drink"},
        "all": set(EMOJI),
    }
    assert set(found["test"].classes) == {"food-drink/hot-pepper", "food-drink/bread"}
    assert (found["all"].counts == 4).all()
    assert found["all"].examples["image"].shape == (32, 48, 48, 3)


def test_an_emoji_has_the_styles_of_its_four_drawings_and_its_name_beside_each(folder: pathlib.Path) -> None:
    drawings, named = (load(name, "all", data_dir=folder) for name in ("emoji", "named_emoji"))
    assert drawings.styles == named.styles == ("fluent", "noto", "openmoji", "twemoji")
    assert (named.classes, named.groups) == (drawings.classes, drawings.groups)
    np.testing.assert_array_equal(named.examples["image"], drawings.examples["image"])
    said = [bytes(row).rstrip(b"\0").decode() for row in named.examples["name"].astype(np.uint8)]
    expected = [chosen.partition("/")[2].replace("-", " ") for chosen in drawings.classes for _ in range(4)]
    assert said == expected
    assert "jack o lantern" in said
    assert named.examples["name_there"].all()
    assert named.fingerprint != drawings.fingerprint
    smaller = load("named_emoji", "test", data_dir=folder, size=24)
    assert smaller.examples["image"].shape == (8, 24, 24, 3)


def test_a_missing_file_is_named_with_where_it_comes_from(tmp_path: pathlib.Path) -> None:
    with pytest.raises(QuickstudyError, match=r"emoji4.zip.*iconify"):
        load("emoji", "test", data_dir=tmp_path)
