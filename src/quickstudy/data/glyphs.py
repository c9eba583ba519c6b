"""Glyphs: letters of many scripts, rendered from the fonts that matplotlib ships. No download.

A class is one letter (Unicode category L), its group is its script. Every letter is drawn in each typeface whose own character
map has it (DejaVu, STIX and Computer Modern; bold and oblique cuts count as typefaces), then bent towards handwriting: a pen of
another width, an affine map, an elastic one. Dark strokes on a light ground, 28 x 28.

Whole scripts are held out, so a test class is a new letter of a script that was never seen:

    train   Latin, Cyrillic, Greek, Coptic, Old Italic, Lisu, Arabic, Canadian syllabics: the large ones and their kin
    val     Armenian, N'Ko, Ogham
    test    Georgian, Hebrew, Lao, Tifinagh: four ways of making a letter

Letters that look the same are one class: Latin A, Greek Alpha and Cyrillic A are drawn alike, and so are C and c once they are
scaled to one size. The first of them stays (plain letters before compatibility forms, then in Unicode's order): no shape is in
two splits. Styled copies of letters (mathematical bold, fraktur) are left out: they are typefaces, not characters.

Everything is a pure function of its arguments and of matplotlib's release, which brings the fonts and draws their outlines.
Random numbers are keyed by (seed, code point), so an image depends neither on the split nor on the other classes.
"""

from __future__ import annotations

import concurrent.futures
import functools
import hashlib
import os
import pathlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np
import PIL.Image
import rich.console
import rich.progress

from quickstudy.data.dataset import Dataset
from quickstudy.data.handwriting import FINE, SIDE, grow, handwritten
from quickstudy.errors import DataError
from quickstudy.inputs.image import ImageSpec

if TYPE_CHECKING:
    from matplotlib.ft2font import FT2Font

Split = Literal["train", "val", "test", "all"]

SCRIPTS: dict[str, tuple[str, ...]] = {
    "train": ("LATIN", "CYRILLIC", "GREEK", "COPTIC", "LISU", "OLD ITALIC", "ARABIC", "CANADIAN SYLLABICS"),
    "val": ("ARMENIAN", "NKO", "OGHAM"),
    "test": ("GEORGIAN", "HEBREW", "LAO", "TIFINAGH"),
}

DRAWN = {"ink": 20, "em": 96, "smallest": 0.3, "typefaces": 2}
"""Pixels of the longer side of an undistorted letter; pixels per em when an outline is drawn, before it is scaled to these; em below
which a mark (an apostrophe, a dot) is no letter; typefaces that must have a letter for it to be a class."""
TWINS = {"near": 0.4, "alike": 0.75, "stretch": 0.3}
"""Squared distance, as a share of the larger letter's, beyond which two letters are surely no twins; pixels of ink by which no 3 x 3
window of twins differs (see `_excess`); difference of the logarithms of width over height up to which they may be stretched to fit, as
much as `_affine` does. All were set by looking at the pairs on either side of them."""

# In these fonts, letters have the code points that Unicode gives them. Other fonts have symbols there (cmmi, cmsy, cmex), or boxes.
UNICODE_FONTS = re.compile(r"(DejaVuSans|DejaVuSansMono|DejaVuSerif|STIXGeneral)(-?(Bold|Bol)?(Oblique|Italic|Ita)?)\.ttf")
ASCII_FONTS = re.compile(r"cm(b|r|ss|ti|tt)10\.ttf")


class GlyphClass(NamedTuple):
    """One letter, and the typefaces that have it.

    Attributes:
        character: the letter itself, such as `"α"`.
        name: its Unicode name, such as `"GREEK SMALL LETTER ALPHA"`.
        script: the script that it belongs to, such as `"GREEK"`.
        fonts: files that draw it, each in a shape that no other class has in that file.
    """

    character: str
    name: str
    script: str
    fonts: tuple[pathlib.Path, ...]


def load_glyphs(split: Split, *, copies: int = 20, seed: int = 0) -> Dataset:
    """Return rendered letters of one split, `copies` distorted images of each.

    Args:
        split: `"train"`, `"val"`, `"test"` or `"all"`. No script is in two of the first three.
        copies: images per class. They go through the typefaces of the class in turn.
        seed: seed of the distortions, a whole number from 0 on.

    Returns:
        Images uint8 `[class * copies, 28, 28, 1]`; classes such as `"GREEK/GREEK SMALL LETTER ALPHA"`; the scripts as groups.

    Raises:
        DataError: unknown split, no copies, negative seed, or no fonts.

    >>> load_glyphs("val", copies=1).examples["image"].shape[1:]
    (28, 28, 1)
    """
    if split not in get_args(Split):
        raise DataError(f"unknown split {split!r} of the glyphs; expected one of {', '.join(get_args(Split))}.")
    if copies < 1:
        raise DataError(f"copies is {copies}; expected at least 1 image per class.")
    if seed < 0:
        raise DataError(f"seed is {seed}; expected a whole number from 0.")
    scripts = [script for part, names in SCRIPTS.items() if split in (part, "all") for script in names]
    return _dataset([glyph for glyph in glyph_classes() if glyph.script in scripts], split, copies, seed)


def glyph_classes() -> list[GlyphClass]:
    """Return every class of every split, sorted by script and code point. Takes seconds the first time in a process.

    Raises:
        DataError: matplotlib or its fonts are missing.
    """
    return list(_distinct_classes())


# --- which letters there are, and in which typefaces ----------------------------------------------------------------------


@functools.cache
def _distinct_classes() -> tuple[GlyphClass, ...]:
    return tuple(_without_twins(_candidates(_font_files())))


def _font_files() -> list[pathlib.Path]:
    """Return the typefaces, the plainest first: a letter is compared in its first typeface first, which is DejaVu Sans for most."""
    try:
        import matplotlib
    except ImportError as error:
        raise DataError(
            'glyphs are drawn by matplotlib, which is missing; install it with: pip install "quickstudy[train]"'
        ) from error
    folder = pathlib.Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    files = sorted(folder.glob("*.ttf"), key=lambda file: (len(file.name), file.name))
    chosen = [file for pattern in (UNICODE_FONTS, ASCII_FONTS) for file in files if pattern.fullmatch(file.name)]
    if not chosen:
        raise DataError(
            f"no fonts such as DejaVuSans.ttf in {folder}; some distributions package matplotlib without them. "
            "Install it with: pip install --force-reinstall matplotlib"
        )
    return chosen


def _open(file: pathlib.Path) -> FT2Font:
    from matplotlib.ft2font import FT2Font

    font = FT2Font(os.fspath(file))
    font.set_size(DRAWN["em"], 72)
    return font


def _script(character: str) -> str | None:
    """Return the script of a letter, or of the plain letter that it is a form of; None for a letter that no split has."""
    known = {script for scripts in SCRIPTS.values() for script in scripts}
    for form in (character, unicodedata.normalize("NFKC", character)[0]):
        words = unicodedata.name(form, "").split()
        for name in (" ".join(words[:1]), " ".join(words[:2])):
            if name in known:
                return name
    return None


def _candidates(files: Iterable[pathlib.Path]) -> list[GlyphClass]:
    """Return the letters that the fonts have: plain letters first, then compatibility forms, each in the order of Unicode."""
    having: dict[str, list[pathlib.Path]] = {}
    for file in files:
        for code, index in _open(file).get_charmap().items():
            character = chr(code)
            usable = index and (character.isascii() or not ASCII_FONTS.fullmatch(file.name))
            if usable and unicodedata.category(character).startswith("L"):
                having.setdefault(character, []).append(file)
    found = []
    for character, fonts in having.items():
        script = None if "<font>" in unicodedata.decomposition(character) else _script(character)
        if script is not None and len(fonts) >= DRAWN["typefaces"]:
            found.append(GlyphClass(character, unicodedata.name(character), script, tuple(fonts)))
    return sorted(found, key=lambda glyph: ("<" in unicodedata.decomposition(glyph.character), glyph.character))


# --- drawing ----------------------------------------------------------------------------------------------------------------


class _Pens:
    """Opened fonts, for one thread."""

    def __init__(self) -> None:
        from matplotlib import ft2font

        new = hasattr(ft2font, "LoadFlags")  # since matplotlib 3.10
        self.unhinted = ft2font.LoadFlags.NO_HINTING if new else vars(ft2font)["LOAD_NO_HINTING"]
        self.fonts: dict[pathlib.Path, FT2Font] = {}

    def draw(self, character: str, file: pathlib.Path) -> PIL.Image.Image | None:
        """Return the letter at 96 pixels per em, light on dark, cut to its ink. None if there is no ink, or too little."""
        if file not in self.fonts:
            self.fonts[file] = _open(file)
        font = self.fonts[file]
        font.set_text(character, 0.0, flags=self.unhinted)
        font.draw_glyphs_to_bitmap(antialiased=True)
        drawn = PIL.Image.fromarray(np.asarray(font.get_image()))
        box = drawn.getbbox()
        if box is None or max(box[2] - box[0], box[3] - box[1]) < DRAWN["smallest"] * DRAWN["em"]:
            return None
        return drawn.crop(box)


def _placed(drawn: PIL.Image.Image, fine: int, stretched: bool = False) -> np.ndarray:
    """Return ink in the middle of a square, uint8 `[28 * fine, 28 * fine]`, 255 is full; the longer side (or both) is `20 * fine`."""
    side, full = SIDE * fine, DRAWN["ink"] * fine
    longest = max(drawn.size)
    width, height = (full if stretched else max(fine, round(length * full / longest)) for length in drawn.size)
    canvas = np.zeros((side, side), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    canvas[top : top + height, left : left + width] = np.asarray(drawn.resize((width, height), PIL.Image.Resampling.BILINEAR))
    return canvas


# --- letters that look the same ---------------------------------------------------------------------------------------------


def _without_twins(glyphs: Sequence[GlyphClass]) -> list[GlyphClass]:
    """Drop classes, and single typefaces of classes, until no two classes share a shape.

    1. Of the classes that look alike in their first typeface, the first stays.
    2. A class loses the typefaces in which it looks like the first typeface of another class (italic a, and alpha).
    3. Of two classes that look alike in one more typeface, the later loses it (Cyrillic te and Latin m: twins in italics).
    """
    pens = _Pens()
    first = [glyph._replace(fonts=glyph.fonts[:1]) for glyph in glyphs]
    owner, _, shapes = _drawn(pens, first)
    glyphs = [glyphs[c] for c in owner[_first_of_its_kind(shapes, np.arange(len(owner)))]]

    owner, files, shapes = _drawn(pens, glyphs)
    rows = np.arange(len(owner))
    alive = np.ones(len(owner), bool)
    _, twin = _twins(shapes, rows[np.diff(owner, prepend=-1) > 0], rows, lambda one, other: owner[one] != owner[other])
    alive[twin] = False
    names = np.array([file.name for file in files])
    for name in np.unique(names):
        here = rows[alive & (names == name)]
        alive[here] = False
        alive[_first_of_its_kind(shapes, here)] = True

    typefaces: dict[int, list[pathlib.Path]] = {}
    for row in rows[alive]:
        typefaces.setdefault(int(owner[row]), []).append(files[row])
    left = [glyphs[c]._replace(fonts=tuple(fonts)) for c, fonts in typefaces.items() if len(fonts) >= DRAWN["typefaces"]]
    return sorted(left, key=lambda glyph: (glyph.script, glyph.character))


def _drawn(pens: _Pens, glyphs: Sequence[GlyphClass]) -> tuple[np.ndarray, list[pathlib.Path], _Shapes]:
    """Return every class in every typeface of its own: the number of the class, the typeface and the shape of each drawing."""
    tried = [(c, file, pens.draw(glyph.character, file)) for c, glyph in enumerate(glyphs) for file in glyph.fonts]
    found = [(c, file, drawn) for c, file, drawn in tried if drawn is not None]
    return np.array([c for c, _, _ in found]), [file for _, file, _ in found], _Shapes.of([drawn for _, _, drawn in found])


class _Frame(NamedTuple):
    """Ink of all drawings `[image, 28, 28]`; the same a pixel thicker; and the same on a coarser grid, `[image, 196]`, whole to 255."""

    ink: np.ndarray
    thick: np.ndarray
    coarse: np.ndarray

    @classmethod
    def of(cls, ink: np.ndarray) -> _Frame:
        quarters = [ink[:, top::2, left::2].astype(np.uint16) for top in (0, 1) for left in (0, 1)]
        return cls(ink, grow(ink), (np.add.reduce(quarters) // 4).astype(np.float32).reshape(len(ink), -1))


class _Shapes(NamedTuple):
    """Drawings in proportion; the same stretched to a square; and the logarithm of width over height, `[image]`."""

    plain: _Frame
    stretched: _Frame
    aspect: np.ndarray

    @classmethod
    def of(cls, drawn: Sequence[PIL.Image.Image]) -> _Shapes:
        plain, stretched = (_Frame.of(np.stack([_placed(image, 1, how) for image in drawn])) for how in (False, True))
        return cls(plain, stretched, np.log([image.width / image.height for image in drawn]))


def _first_of_its_kind(shapes: _Shapes, rows: np.ndarray) -> np.ndarray:
    """Return those of `rows` (ascending) that are unlike every earlier row that stays."""
    stays = dict.fromkeys(rows.tolist(), True)
    for early, late in zip(*_twins(shapes, rows, rows, np.less), strict=True):  # ascending: `early` is already decided
        if stays[early]:
            stays[late] = False
    return np.array([row for row in rows.tolist() if stays[row]])


def _twins(
    shapes: _Shapes, ones: np.ndarray, others: np.ndarray, wanted: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of one of the rows `ones` and one of `others` that are one shape, ascending; only pairs that are `wanted`."""
    found = []
    for frame, most in ((shapes.plain, np.inf), (shapes.stretched, TWINS["stretch"])):
        one, other = _near(frame.coarse, ones, others)
        worth = wanted(one, other) & (np.abs(shapes.aspect[one] - shapes.aspect[other]) < most)
        one, other = one[worth], other[worth]
        same = _alike(frame, one, other)
        found.append(np.stack([one[same], other[same]]))
    one, other = np.unique(np.concatenate(found, 1), axis=1)
    return one, other


def _near(coarse: np.ndarray, ones: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of one of the rows `ones` and one of `others` that are worth a closer look.

    The squared distances are sums of products of whole numbers, below 2^24 and hence exact in float32 in any order of
    summation: the same on every machine.
    """
    left, right = coarse[ones], coarse[others]
    left_norm, right_norm = (left * left).sum(1)[:, None], (right * right).sum(1)
    pairs = []
    for start in range(0, len(ones), 256):
        block = slice(start, start + 256)
        distance = left_norm[block] + right_norm - 2 * (left[block] @ right.T)
        one, other = np.nonzero(distance < TWINS["near"] * np.maximum(left_norm[block], right_norm))
        pairs.append(np.stack([ones[block][one], others[other]]))
    one, other = np.concatenate(pairs, 1)
    return one, other


def _alike(frame: _Frame, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return whether the rows `one` and `other` of a frame are one shape, bool `[pair]`."""
    same = np.zeros(len(one), bool)
    for start in range(0, len(one), 512):
        part = np.arange(start, min(start + 512, len(one)))
        part = part[_excess(frame.ink[one[part]], frame.thick[other[part]]) < TWINS["alike"]]
        same[part[_excess(frame.ink[other[part]], frame.thick[one[part]]) < TWINS["alike"]]] = True
    return same


def _excess(ink: np.ndarray, thick: np.ndarray) -> np.ndarray:
    """Return the most ink of a letter, in a 3 x 3 window, outside another letter a pixel thicker; `[pair, 28, 28]` to pixels `[pair]`.

    A stroke that is a little bolder, or that lies a pixel away, gives nothing; an additional accent gives its area.
    """
    outside = (np.maximum(ink, thick) - thick).astype(np.uint16)
    rows = outside[:, :-2] + outside[:, 1:-1] + outside[:, 2:]
    return (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]).max((1, 2), initial=0) / 255


# --- drawing -----------------------------------------------------------------------------------------------------------------


def _dataset(glyphs: Sequence[GlyphClass], split: str, copies: int, seed: int) -> Dataset:
    """Render and distort these classes. Letters are drawn here, one by one; threads distort them meanwhile."""
    pens, console = _Pens(), rich.console.Console(stderr=True)
    images = np.empty((len(glyphs) * copies, SIDE, SIDE, 1), np.uint8)

    def distort(c: int, letters: np.ndarray) -> None:
        random = np.random.Generator(np.random.Philox(key=[seed, ord(glyphs[c].character)]))
        images[c * copies : (c + 1) * copies, :, :, 0] = 255 - handwritten(letters, copies, random)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = []
        for c, glyph in enumerate(
            rich.progress.track(
                glyphs, f"rendering glyphs ({split})", console=console, transient=True, disable=not console.is_terminal
            )
        ):
            drawn = [pens.draw(glyph.character, file) for file in glyph.fonts]
            letters = np.stack([_placed(image, FINE) for image in drawn if image is not None])
            jobs.append(pool.submit(distort, c, letters))
        for job in jobs:
            job.result()
    names = tuple(f"{glyph.script}/{glyph.name}" for glyph in glyphs)
    return Dataset(
        stored={"image": images},
        counts=np.full(len(glyphs), copies),
        classes=names,
        groups=tuple(glyph.script for glyph in glyphs),
        spec=ImageSpec(SIDE, SIDE, 1, ink="dark"),
        name=f"glyphs/{split}",
        fingerprint=hashlib.sha256("\n".join(names).encode() + images.tobytes()).hexdigest()[:16],
    )
