"""Examples of several parts: read from all that tables are, with parts that are missing counted, and refused by name."""

from __future__ import annotations

import collections
import io
import pathlib
import warnings
from typing import Any

import numpy as np
import pandas
import PIL.Image
import pytest

from quickstudy.errors import DataError, InputWarning, NotFoundError
from quickstudy.inputs.image import ImageSpec
from quickstudy.inputs.molecule import MoleculeSpec
from quickstudy.inputs.rows import RowsSpec
from quickstudy.inputs.several import SeveralSpec
from quickstudy.inputs.table import TableSpec
from quickstudy.inputs.text import TextSpec

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 3)).astype(np.uint8)
CAPTIONS = ["an owl", "a cat", "two cats", "rain"]
SPEC = SeveralSpec({"picture": ImageSpec(6, 6, 3), "caption": TextSpec(8)})
ROWS = TableSpec.of({"weight": [1.0, 3.0, 2.0, 2.0], "colour": ["red", "blue", "red", "red"]})


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_all_that_users_have_is_one_thing() -> None:
    files = [png(pixels) for pixels in PIXELS]
    rows = [{"picture": file, "caption": caption} for file, caption in zip(files, CAPTIONS, strict=True)]
    structured = np.empty(4, dtype=[("caption", object), ("picture", object)])
    structured["caption"], structured["picture"] = CAPTIONS, files
    same: dict[str, Any] = {
        "arrays": {"picture": PIXELS, "caption": np.array(CAPTIONS)},
        "lists": {"caption": CAPTIONS, "picture": list(PIXELS), "other": [1, 2, 3, 4]},
        "rows": rows,
        "data frame": pandas.DataFrame({"caption": CAPTIONS, "picture": files, "other": 7}),
        "structured": structured,
        "other mapping": collections.ChainMap({"caption": CAPTIONS}, {"picture": files}),
    }
    for name, things in same.items():
        found = SPEC.read_all(things)
        np.testing.assert_array_equal(found["picture"], PIXELS, err_msg=name)
        np.testing.assert_array_equal(found["caption"], TextSpec(8).read_all(CAPTIONS)["text"], err_msg=name)
        assert found["picture_there"].tolist() == found["caption_there"].tolist() == [[1]] * 4
    one = SPEC.read(rows[2])
    assert one["picture"].shape == (6, 6, 3)
    np.testing.assert_array_equal(one["picture"], PIXELS[2])


@pytest.mark.parametrize("nothing", [None, float("nan"), "", "  ", pandas.NA, np.float32("nan")])
def test_a_part_that_is_missing_is_masked_and_counted(nothing: Any) -> None:
    with pytest.warns(
        InputWarning, match="1 of 4 examples have no caption, 2 of 4 examples have no picture; the learner is told"
    ):
        found = SPEC.read_all({"picture": [PIXELS[0], nothing, nothing, PIXELS[3]], "caption": [*CAPTIONS[:3], nothing]})
    assert found["picture_there"][:, 0].tolist() == [1, 0, 0, 1]
    assert found["caption_there"][:, 0].tolist() == [1, 1, 1, 0]
    np.testing.assert_array_equal(found["picture"][[0, 3]], PIXELS[[0, 3]])
    assert not found["picture"][1:3].any()
    assert not found["caption"][3].any()
    assert SPEC.to_network(found)["picture_there"].dtype == np.float32


def test_a_column_that_is_not_there_is_missing_everywhere() -> None:
    with pytest.warns(InputWarning, match="4 of 4 examples have no picture"):
        found = SPEC.read_all({"caption": CAPTIONS})
    assert not found["picture_there"].any()
    with pytest.warns(InputWarning, match="have no caption"):
        assert SPEC.read_all([{"picture": PIXELS[0]}])["caption_there"].tolist() == [[0]]


def test_rows_of_a_table_are_a_part_whose_columns_have_their_own_names() -> None:
    spec = SeveralSpec({"caption": TextSpec(8), "facts": ROWS})
    assert spec.names == ("caption", "weight", "colour")
    with pytest.warns(InputWarning, match="1 of 3 examples have no facts"):
        found = spec.read_all({"caption": CAPTIONS[:3], "weight": [3.0, None, 1.0], "colour": ["blue", "NA", "red"]})
    np.testing.assert_array_equal(
        found["facts"][[0, 2]], ROWS.read_all({"weight": [3.0, 1.0], "colour": ["blue", "red"]})["table"]
    )
    assert found["facts_there"][:, 0].tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("things", "words"),
    [
        ({"picture": PIXELS, "caption": CAPTIONS[:3]}, "caption has 3, picture has 4"),
        ({"picture": [PIXELS[0], None], "caption": ["owl", ""]}, r"example 1 has none of its parts .*\(1 of 2 have none\)"),
        ({"photo": PIXELS}, "there is no column 'caption' or 'picture'; it has photo"),
        ({"picture": [], "caption": []}, "no example was given"),
        ({"picture": [7], "caption": ["owl"]}, "the image array has shape"),
        ({"picture": PIXELS[:1], "caption": [7]}, "text 0 is 7, a int"),
        ([], "no example was given"),
        ("owl", "one example was given"),
        (None, "the examples are a NoneType; expected a list"),
        (PIXELS, "the examples are a ndarray; expected columns by name"),
        (CAPTIONS, "the examples are a list; expected columns by name"),
    ],
)
def test_what_is_no_example_of_several_parts_is_refused_by_name(things: Any, words: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        with pytest.raises(DataError, match=words):
            SPEC.read_all(things)


def test_files_that_are_not_there_options_and_single_things_are_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(NotFoundError, match=r"no image file .*owl\.png"):
        SPEC.read({"picture": tmp_path / "owl.png", "caption": "owl"})
    with pytest.raises(DataError, match="ink was given, but examples of several parts have no such option"):
        SPEC.read_all({"caption": CAPTIONS}, ink="dark")
    with pytest.raises(DataError, match="an example is a str; expected its parts by name: caption, picture"):
        SPEC.read("owl")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="come as a table; name the column of each part"):
        SeveralSpec.own(PIXELS)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({}, "there are no parts"),
        ({"": TextSpec()}, "a part has no name"),
        ({"a": SeveralSpec({"b": TextSpec()})}, "'a' has several parts itself"),
        ({"a": TableSpec(width=3, scaling="task")}, "'a' is rows of any table.*; a part of several is scaled as in training"),
        ({"a": ROWS, "b": ROWS}, "a and b are both rows of tables"),
        ({"a b": TextSpec(), "a_b": TextSpec()}, "'a b', 'a_b' are not told apart"),
        ({"a": {"kind": "smell"}}, "kind of input is 'smell'"),
    ],
)
def test_parts_that_cannot_be_one_example_are_refused(parts: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        SeveralSpec(parts)


def test_statistics_are_of_the_examples_that_have_the_part_and_warnings_name_it() -> None:
    random = np.random.default_rng(0)
    many = {"picture": random.integers(100, 140, (50, 6, 6, 3)).astype(np.uint8), "caption": ["an owl"] * 50}
    whole = SPEC.read_all(many)
    with pytest.warns(InputWarning):
        fewer = SPEC.read_all({"picture": [*many["picture"], None, None], "caption": [*many["caption"], "an owl", "an owl"]})
    assert SPEC.statistics(whole) == SPEC.statistics(fewer)
    alone = SPEC.parts["picture"].statistics({"image": many["picture"]})
    assert {
        name.removeprefix("picture."): value for name, value in SPEC.statistics(whole).items() if "picture" in name
    } == alone
    assert SPEC.unlike(SPEC.statistics(whole), fewer) is None
    bright = SPEC.read_all({"picture": np.full((5, 6, 6, 3), 255, np.uint8), "caption": ["an owl"] * 5})
    said = SPEC.unlike(SPEC.statistics(whole), bright)
    assert said is not None
    assert said.startswith("picture: the ")
    with pytest.warns(InputWarning):
        nothing = SPEC.statistics(SPEC.read_all({"caption": ["owl"]}))
    assert SPEC.unlike(nothing, bright) is None  # of pictures, training had none


def test_sizes_and_ways_of_reading_reach_the_parts() -> None:
    spec = SeveralSpec({"picture": ImageSpec(8, 8, 1, "dark"), "caption": TextSpec(8)})
    assert spec.resizable == {"size", "length"}
    assert spec.wished(size=6).parts == {"caption": TextSpec(8), "picture": ImageSpec(6, 6, 1, "dark")}
    assert spec.resized(SPEC).parts["picture"] == ImageSpec(6, 6, 1, "dark")
    assert spec.how(ink="light", length=8) == {"parts": {"picture": {"ink": "light"}}}
    with pytest.raises(DataError, match="rate is given, but none of the parts caption, picture has such an option"):
        spec.how(rate=8000)
    drawn = {"picture": np.full((1, 8, 8), 250, np.uint8), "caption": ["owl"]}
    light, dark = spec.read_all(drawn, **spec.how(ink="light")), spec.read_all(drawn)
    np.testing.assert_array_equal(light["picture"], 255 - dark["picture"])
    other = SeveralSpec({"picture": ImageSpec(8, 8, 1, "light"), "caption": TextSpec(6)})
    again = other.read_all(dark, **spec.as_read())
    np.testing.assert_allclose(other.to_network(again)["picture"], spec.to_network(dark)["picture"], atol=1e-6)
    assert not SPEC.by_group
    assert SeveralSpec({"a": MoleculeSpec(), "b": RowsSpec(2)}).by_group
