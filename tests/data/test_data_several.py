"""Tables of several parts: paths of pictures beside texts and numbers; what a row lacks is counted, and the rest of it kept."""

from __future__ import annotations

import pathlib

import numpy as np
import PIL.Image
import pytest

from quickstudy.data import DataWarning, load
from quickstudy.data.readers import settled
from quickstudy.data.readers.table import kind
from quickstudy.errors import DataError
from quickstudy.inputs.image import ImageSpec
from quickstudy.inputs.several import SeveralSpec
from quickstudy.inputs.text import TextSpec
from quickstudy.tasks.classes import ClassTasks

NAMES = ("ant", "bee", "cat", "dog", "eel")


@pytest.fixture
def pairs(tmp_path: pathlib.Path, cache: pathlib.Path) -> pathlib.Path:
    """Write a table of pictures, captions and weights of five classes, four of each; the picture of class number c has the value 20 c."""
    lines = ["photo,caption,weight,animal,family"]
    (tmp_path / "photos").mkdir()
    for number, name in enumerate(NAMES):
        for take in range(4):
            PIL.Image.fromarray(np.full((9, 9, 3), 20 * number, np.uint8)).save(tmp_path / "photos" / f"{name}{take}.png")
            lines.append(f"photos/{name}{take}.png,the {name} number {take},{number + take / 10},{name},{'ab'[number % 2]}")
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    return tmp_path / "pairs.csv"


COLUMNS = {"image": "photo", "text": "caption", "label": "animal"}


def test_a_table_of_pairs_is_read_with_the_parts_of_a_row_together(pairs: pathlib.Path) -> None:
    data = load(pairs, "all", size=5, length=20, **COLUMNS)
    assert data.spec == SeveralSpec({"photo": ImageSpec(5, 5, 3), "caption": TextSpec(20)})
    assert data.classes == NAMES
    assert data.counts.tolist() == [4] * 5
    assert (data.examples["photo"] == np.repeat(20 * np.arange(5), 4).reshape(-1, 1, 1, 1)).all()
    words = [row.tobytes().rstrip(b"\0").decode() for row in data.examples["caption"]]
    assert words == [f"the {name} number {take}" for name in NAMES for take in range(4)]
    assert data.examples["photo_there"].all()
    assert data.examples["caption_there"].all()
    tasks = ClassTasks(data, ways=3, shots=1, queries=2)
    x = tasks.batch(range(4)).query.x
    assert isinstance(x, dict)
    assert x["photo"].shape == (4, 6, 3, 5, 5)
    assert x["caption_there"].shape == (4, 6, 1)
    assert load(pairs, "all", group="family", **COLUMNS).groups == ("a", "a", "a", "b", "b")
    assert load(pairs, "all", size=5, length=20, **COLUMNS).fingerprint == data.fingerprint


def test_rows_of_numbers_are_a_part_beside_others(pairs: pathlib.Path) -> None:
    data = load(pairs, "all", text="caption", columns=("weight",), label="animal")
    assert isinstance(data.spec, SeveralSpec)
    assert list(data.spec.parts) == ["caption", "table"]
    weights = [number + take / 10 for number in range(5) for take in range(4)]
    expected = (np.array(weights) - np.mean(weights)) / np.std(weights)
    np.testing.assert_allclose(data.examples["table"][:, 0, 0], expected, rtol=1e-5)
    again = load(pairs, "all", spec=data.spec, label="animal")
    assert again.fingerprint == data.fingerprint  # the columns are found by the names of the parts


def test_parts_that_are_missing_are_counted_and_rows_without_any_left_out(pairs: pathlib.Path) -> None:
    lines = pairs.read_text().splitlines()
    lines[1] = lines[1].replace("photos/ant0.png", "photos/gone.png")
    lines[2] = lines[2].replace("the ant number 1", "")
    lines[3] = ",,7,ant,a"
    lines[6] = lines[6].replace("photos/bee1.png", "")
    (pairs.parent / "photos" / "bee0.png").write_bytes(b"no picture")
    pairs.write_text("\n".join(lines))
    with pytest.warns(DataWarning) as caught:
        data = load(pairs, "all", size=5, **COLUMNS)
    said = [str(one.message) for one in caught]
    assert any("1 of 18 files are not to be had: 'photos/gone.png'" in one for one in said)
    assert any("left out 1 of 17 images that cannot be read: photos/bee0.png" in one for one in said)
    assert any("1 of 20 rows have none of the parts caption, photo, and are left out" in one for one in said)
    assert any("1 of 19 examples have no caption, 3 of 19 examples have no photo; the learner is told" in one for one in said)
    assert data.counts.tolist() == [3, 4, 4, 4, 4]
    assert data.examples["photo_there"][:7, 0].tolist() == [0, 1, 1, 0, 0, 1, 1]
    assert data.examples["caption_there"][:7, 0].tolist() == [1, 0, 1, 1, 1, 1, 1]
    with pytest.raises(DataError, match="files are not to be had"):
        load(pairs, "all", strict=True, **COLUMNS)
    fewer = [lines[0].replace("photo,", "picture,"), *lines[7:]]
    pairs.write_text("\n".join(fewer))
    with pytest.warns(DataWarning, match="14 of 14 examples have no photo"):
        assert not load(pairs, "all", spec=data.spec, label="animal").examples["photo_there"].any()


def test_a_column_may_have_another_name_than_the_part(pairs: pathlib.Path) -> None:
    data = load(pairs, "all", size=5, **COLUMNS)
    pairs.write_text(pairs.read_text().replace("photo,caption", "picture,words"))
    renamed = load(pairs, "all", spec=data.spec, image="picture", text="words", label="animal")
    assert renamed.fingerprint == data.fingerprint
    with pytest.raises(DataError, match=r"has none of the columns caption, photo; it has picture, words"):
        load(pairs, "all", spec=data.spec, label="animal")
    with pytest.raises(DataError, match=r"sound is given .* but of the parts caption, photo none is of that kind"):
        load(pairs, "all", spec=data.spec, sound="picture", label="animal")


def test_what_cannot_be_parts_is_refused_by_name(pairs: pathlib.Path) -> None:
    for said, words in [
        ({"image": "photo", "text": "photo"}, "is named for two parts"),
        ({"image": "photo", "text": "words"}, "has no column 'words'.* such as --text photo"),
        ({"image": "photo", "text": "caption", "rate": 8000}, "rate is given, but none of the parts photo, caption has"),
        ({"image": "photo", "text": "caption", "value": "weight", "group": "family"}, "value and label are both given"),
        ({"image": "photo", "text": "caption", "spec": TextSpec()}, "expected"),
        ({"image": "photo", "columns": ("weight",), "scaling": "task"}, "a part of several is scaled as in training"),
    ]:
        with pytest.raises(DataError, match=words):
            load(pairs, "all", label="animal", **said)  # type: ignore[arg-type]


def test_pictures_of_a_table_are_examples_on_their_own(pairs: pathlib.Path) -> None:
    data = load(pairs, "all", image="photo", label="animal", size=5)
    assert data.spec == ImageSpec(5, 5, 3)
    assert kind(pairs) == "image"
    assert (data.examples["image"] == np.repeat(20 * np.arange(5), 4).reshape(-1, 1, 1, 1)).all()
    assert settled(["image", "label"]) == "image"
    assert settled(["image", "columns"]) == "several"
