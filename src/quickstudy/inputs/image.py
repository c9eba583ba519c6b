"""ImageSpec and load_image: how an image of any size and kind becomes what a network was trained on. No torch here."""

from __future__ import annotations

import dataclasses
import io
import pathlib
import struct
import zlib
from typing import Any, Literal

import numpy as np
import PIL.Image
import PIL.ImageOps

from quickstudy.errors import DataError

ImageLike = str | pathlib.Path | bytes | PIL.Image.Image | np.ndarray
Ink = Literal["dark", "light"]

UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, PIL.Image.DecompressionBombError)
"""What Pillow raises, in practice, for a damaged or foreign file."""


@dataclasses.dataclass(frozen=True)
class ImageSpec:
    """What a network expects of an image. Travels with every learner.

    Args:
        height: pixels.
        width: pixels.
        channels: 1 (grey) or 3 (colour).
        ink: `"dark"` for dark strokes on a light ground: stored as it is, inverted on its way into the network, so that strokes
            are 1 and ground is 0. `"light"` for light strokes on a dark ground, and for photographs: not inverted.
    """

    height: int = 28
    width: int = 28
    channels: int = 1
    ink: Ink = "light"

    def __post_init__(self) -> None:
        _check_ink("ink", self.ink)
        if self.channels not in (1, 3):
            raise DataError(f"channels is {self.channels}; expected 1 (grey) or 3 (colour).")
        if min(self.height, self.width) < 1:
            raise DataError(f"image size is {self.height}x{self.width}; expected at least 1x1.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(height, width, channels)`, the shape of one stored image."""
        return self.height, self.width, self.channels

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)


def load_image(image: ImageLike, spec: ImageSpec, *, ink: Ink | None = None) -> np.ndarray:
    """One image of any size and kind, as the spec stores it: uint8 `[height, width, channel]`.

    In this order: turned upright (EXIF), laid on a ground where it is transparent, made grey or colour (16-bit and float
    images keep their full range: white stays white), resized with antialiasing (stretched to the spec's shape, not cropped),
    and inverted where the file's polarity is declared and is not the spec's. Nothing is guessed from the pixels.

    The ground behind transparency is white, except for grey light-on-dark images, where it is black.

    Args:
        image: path, encoded file (`bytes`), Pillow image, or array `[height, width]` or `[height, width, channel]` with 1 to 4
            channels (2 and 4: the last is alpha), uint8 in 0..255, bool, or float in 0..1.
        spec: what the result must be.
        ink: polarity of `image`, as its owner declares it: `"dark"` on light or `"light"` on dark. None: the same as the
            spec's.

    Returns:
        uint8 `[height, width, channel]`, a new array.

    Raises:
        DataError: the file is missing or damaged, or the array is none of the above.

    >>> drawing = np.ones((105, 105))  # white paper, floats in 0..1
    >>> drawing[:, 50:55] = 0.0  # one dark stroke
    >>> load_image(drawing, ImageSpec(28, 28, 1, ink="dark"))[14, 0, 0]
    np.uint8(255)
    >>> load_image(drawing, ImageSpec(28, 28, 1, ink="light"), ink="dark")[14, 0, 0]
    np.uint8(0)
    """
    if ink is not None:
        _check_ink("ink", ink)
    picture = _from_array(image) if isinstance(image, np.ndarray) else image
    try:
        if not isinstance(picture, PIL.Image.Image):
            with PIL.Image.open(io.BytesIO(picture) if isinstance(picture, bytes) else picture) as opened:
                return _as_stored(opened, spec, ink or spec.ink)
        return _as_stored(picture, spec, ink or spec.ink)
    except FileNotFoundError:
        raise DataError(f"there is no image file {str(image)!r}; check the path.") from None
    except PIL.UnidentifiedImageError as error:
        raise DataError(f"{_label(image)} is not in an image format that Pillow reads; convert it to PNG or JPEG.") from error
    except DataError as error:
        raise DataError(f"{_label(image)}: {error}") from None
    except UNREADABLE as error:
        raise DataError(f"{_label(image)} cannot be read as an image ({error}); open it in a viewer, or replace it.") from error


def _as_stored(picture: PIL.Image.Image, spec: ImageSpec, ink: Ink) -> np.ndarray:
    mode = "L" if spec.channels == 1 else "RGB"
    picture = PIL.ImageOps.exif_transpose(picture)
    picture = _eight_bit(picture)
    if "A" in picture.getbands() or "a" in picture.getbands() or "transparency" in picture.info:
        ground = (0, 0, 0) if ink == "light" and spec.channels == 1 else (255, 255, 255)
        layer = picture.convert("RGBA")
        picture = PIL.Image.new("RGB", layer.size, ground)
        picture.paste(layer, mask=layer.getchannel("A"))
    if picture.mode != mode:
        picture = picture.convert(mode)
    if picture.size != (spec.width, spec.height):
        picture = picture.resize((spec.width, spec.height), PIL.Image.Resampling.LANCZOS)
    pixels = np.array(picture, dtype=np.uint8).reshape(spec.shape)
    return 255 - pixels if ink != spec.ink else pixels


def _eight_bit(picture: PIL.Image.Image) -> PIL.Image.Image:
    """16-bit and float images, scaled to 8 bits; Pillow's own convert() would clip them at 255."""
    if picture.mode.startswith("I"):
        values = np.asarray(picture).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise DataError(
                f"its values lie in {values.min()}..{values.max()}; expected 16 bits, 0..65535. Convert it to 8 or 16 bits."
            )
        return PIL.Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if picture.mode == "F":
        return PIL.Image.fromarray(_bytes_of(np.asarray(picture)))
    return picture


def _from_array(array: np.ndarray) -> PIL.Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.size == 0 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (2, 3, 4))):
        raise DataError(
            f"the image array has shape {tuple(array.shape)}; expected [height, width] or "
            "[height, width, channel] with 1 to 4 channels."
        )
    return PIL.Image.fromarray(np.ascontiguousarray(_bytes_of(array)))


def _bytes_of(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    if not np.issubdtype(array.dtype, np.floating):
        raise DataError(
            f"the image array is {array.dtype}; expected uint8 in 0..255 or float in 0..1. Scale and convert it first."
        )
    if not np.isfinite(array).all():
        raise DataError(
            f"the image array holds {int((~np.isfinite(array)).sum())} values that are NaN or infinite; expected 0..1."
        )
    if array.min() < 0 or array.max() > 1:
        raise DataError(
            f"the float image array lies in {array.min():.4g}..{array.max():.4g}; expected 0..1. "
            "Divide by 255 if these are byte values, or undo the normalisation."
        )
    return np.rint(array.astype(np.float64) * 255).astype(np.uint8)


def _label(image: ImageLike) -> str:
    return f"image {str(image)!r}" if isinstance(image, str | pathlib.Path) else f"the image ({type(image).__name__})"


def _check_ink(field: str, ink: str) -> None:
    if ink not in ("dark", "light"):
        raise DataError(
            f"{field} is {ink!r}; expected 'dark' (dark strokes on light) or 'light' (light strokes on dark, or photos)."
        )
