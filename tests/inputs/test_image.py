"""load_image: every kind of image becomes what the spec says, and nothing is guessed."""

from __future__ import annotations

import io
import pathlib

import numpy as np
import PIL.Image
import pytest

from quickstudy.errors import DataError, NotFoundError
from quickstudy.inputs.image import ImageSpec, load_image

GREY = ImageSpec(8, 8, 1)
DARK = ImageSpec(8, 8, 1, ink="dark")
COLOUR = ImageSpec(8, 8, 3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "F", "I;16"])
@pytest.mark.parametrize("spec", [GREY, COLOUR], ids=["grey", "colour"])
def test_white_stays_white_and_black_black_in_every_mode(mode: str, spec: ImageSpec) -> None:
    for value in (0, 255):
        picture = PIL.Image.new("L", (12, 10), value)
        if mode in ("I", "I;16"):
            picture = PIL.Image.fromarray(np.full((10, 12), value * 257, dtype=np.uint16 if mode == "I;16" else np.int32))
        elif mode == "F":
            picture = PIL.Image.fromarray(np.full((10, 12), value / 255, dtype=np.float32))
        elif mode == "CMYK":
            picture = picture.convert("RGB").convert("CMYK")
        else:
            picture = picture.convert(mode)
        assert picture.mode == mode
        stored = load_image(picture, spec)
        assert stored.shape == spec.shape
        assert stored.dtype == np.uint8
        assert (stored == value).all()


def test_sixteen_bit_file_keeps_its_range(tmp_path: pathlib.Path) -> None:
    values = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    PIL.Image.fromarray(values).save(tmp_path / "deep.png")
    stored = load_image(tmp_path / "deep.png", GREY)[..., 0]
    assert np.abs(stored.astype(float) - values / 257).max() <= 0.51


def test_transparency_lies_on_white_except_for_grey_light_on_dark() -> None:
    clear = PIL.Image.new("RGBA", (8, 8), (90, 90, 90, 0))
    assert (load_image(clear, DARK) == 255).all()
    assert (load_image(clear, COLOUR) == 255).all()
    assert (load_image(clear, GREY) == 0).all()
    # The ground belongs to the polarity of the file, before it is inverted: ground stays ground.
    assert (load_image(clear, GREY, ink="dark") == 0).all()
    assert (load_image(clear, DARK, ink="light") == 255).all()


def test_palette_with_transparent_entry_is_laid_on_the_ground() -> None:
    picture = PIL.Image.new("P", (8, 8), 0)
    picture.putpalette([200, 0, 0] + [0, 0, 0] * 255)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", transparency=0)
    assert (load_image(buffer.getvalue(), COLOUR) == 255).all()


def test_half_transparent_black_on_white_is_middle_grey() -> None:
    stored = load_image(PIL.Image.new("LA", (8, 8), (0, 128)), DARK)
    assert np.abs(stored.astype(int) - 127).max() <= 1


def test_exif_orientation_turns_the_image_upright(tmp_path: pathlib.Path) -> None:
    pixels = np.zeros((8, 8), dtype=np.uint8)
    pixels[:, :4] = 255
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise: the left half comes to lie at the top
    PIL.Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    stored = load_image(tmp_path / "turned.png", GREY)[..., 0]
    assert (stored[:4] == 255).all()
    assert (stored[4:] == 0).all()


def test_declared_polarity_inverts_only_where_it_differs() -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    assert (load_image(pixels, GREY)[..., 0] == pixels).all()
    assert (load_image(pixels, GREY, ink="light")[..., 0] == pixels).all()
    assert (load_image(pixels, GREY, ink="dark")[..., 0] == 255 - pixels).all()
    assert (load_image(pixels, DARK, ink="light")[..., 0] == 255 - pixels).all()


def test_mostly_dark_image_is_not_inverted_on_a_guess() -> None:
    assert (load_image(np.zeros((8, 8), dtype=np.uint8), DARK) == 0).all()


def test_shrinking_averages_rather_than_skips() -> None:
    stripes = np.zeros((80, 80), dtype=np.uint8)
    stripes[:, ::2] = 255
    stored = load_image(stripes, GREY).astype(int)
    assert np.abs(stored[:, 1:-1] - 127).max() <= 8


def test_bytes_path_picture_and_array_of_one_image_agree(tmp_path: pathlib.Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    file = tmp_path / "image.png"
    PIL.Image.fromarray(pixels).save(file)
    expected = load_image(pixels, COLOUR)
    for same in (file, str(file), file.read_bytes(), PIL.Image.fromarray(pixels), pixels.astype(np.float64) / 255):
        assert (load_image(same, COLOUR) == expected).all()
    assert expected.std() > 10


def test_arrays_with_one_two_and_four_channels() -> None:
    grey = np.full((4, 4, 1), 7, dtype=np.uint8)
    assert (load_image(grey, GREY) == 7).all()
    assert (load_image(np.dstack([grey, grey * 0]), DARK) == 255).all()
    assert (load_image(np.dstack([grey, grey, grey, grey * 0 + 255]), COLOUR) == 7).all()
    assert (load_image(np.ones((4, 4), dtype=bool), GREY) == 255).all()


def test_the_given_picture_and_array_are_left_alone() -> None:
    picture = PIL.Image.new("RGBA", (12, 12), (10, 20, 30, 40))
    pixels = np.full((8, 8), 3, dtype=np.uint8)
    stored = load_image(pixels, GREY)
    stored[:] = 9
    load_image(picture, GREY)
    assert (pixels == 3).all()
    assert picture.size == (12, 12)
    assert picture.getpixel((0, 0)) == (10, 20, 30, 40)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((4, 4), np.nan), "NaN"),
        (np.full((4, 4), np.inf), "infinite"),
        (np.full((4, 4), 2.0), "2..2; expected 0..1. Divide by 255"),
        (np.full((4, 4), -0.5), "expected 0..1"),
        (np.full((4, 4), 3, dtype=np.int64), "int64; expected uint8"),
        (np.zeros((4,), dtype=np.uint8), r"shape \(4,\)"),
        (np.zeros((4, 4, 5), dtype=np.uint8), r"shape \(4, 4, 5\)"),
        (np.zeros((0, 4), dtype=np.uint8), r"shape \(0, 4\)"),
    ],
)
def test_unusable_array_is_named(array: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_image(array, GREY)


def test_unusable_files_are_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(NotFoundError, match=r"there is no image file .*missing\.png"):
        load_image(tmp_path / "missing.png", GREY)
    (tmp_path / "text.png").write_text("this is not an image")
    with pytest.raises(DataError, match=r"text\.png.* not in an image format"):
        load_image(tmp_path / "text.png", GREY)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    PIL.Image.fromarray(noise).save(tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:1500])
    with pytest.raises(DataError, match=r"half\.png.* cannot be read"):
        load_image(tmp_path / "half.png", GREY)
    with pytest.raises(DataError, match=r"cannot be read|not in an image format"):
        load_image(b"", GREY)


def test_unknown_polarity_and_impossible_specs_are_refused() -> None:
    with pytest.raises(DataError, match="ink is 'blue'"):
        load_image(np.zeros((4, 4), dtype=np.uint8), GREY, ink="blue")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="ink is 'blue'"):
        ImageSpec(ink="blue")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="channels is 2"):
        ImageSpec(channels=2)
    with pytest.raises(DataError, match="0x28"):
        ImageSpec(height=0)
