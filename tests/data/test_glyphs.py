"""The glyphs: that classes are letters of their own, that splits share none, and that every image shows one whole letter."""

from __future__ import annotations

import pathlib
import sys

import numpy as np
import pytest

from quickstudy.data import glyphs, handwriting
from quickstudy.data.dataset import Dataset
from quickstudy.errors import DataError


@pytest.fixture(scope="module")
def classes() -> list[glyphs.GlyphClass]:
    return glyphs.glyph_classes()


@pytest.fixture(scope="module")
def val() -> Dataset:
    return glyphs.load_glyphs("val", copies=3)


def placed(glyph: glyphs.GlyphClass, file: pathlib.Path, fine: int = 1) -> np.ndarray:
    drawn = glyphs._Pens().draw(glyph.character, file)
    assert drawn is not None
    return glyphs._placed(drawn, fine)


def test_counts(classes: list[glyphs.GlyphClass]) -> None:
    parts = {part: [glyph for glyph in classes if glyph.script in names] for part, names in glyphs.SCRIPTS.items()}
    assert len(parts["train"]) > 1400
    assert len(parts["val"]) >= 100
    assert len(parts["test"]) >= 200
    assert sum(map(len, parts.values())) == len(classes)
    assert all({glyph.script for glyph in parts[part]} == set(names) for part, names in glyphs.SCRIPTS.items())
    assert min(len(glyph.fonts) for glyph in classes) >= glyphs.DRAWN["typefaces"]
    assert max(len(glyph.fonts) for glyph in classes) > 16  # beyond DejaVu and STIX: Computer Modern


def test_no_script_and_no_character_is_in_two_splits(classes: list[glyphs.GlyphClass]) -> None:
    scripts = [script for names in glyphs.SCRIPTS.values() for script in names]
    assert len(scripts) == len(set(scripts))
    assert len({glyph.character for glyph in classes}) == len(classes)


def test_dataset_is_as_described(val: Dataset, classes: list[glyphs.GlyphClass]) -> None:
    expected = [glyph for glyph in classes if glyph.script in glyphs.SCRIPTS["val"]]
    assert val.examples["image"].shape == (3 * len(expected), 28, 28, 1)
    assert val.examples["image"].dtype == np.uint8
    assert val.counts.tolist() == [3] * len(expected)
    assert val.classes == tuple(f"{glyph.script}/{glyph.name}" for glyph in expected)
    assert "ARMENIAN/ARMENIAN CAPITAL LETTER AYB" in val.classes
    assert set(val.groups) == set(glyphs.SCRIPTS["val"])
    assert val.spec.shape == (28, 28, 1)
    assert val.spec.ink == "dark"
    assert val.name == "glyphs/val"


def test_same_seed_same_images(val: Dataset) -> None:
    again = glyphs.load_glyphs("val", copies=3)
    assert np.array_equal(again.examples["image"], val.examples["image"])
    assert again.fingerprint == val.fingerprint


def test_another_seed_gives_other_images_of_the_same_letters(val: Dataset) -> None:
    other = glyphs.load_glyphs("val", copies=3, seed=1)
    assert other.classes == val.classes
    assert other.fingerprint != val.fingerprint
    assert not (other.examples["image"] == val.examples["image"]).all((1, 2, 3)).any()


def test_images_of_a_class_do_not_depend_on_the_other_classes(val: Dataset, classes: list[glyphs.GlyphClass]) -> None:
    chosen = [10, 3]
    expected = [glyph for glyph in classes if glyph.script in glyphs.SCRIPTS["val"]]
    alone = glyphs._dataset([expected[c] for c in chosen], "val", 3, 0)
    assert np.array_equal(alone.examples["image"], val.select(chosen).examples["image"])


def test_copies_differ(val: Dataset) -> None:
    images = val.examples["image"].reshape(-1, 3, 28 * 28).astype(int)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (np.abs(images[:, one] - images[:, other]).mean(1) > 1).all()


def test_no_image_is_blank_or_clipped(val: Dataset) -> None:
    for data in (val, glyphs.load_glyphs("test", copies=4, seed=7)):
        ink = 255 - data.examples["image"][..., 0]
        assert ink[:, [0, -1], :].max() == 0
        assert ink[:, :, [0, -1]].max() == 0
        assert ink.max((1, 2)).min() > 100  # a stroke that can be seen
        amount = ink.mean((1, 2)) / 255
        assert amount.min() > 0.015
        assert amount.max() < 0.5  # dark on light


def test_letters_that_look_the_same_are_one_class(classes: list[glyphs.GlyphClass]) -> None:
    have = {glyph.character for glyph in classes}
    assert {"A", "H", "a", "e", "Δ", "Я", "λ", "א", "ກ", "ე"} <= have
    assert not have & set("\u0391\u0410\u0397\u041d\u0430\u0435")  # A and H in Greek and Cyrillic, Cyrillic a and e
    assert not have & {"c", "o", "x", "z", "\u212a"}  # capitals but for their size; the Kelvin sign
    assert not have & {"\U0001d400", "\U0001d504"}  # bold and fraktur A: typefaces, not characters


def test_no_two_classes_share_a_shape(classes: list[glyphs.GlyphClass]) -> None:
    """By another measure than the one that chose them: no two drawings in one typeface have nearly the same pixels."""
    sans = next(file for file in classes[0].fonts if file.name == "DejaVuSans.ttf")
    mono = sans.with_name("DejaVuSansMono-BoldOblique.ttf")
    for file in (sans, mono):
        ink = np.stack([placed(glyph, file) for glyph in classes if file in glyph.fonts]).reshape(-1, 28 * 28) / 255.0
        assert len(ink) > 500
        squares = (ink**2).sum(1)
        distance = squares[:, None] + squares - 2 * ink @ ink.T
        np.fill_diagonal(distance, np.inf)
        assert (distance / np.minimum(squares[:, None], squares)).min() > 0.01


def test_typefaces_have_the_letter_where_unicode_says(classes: list[glyphs.GlyphClass]) -> None:
    """Computer Modern draws letters as DejaVu does, in place of which a symbol font has others."""
    for character in "OEHT":
        letter = next(glyph for glyph in classes if glyph.character == character)
        files = {file.stem: file for file in letter.fonts}
        plain = placed(letter, files["DejaVuSans"]).ravel()
        modern = [stem for stem in ("cmr10", "cmb10", "cmss10", "cmtt10") if stem in files]
        assert len(modern) >= 3
        for stem in modern:
            assert np.corrcoef(plain, placed(letter, files[stem]).ravel())[0, 1] > 0.4, (character, stem)
    assert not any(file.name.startswith(("LastResort", "cmsy", "cmex", "cmmi")) for glyph in classes for file in glyph.fonts)


def test_a_letter_is_drawn_whole_and_centred(classes: list[glyphs.GlyphClass]) -> None:
    for glyph in classes[::60]:
        rows, columns = np.nonzero(placed(glyph, glyph.fonts[-1], fine=3))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert abs(max(height, width) - 60) <= 2
        assert abs(rows.min() + rows.max() - 83) <= 3
        assert abs(columns.min() + columns.max() - 83) <= 3


def test_pens() -> None:
    stroke = np.zeros((1, 84, 84), np.uint8)
    stroke[:, 20:64, 40:46] = 255  # six pixels wide
    hairline = np.zeros((1, 84, 84), np.uint8)
    hairline[:, 20:64, 42] = 255
    widths = [
        int((handwriting.with_pen(stroke, np.array([0]), np.array([wanted]))[0, 40] > 0).sum()) for wanted in (4.0, 6.0, 8.0)
    ]
    assert widths == sorted(widths)
    assert widths[0] < widths[2]
    assert np.array_equal(handwriting.shrink(hairline), hairline)
    assert handwriting.grow(hairline)[0, 40].sum() == 3 * 255


def test_sampling_is_bilinear() -> None:
    ramp = np.broadcast_to(np.arange(84, dtype=np.uint8), (1, 84, 84))
    at = np.full((1, 2, 1, 4), 30.0)
    at[0, 0, 0] = [10.0, 10.5, 82.25, -50.0]
    assert handwriting.sample(2 * ramp, at)[0, 0].tolist() == [20, 21, 164, 0]  # ground outside


@pytest.mark.parametrize(
    ("split", "options", "message"),
    [("dev", {}, "unknown split 'dev'"), ("val", {"copies": 0}, "copies is 0"), ("val", {"seed": -1}, "seed is -1")],
)
def test_bad_arguments(split: glyphs.Split, options: dict[str, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        glyphs.load_glyphs(split, **options)


def test_matplotlib_without_fonts(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setattr("matplotlib.get_data_path", lambda: str(tmp_path))
    with pytest.raises(DataError, match="no fonts such as DejaVuSans"):
        glyphs._font_files()


def test_no_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(DataError, match="quickstudy"):
        glyphs._font_files()
