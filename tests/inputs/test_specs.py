"""Every kind of input: a spec is a value, says its layout, reads what users have, and warns of what is unlike its training data."""

from __future__ import annotations

import copy
import io
import pathlib
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import PIL.Image
import pydantic
import pytest
import torch

from quickstudy import discovery, inputs
from quickstudy.errors import DataError
from quickstudy.inputs import AnySpec, InputSpec, TensorLayout
from quickstudy.inputs.image import ImageSpec, load_image
from quickstudy.inputs.molecule import MoleculeSpec
from quickstudy.inputs.rows import RowsSpec
from quickstudy.inputs.several import SeveralSpec
from quickstudy.inputs.sound import SoundSpec
from quickstudy.inputs.table import TableSpec
from quickstudy.inputs.text import TextSpec
from quickstudy.tasks._inputs import to_input

RANDOM = np.random.default_rng(0)
SPECS: dict[str, list[InputSpec]] = {
    "image": [ImageSpec(), ImageSpec(7, 9, 3), ImageSpec(8, 8, 1, "dark")],
    "molecule": [MoleculeSpec(bits=16), MoleculeSpec(radius=1)],
    "rows": [RowsSpec(3), RowsSpec(2, ("a", "b"))],
    "table": [
        TableSpec.of({"a": [1.0, 2.0], "b": ["red", None]}),
        TableSpec.of({"day": ["2024-03-01", "2024-03-02"]}, scaling="task"),
        TableSpec(width=5, scaling="task"),
    ],
    "several": [
        SeveralSpec({"picture": ImageSpec(8, 8, 1, "dark"), "caption": TextSpec(7)}),
        SeveralSpec({"sound": SoundSpec(), "table": TableSpec.of({"a": [1.0, 2.0], "b": ["red", None]})}),
        SeveralSpec({"one": MoleculeSpec(bits=16, radius=1)}),
    ],
    "sound": [SoundSpec(), SoundSpec(16000, 0.4, 24, trim=False)],
    "text": [TextSpec(), TextSpec(7)],
}
"""Specs of every kind."""
ALL = [spec for specs in SPECS.values() for spec in specs]


def stored(spec: InputSpec, count: int = 4) -> dict[str, np.ndarray]:
    """Return random stored examples of a spec; texts are letters. Of several parts, the first example lacks the first one."""
    if isinstance(spec, SeveralSpec):
        there = {name: np.arange(count) >= (place == 0 and len(spec.parts) > 1) for place, name in enumerate(spec.parts)}
        rows = {name: next(iter(stored(part, int(there[name].sum())).values())) for name, part in spec.parts.items()}
        return {key: array for name in spec.parts for key, array in spec.spread(name, rows[name], there[name]).items()}
    least, most = (97, 123) if spec.kind == "text" else (0, 255)
    return {
        name: (least + RANDOM.random((count, *part.axes)) * (most - least)).astype(part.dtype)
        for name, part in spec.layout().items()
    }


def test_every_kind_is_tested_here() -> None:
    assert sorted(SPECS) == discovery.names("inputs") == list(inputs.kinds())


@pytest.mark.parametrize("spec", ALL, ids=str)
def test_a_spec_is_a_value(spec: InputSpec) -> None:
    described = spec.model_dump()
    for same in (inputs.from_dict(described), copy.deepcopy(spec), pickle.loads(pickle.dumps(spec)), spec.changed()):
        assert same == spec
        assert hash(same) == hash(spec)
        assert type(same) is type(spec)
    assert type(spec).model_validate_json(spec.model_dump_json()) == spec
    assert all(spec != other for other in ALL if other is not spec)
    with pytest.raises(pydantic.ValidationError):
        spec.kind = "other"  # type: ignore[misc]


@pytest.mark.parametrize("spec", ALL, ids=str)
def test_a_field_of_any_kind_is_read_from_plain_values(spec: InputSpec) -> None:
    class Holder(pydantic.BaseModel):
        input: AnySpec

    held = Holder(input=spec)
    assert held.model_dump()["input"] == spec.model_dump()
    assert Holder.model_validate_json(held.model_dump_json()).input == spec
    with pytest.raises(pydantic.ValidationError, match="kind of input is 'smell'; expected one of image, molecule"):
        Holder.model_validate({"input": {"kind": "smell"}})
    with pytest.raises(pydantic.ValidationError, match="colour"):
        Holder.model_validate({"input": spec.model_dump() | {"colour": 1}})


@pytest.mark.parametrize("spec", ALL, ids=str)
def test_the_layout_is_what_is_read_and_what_networks_get(spec: InputSpec) -> None:
    examples = stored(spec)
    seen = spec.to_network(examples)
    for name, part in spec.layout().items():
        assert seen[name].dtype == np.float32
        assert seen[name].shape == (4, *part.shape)
        assert seen[name].flags.c_contiguous
        expected = examples[name].transpose(0, *(1 + axis for axis in part.order)) * part.scale + part.offset
        np.testing.assert_allclose(seen[name], expected, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(to_input(torch.from_numpy(examples[name]), part).numpy(), seen[name], rtol=1e-6, atol=1e-6)
    if isinstance(spec, SeveralSpec):
        again = spec.read_all(examples, **spec.as_read())
        assert all(np.array_equal(again[name], examples[name]) for name in spec.layout())
        return
    (name,) = spec.layout()
    again = spec.read_all(examples[name], **spec.as_read())
    np.testing.assert_array_equal(again[name], examples[name])
    np.testing.assert_array_equal(spec.read(examples[name][1], **spec.as_read())[name], examples[name][1])


def test_whole_numbers_stay_whole() -> None:
    layout = TensorLayout(axes=(3,), order=(0,), dtype="int64")
    ids = np.array([[1, 2**40, 3]])
    assert layout.to_network(ids).dtype == np.int64
    assert to_input(torch.from_numpy(ids), layout).dtype == torch.int64
    assert (layout.to_network(ids) == ids).all()


def test_numpy_numbers_make_specs_and_impossible_fields_are_named() -> None:
    assert ImageSpec(np.int64(28), np.int32(28), np.int64(1)) == ImageSpec()
    assert RowsSpec(np.int64(3)).model_dump_json() == RowsSpec(3).model_dump_json()
    for wrong, words in [
        (lambda: ImageSpec(height=5000), "height is 5000"),
        (lambda: ImageSpec(colour=3), "colour is 3"),
        (lambda: RowsSpec(0), "features is 0"),
        (lambda: RowsSpec(3, ("a", "b")), "columns names 2 columns, but features is 3"),
        (lambda: inputs.from_dict({"kind": "rows"}), "is not whole"),
    ]:
        with pytest.raises(DataError, match=words):
            wrong()


# ---------------------------------------------------------------------------------------------------- what users have

PIXELS = RANDOM.integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)
COLOUR = ImageSpec(8, 8, 3)


class Table:
    """A data frame, as far as specs look at one: named columns, over whose names it iterates."""

    def __init__(self, columns: dict[str, Any]) -> None:
        self.given, self.columns = columns, list(columns)

    def __len__(self) -> int:
        return len(next(iter(self.given.values())))

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __getitem__(self, names: list[str]) -> Table:
        return Table({name: self.given[name] for name in names})

    def to_numpy(self) -> np.ndarray:
        return np.stack([np.asarray(column) for column in self.given.values()], axis=1)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.to_numpy()


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def files(folder: pathlib.Path) -> list[pathlib.Path]:
    paths = [folder / f"{number}.png" for number in range(len(PIXELS))]
    for path, pixels in zip(paths, PIXELS, strict=True):
        path.write_bytes(png(pixels))
    return paths


def test_all_that_users_have_for_images_is_one_thing(tmp_path: pathlib.Path) -> None:
    paths = files(tmp_path)
    names = [str(path) for path in paths]
    same: dict[str, Any] = {
        "array": PIXELS,
        "negative strides": PIXELS[::-1][::-1],
        "tensor": torch.from_numpy(PIXELS),
        "tensor with a gradient": (torch.from_numpy(PIXELS) / 255).double().requires_grad_(),
        "list of tensors": list(torch.from_numpy(PIXELS)),
        "nested lists": (PIXELS / 255).tolist(),
        "paths": paths,
        "names": names,
        "array of names": np.array(names),
        "array of objects": np.array(paths, dtype=object),
        "column of names": np.array(names)[:, None],
        "data frame": Table({"path": names}),
        "bytes": [png(pixels) for pixels in PIXELS],
        "bytearray": [bytearray(png(pixels)) for pixels in PIXELS],
        "memoryview": [memoryview(png(pixels)) for pixels in PIXELS],
        "open files": [io.BytesIO(png(pixels)) for pixels in PIXELS],
        "Pillow": [PIL.Image.fromarray(pixels) for pixels in PIXELS],
        "tuple": tuple(PIXELS),
    }
    for name, things in same.items():
        np.testing.assert_array_equal(COLOUR.read_all(things)["image"], PIXELS, err_msg=name)


@pytest.mark.parametrize(
    ("things", "words"),
    [
        ([PIXELS[0], None], "an image is None; expected a path"),
        ([{"path": "a.png"}], "an image is a dict"),
        ([["a.png", "b.png"]], "an image is a list of shape (2,) without numbers"),
        (np.array([["a.png", "b.png"]]), "an image is a ndarray of shape (2,) without numbers"),
        ([[[1, 2], [3]]], "an image is a list that is no array"),
        (
            torch.zeros(2, 3, 8, 8),
            "Its channels seem to come first; move them last, with .transpose(1, 2, 0) or .permute(1, 2, 0)",
        ),
        ([torch.zeros(8, 8, dtype=torch.bfloat16)], "an image is a Tensor that is no array"),
        (Table({"a": ["x"], "b": ["y"]}), "shape (2,) without numbers"),
        ("a.png", "one image was given (a.png); expected a list of images"),
        (bytearray(b"x"), "one image was given"),
        (None, "the examples are a NoneType; expected a list"),
        (iter([]), "the examples are a list_iterator; expected a list"),
        ([], "no example was given"),
        (7, "the examples are a int"),
    ],
)
def test_what_is_no_image_is_refused_by_name(things: object, words: str) -> None:
    with pytest.raises(DataError) as caught:
        COLOUR.read_all(things)
    assert words in str(caught.value)


ROWS = RANDOM.random((5, 3)).astype(np.float32)


def test_all_that_users_have_for_rows_is_one_thing() -> None:
    frame = Table(dict(zip("abc", ROWS.T, strict=True)))
    same: dict[str, Any] = {
        "array": ROWS,
        "negative strides": ROWS[::-1][::-1],
        "float64": ROWS.astype(np.float64),
        "objects": ROWS.astype(object),
        "tensor": torch.from_numpy(ROWS).requires_grad_(),
        "list of tensors": list(torch.from_numpy(ROWS)),
        "lists": ROWS.tolist(),
        "data frame": frame,
    }
    for name, things in same.items():
        np.testing.assert_array_equal(RowsSpec(3).read_all(things)["rows"], ROWS, err_msg=name)
    named = RowsSpec(3, ("a", "b", "c"))
    np.testing.assert_array_equal(named.read_all(frame[["c", "a", "b"]])["rows"], ROWS)
    with pytest.raises(DataError, match="the table has no column 'b'; expected the columns a, b, c"):
        named.read_all(frame[["a", "c"]])


@pytest.mark.parametrize(
    ("things", "words"),
    [
        (ROWS[:, :2], r"shape [5, 2]; expected [example, 3]"),
        ([[1, 2, np.nan]], "1 values that are NaN or infinite"),
        ([["1", "2", "3"]], "no table of numbers"),
        ([[1, 2, None]], "NaN or infinite"),
        ([[1, 2], [3]], "no table of numbers"),
        ([[1e300, 0, 0]], "NaN or infinite"),
        ("text", "one example was given"),
        (None, "the examples are a NoneType"),
    ],
)
def test_what_is_no_table_is_refused_by_name(things: object, words: str) -> None:
    with pytest.raises(DataError) as caught:
        RowsSpec(3).read_all(things)
    assert words in str(caught.value)
    with pytest.raises(DataError, match="ink was given, but rows of numbers have no such option"):
        RowsSpec(3).read_all(ROWS, ink="dark")


# ---------------------------------------------------------------------------------------------------- floats, EXIF, damage


@pytest.mark.parametrize("off", [np.nextafter(np.float32(1), np.float32(2)), 1.0009, -0.0009, np.float32(1.0005)])
def test_floats_are_allowed_the_errors_of_rounding(off: float) -> None:
    pixels = np.full((8, 8), 0.5)
    pixels[0, 0] = off
    found = load_image(pixels, ImageSpec(8, 8))
    assert found[0, 0, 0] == (255 if off > 0 else 0)
    assert found[1, 1, 0] == 128


@pytest.mark.parametrize(("off", "shown"), [(1.002, "0.5..1.002"), (-0.00123, "-0.00123..0.5"), (255.0, "0.5..255")])
def test_a_message_about_floats_shows_digits_that_differ(off: float, shown: str) -> None:
    pixels = np.full((8, 8), 0.5)
    pixels[0, 0] = off
    with pytest.raises(DataError) as caught:
        load_image(pixels, ImageSpec(8, 8))
    assert shown in str(caught.value)


def turned(orientation: int, **odd: Any) -> bytes:
    """Return a file with an orientation and odd tags beside it: two quarters white, one grey."""
    pixels = np.zeros((8, 8), dtype=np.uint8)
    pixels[:4, :4], pixels[4:, 4:] = 255, 128
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    for tag, value in odd.items():
        exif[int(tag.removeprefix("tag"))] = value
    PIL.Image.fromarray(pixels).save(buffer, "PNG", exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright_as_pillow_does(orientation: int) -> None:
    import PIL.ImageOps

    file = turned(orientation)
    with PIL.Image.open(io.BytesIO(file)) as opened:
        expected = np.asarray(PIL.ImageOps.exif_transpose(opened))
    np.testing.assert_array_equal(load_image(file, ImageSpec(8, 8))[..., 0], expected)


def test_odd_tags_beside_the_orientation_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = load_image(turned(6), ImageSpec(8, 8))
    file = turned(6)

    def stumbles(self: PIL.Image.Exif, *rest: object) -> bytes:
        raise AttributeError("'float' object has no attribute 'encode'")

    monkeypatch.setattr(PIL.Image.Exif, "tobytes", stumbles)  # what writing EXIF anew does with some cameras' tags
    np.testing.assert_array_equal(load_image(file, ImageSpec(8, 8)), plain)
    np.testing.assert_array_equal(load_image(turned_number(99), ImageSpec(8, 8)), load_image(turned_number(1), ImageSpec(8, 8)))


def turned_number(orientation: int) -> PIL.Image.Image:
    """Return a picture in memory that says it is turned by a number of EXIF."""
    picture = PIL.Image.new("L", (8, 8), 7)
    picture.getexif()[0x0112] = orientation
    return picture


@pytest.mark.parametrize(
    "error", [AttributeError, TypeError, KeyError, IndexError, ZeroDivisionError, AssertionError, MemoryError]
)
def test_whatever_a_damaged_file_makes_pillow_stumble_over_is_a_data_error(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def stumble(*given: object, **more: object) -> None:
        raise error("fuzzed")

    monkeypatch.setattr(PIL.Image.Image, "resize", stumble)
    with pytest.raises(DataError, match=r"cannot be read as an image \(.*fuzzed"):
        load_image(png(PIXELS[0]), ImageSpec(5, 5))


def test_files_with_fuzzed_bytes_are_read_or_refused_in_words() -> None:
    random = np.random.default_rng(1)
    buffer = io.BytesIO()
    exif = PIL.Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "camera", 72.5
    PIL.Image.fromarray(PIXELS[0]).save(buffer, "JPEG", exif=exif)
    whole, refused = buffer.getvalue(), 0
    for _ in range(400):
        content = bytearray(whole)
        for place in random.integers(2, len(content), 3):
            content[place] = random.integers(0, 256)
        try:
            assert load_image(bytes(content), COLOUR).shape == (8, 8, 3)
        except DataError:
            refused += 1
    assert 0 < refused < 300


# ---------------------------------------------------------------------------------------------------- unlike training data


def drawings(count: int, spec: ImageSpec, seed: int = 0) -> dict[str, np.ndarray]:
    """Return stored drawings: a stroke or two of 255 on 0 as the network sees them."""
    random = np.random.default_rng(seed)
    light = np.zeros((count, *spec.shape), dtype=np.uint8)
    for image in light:
        for _ in range(2):
            row, column = random.integers(4, spec.height - 6), random.integers(4, spec.width - 6)
            image[row : row + 2, 4:-4] = 255
            image[4:-4, column : column + 2] = 255
    return {"image": 255 - light if spec.ink == "dark" else light}


@pytest.mark.parametrize("ink", ["dark", "light"])
def test_negatives_of_drawings_are_called_so_with_the_remedy(ink: Any) -> None:
    spec = ImageSpec(28, 28, 1, ink)
    statistics = spec.statistics(drawings(300, spec))
    assert spec.unlike(statistics, drawings(5, spec, seed=1)) is None
    words = spec.unlike(statistics, {"image": 255 - drawings(5, spec, seed=1)["image"]})
    assert words is not None
    other = "light" if ink == "dark" else "dark"
    assert f"ink='{other}'" in words
    assert "negatives" in words
    assert words.startswith(
        "the brightness at the edges of the images is 1.00 (from 0 to 1, as the network sees them), but 0.00 in those"
    )
    said = spec.unlike(statistics, {"image": 255 - drawings(5, spec, seed=1)["image"]}, ink=other)
    assert said is not None
    assert f"ink='{ink}'" in said  # the remedy is the other of what was said, not of what the learner takes
    assert spec.unlike(statistics, spec.read_all(255 - drawings(5, spec, seed=1)["image"], ink=other)) is None


def test_photographs_are_not_taken_for_negatives_and_dim_ones_are_named() -> None:
    spec, random = ImageSpec(16, 16, 3), np.random.default_rng(0)
    photos = {
        "image": np.clip(random.normal(115, 45, (200, 1, 1, 1)) + random.normal(0, 50, (200, 16, 16, 3)), 0, 255).astype(
            np.uint8
        )
    }
    statistics = spec.statistics(photos)
    for start in range(0, 200, 5):
        some = {"image": photos["image"][start : start + 5]}
        assert spec.unlike(statistics, some) is None
        assert spec.unlike(statistics, {"image": 255 - some["image"]}) is None
    words = spec.unlike(statistics, {"image": np.full((5, 16, 16, 3), 255, dtype=np.uint8)})
    assert words is not None
    assert "prepare them as its training images were" in words


@pytest.mark.parametrize("spec", ALL, ids=str)
def test_what_a_network_got_can_be_stored_again_and_shown(spec: InputSpec) -> None:
    examples = stored(spec)
    for name, part in spec.layout().items():
        again = part.to_stored(part.to_network(examples[name]))
        assert again.dtype == part.dtype
        np.testing.assert_array_equal(again, examples[name])
    shown = spec.shown({name: array[0] for name, array in examples.items()})
    if spec.kind in ("rows", "table"):
        numbers = next(iter(examples.values()))[0].ravel()
        assert shown.content.decode() == ", ".join(f"{number:.4g}" for number in numbers)
    elif spec.kind == "molecule":
        places = np.flatnonzero(examples["molecule"][0])
        assert shown.content.decode() == f"fingerprint with the bits {', '.join(map(str, places))}"
    elif isinstance(spec, SeveralSpec):
        there = [
            part.shown({own: examples[spec.tensor(name)][0] for own in part.layout()}) for name, part in spec.parts.items()
        ]
        assert shown == there[-1]  # the first part is missing
    else:
        again = spec.read(shown.content)
        (name,) = spec.layout()
        np.testing.assert_array_equal(again[name], examples[name][0])
    assert RowsSpec(20).shown({"rows": np.arange(20.0)}).content == b"0, 1, 2, 3, 4, 5, 6, 7, ..."


def test_every_word_that_can_be_said_of_data_is_explained() -> None:
    for name in [*inputs.wishes(), *inputs.readings()]:
        assert inputs.explained(name) != "a property of your own data"
    assert {name: kind.readings() for name, kind in inputs.kinds().items()} == {
        "image": ["ink"],
        "molecule": [],
        "rows": [],
        "several": [],
        "sound": [],
        "table": [],
        "text": [],
    }


def test_rows_in_other_units_are_named() -> None:
    spec = RowsSpec(4)
    rows = {"rows": RANDOM.normal(0, 1, (500, 4)).astype(np.float32)}
    statistics = spec.statistics(rows)
    assert spec.unlike(statistics, {"rows": rows["rows"][:6]}) is None
    for far in (rows["rows"] * 100, rows["rows"] + 50, rows["rows"] / 100):
        words = spec.unlike(statistics, {"rows": far[:6]})
        assert words is not None
        assert "scale them as its training data was" in words


def test_few_numbers_are_not_called_narrow() -> None:
    curve = RowsSpec(1)
    statistics = {"location": 0.0, "scale": 3.0}
    for few in ([[1.5]], [[1.5], [1.6]]):
        assert curve.unlike(statistics, curve.read_all(few)) is None
    assert curve.unlike(statistics, curve.read_all([[30.0]])) is not None
