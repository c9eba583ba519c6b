"""ImageSpec and load_image: how an image of any size and kind becomes what a network was trained on. No torch here."""

from __future__ import annotations

import functools
import io
import os
import pathlib
import struct
import zlib
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import annotated_types
import numpy as np
import PIL.ExifTags
import PIL.Image

from quickstudy.errors import DataError, NotFoundError
from quickstudy.inputs._layout import InputSpec, Shown, TensorLayout, as_array, check_several

ImageLike = Any
"""Type of what `load_image` takes: a path, an encoded file, a Pillow image, an array, a tensor or nested lists."""
Ink = Literal["dark", "light"]

UNREADABLE = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, PIL.Image.DecompressionBombError),
    *(AttributeError, TypeError, LookupError, ArithmeticError, AssertionError, RuntimeError, MemoryError, Warning),
)
"""Errors of Pillow for a damaged or foreign file: those it means, and those that its plugins stumble into on fuzzed bytes."""
TURNS = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
"""Turns that bring a picture upright, by EXIF orientation."""

ROUNDING = 1e-3
"""Brightness by which float images may lie outside of 0..1: less than half of 1/255, so that no byte changes."""
UNLIKE = {"spreads": 3.0, "least": 0.1}
"""Spreads of the training images beyond which a support set is called far from them; brightness that counts as one spread if they vary
less. Measured with 200 support sets each of Omniglot, glyphs, MNIST, digits and CIFAR-FS: no set of new classes was called far, nor
drawings of one set for another's, nor negatives of photographs; negatives of drawings always were."""
BRIGHTNESS = {
    "border": "brightness at the edges",
    "centre": "brightness in the middle",
    "brightness": "brightness",
    "contrast": "contrast",
}
"""Names of the statistics of images in files, with the words for them in warnings."""


class ImageSpec(InputSpec, frozen=True):
    """The image that a network expects: size, channels and polarity. Travels with every learner.

    Args:
        height: pixels.
        width: pixels.
        channels: 1 (grey) or 3 (colour).
        ink: `"dark"` for dark strokes on a light ground: stored as it is, inverted on its way into the network, so that strokes
            are 1 and ground is 0. `"light"` for light strokes on a dark ground, and for photographs: not inverted.

    >>> ImageSpec(28, 32, 3).layout()["image"].shape
    (3, 28, 32)
    """

    nouns: ClassVar[str] = "images"
    usual_net: ClassVar[str] = "conv4"
    column: ClassVar[str] = "image"
    paths_in_tables: ClassVar[bool] = True
    words: ClassVar[Mapping[str, str]] = {
        "size": "height and width of your images, in pixels",
        "channels": "your own images: 1 (grey) or 3 (colour)",
        "ink": "your own images: dark (drawn dark on light) or light (light on dark, and photos)",
    }
    resizing: ClassVar[frozenset[str]] = frozenset(["size"])

    kind: Literal["image"] = "image"
    height: Annotated[int, annotated_types.Interval(ge=1, le=4096)] = 28
    width: Annotated[int, annotated_types.Interval(ge=1, le=4096)] = 28
    channels: Literal[1, 3] = 1
    ink: Ink = "light"

    def __init__(self, height: int = 28, width: int = 28, channels: int = 1, ink: Ink = "light", **fields: Any) -> None:
        _check_ink("ink", ink)
        if channels not in (1, 3):
            raise DataError(f"channels is {channels}; expected 1 (grey) or 3 (colour).")
        if min(height, width) < 1:
            raise DataError(f"image size is {height}x{width}; expected at least 1x1.")
        super().__init__(height=height, width=width, channels=channels, ink=ink, **fields)

    def __str__(self) -> str:
        return f"{'grey' if self.channels == 1 else 'colour'} images of {self.height}x{self.width}, ink {self.ink}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return `(height, width, channels)`, the shape of one stored image."""
        return self.height, self.width, self.channels

    @classmethod
    def suffixes(cls) -> frozenset[str]:
        """Return the endings of the files that Pillow reads here."""
        return _suffixes()

    @classmethod
    def takes(cls, array: np.ndarray) -> bool:
        """Return whether an array is `[example, height, width]` or `[example, height, width, channel]`."""
        return array.ndim in (3, 4)

    @classmethod
    def own(  # pyright: ignore[reportIncompatibleMethodOverride]  # the wishes of this kind, by name
        cls,
        array: np.ndarray | None = None,
        *,
        size: int | None = None,
        channels: int | None = None,
        ink: Ink | None = None,
    ) -> Self:
        """Return the spec for images of a user's own: arrays keep their size and channels, files become 84 pixels in colour.

        Args:
            array: the images, if they are an array; None if they are files.
            size: height and width, in pixels; None: the arrays' own, or 84, the size of few-shot learning's photo benchmarks.
            channels: 1 (grey) or 3 (colour); None: the arrays' own, or colour.
            ink: `dark` (drawn dark on light), or `light` (light on dark, and photos); None: light.

        Raises:
            DataError: the array cannot be images, or a wish is impossible.
        """
        if array is not None and (array.ndim not in (3, 4) or array.size == 0):
            raise DataError(
                f"images have shape {tuple(array.shape)}; expected [image, height, width] or "
                "[image, height, width, channel], and at least one."
            )
        if size is not None and size < 1:
            raise DataError(f"size is {size}; expected pixels, 1 or more.")
        height, width = (84, 84) if array is None else array.shape[1:3]
        colour = array is None or (array.ndim == 4 and array.shape[3] >= 3)
        return cls(size or height, size or width, channels or (3 if colour else 1), ink or "light")

    def how(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, *, size: int | None = None, channels: int | None = None, ink: Ink | None = None
    ) -> dict[str, Any]:
        """Return the options of `read` for images whose owner says these; their polarity may differ from this spec's.

        Raises:
            DataError: another size or number of channels than this spec's.
        """
        if (size or self.height, size or self.width, channels or self.channels) != self.shape:
            raise DataError(
                f"size {size or 'as it is'} and channels {channels or 'as they are'} were given, but this learner takes {self}; "
                "leave them out, and images are brought to what it takes."
            )
        return {} if ink is None else {"ink": ink}

    def as_read(self) -> dict[str, Any]:
        """Return the polarity of the stored images, as `read` takes it."""
        return {"ink": self.ink}

    def resized(self, other: InputSpec) -> Self:
        """Return this spec with the height and width of `other`."""
        return self.changed(height=other.height, width=other.width) if isinstance(other, ImageSpec) else self

    def layout(self) -> dict[str, TensorLayout]:
        """Return the layout of the one part, `image`: bytes with the channels last, floats from 0 to 1 with the channels first."""
        scale, offset = (-1 / 255, 1.0) if self.ink == "dark" else (1 / 255, 0.0)
        return {"image": TensorLayout(axes=self.shape, order=(2, 0, 1), dtype="uint8", scale=scale, offset=offset)}

    def read(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, thing: Any, *, ink: Ink | None = None
    ) -> dict[str, np.ndarray]:
        """Return one stored image, uint8 `[height, width, channel]`; see `load_image`."""
        return {"image": load_image(thing, self, ink=ink)}

    def read_all(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, things: Any, *, ink: Ink | None = None
    ) -> dict[str, np.ndarray]:
        """Return stored images, uint8 `[example, height, width, channel]`.

        Args:
            things: a list of images as `load_image` takes them, an array or tensor of images, or a column of paths.
            ink: polarity of the images, if it is not the spec's.

        Raises:
            DataError: there is no image, or one cannot be read.
        """
        check_several(things, (str, bytes, bytearray, pathlib.Path, PIL.Image.Image), "image")
        if hasattr(things, "to_numpy"):  # a data frame, whose iteration would give the names of its columns
            things = things.to_numpy()
        return {"image": np.stack([load_image(thing, self, ink=ink) for thing in things])}

    def statistics(self, stored: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return brightness of border and centre, mean and contrast, as the network sees them; each with its spread over images."""
        images = self.to_network(stored)["image"].mean(axis=1, dtype=np.float64)
        numbers = {}
        for name, values in _brightness(images).items():
            numbers |= {name: float(values.mean()), f"{name}_spread": float(values.std())}
        return numbers

    def unlike(self, statistics: Mapping[str, float], stored: Mapping[str, np.ndarray], **how: Any) -> str | None:
        """Return a warning if the images are far brighter, darker, flatter or fuller of contrast than those of training.

        Images whose negative would be near are called negatives, with the option that tells the polarity.
        """
        images = self.to_network(stored)["image"].mean(axis=1, dtype=np.float64)
        name, distance = _farthest(statistics, images)
        if distance <= UNLIKE["spreads"]:
            return None
        here = float(_brightness(images)[name].mean())
        found = (
            f"the {BRIGHTNESS[name]} of the images is {here:.2f} (from 0 to 1, as the network sees them), but "
            f"{statistics[name]:.2f} in those that the learner was trained on"
        )
        if _farthest(statistics, 1 - images)[1] < distance / 2:
            other = "light" if (how.get("ink") or self.ink) == "dark" else "dark"
            return f"{found}; they look like negatives of its training images. If they are, say so with ink={other!r}."
        return f"{found}; prepare them as its training images were (same ground, exposure and crop)."

    def shown(self, stored: Mapping[str, np.ndarray]) -> Shown:
        """Return one stored image as a PNG file."""
        pixels, buffer = stored["image"], io.BytesIO()
        PIL.Image.fromarray(pixels[..., 0] if self.channels == 1 else pixels).save(buffer, "PNG")
        return Shown("image/png", buffer.getvalue())


def _brightness(images: np.ndarray) -> dict[str, np.ndarray]:
    """Return numbers of each of grey `images` `[image, row, column]` in 0..1, by name, each `[image]`."""
    rows, columns = images.shape[1:]
    inside = images[:, rows // 4 : rows - rows // 4, columns // 4 : columns - columns // 4]
    edges = (images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1])
    border = np.concatenate(edges, axis=1).mean(axis=1)
    return {
        "border": border,
        "centre": inside.mean(axis=(1, 2)),
        "brightness": images.mean(axis=(1, 2)),
        "contrast": images.std(axis=(1, 2)),
    }


def _farthest(statistics: Mapping[str, float], images: np.ndarray) -> tuple[str, float]:
    """Return which number of the images is farthest from the training images', and how far in spreads of these."""
    distances = {
        name: abs(float(values.mean()) - statistics[name]) / max(statistics[f"{name}_spread"], UNLIKE["least"])
        for name, values in _brightness(images).items()
        if name in statistics
    }
    return max(distances.items(), key=lambda item: item[1])


def load_image(image: ImageLike, spec: ImageSpec, *, ink: Ink | None = None) -> np.ndarray:
    """Return one image of any size and kind as the spec stores it: uint8 `[height, width, channel]`.

    The image is turned upright (EXIF), laid on a ground if parts of it are transparent, made grey or colour (16-bit and float
    images keep their full range: white stays white), resized with antialiasing (stretched to the spec's shape, not cropped),
    and inverted if its polarity is declared and is not the spec's, in this order. Nothing is guessed from the pixels.

    The ground behind transparency is black for grey light-on-dark images, and white for all others.

    Args:
        image: path, encoded file (`bytes`), Pillow image, or array `[height, width]` or `[height, width, channel]` with 1 to 4
            channels (2 and 4: the last is alpha), uint8 in 0..255, bool, or float in 0..1.
        spec: what the result must be.
        ink: polarity of `image`, as its owner declares it: `"dark"` on light or `"light"` on dark. None: the same as the
            spec's.

    Returns:
        uint8 `[height, width, channel]`, a new array.

    Raises:
        NotFoundError: there is no such file.
        DataError: the file is damaged, or the array is none of the above.

    >>> drawing = np.ones((105, 105))  # white paper, floats in 0..1
    >>> drawing[:, 50:55] = 0.0  # one dark stroke
    >>> load_image(drawing, ImageSpec(28, 28, 1, ink="dark"))[14, 0, 0]
    np.uint8(255)
    >>> load_image(drawing, ImageSpec(28, 28, 1, ink="light"), ink="dark")[14, 0, 0]
    np.uint8(0)
    """
    if ink is not None:
        _check_ink("ink", ink)
    image = _openable(image)
    picture = _from_array(image) if isinstance(image, np.ndarray) else image
    try:
        if not isinstance(picture, PIL.Image.Image):
            with PIL.Image.open(io.BytesIO(picture) if isinstance(picture, bytes) else picture) as opened:
                return _as_stored(opened, spec, ink or spec.ink)
        return _as_stored(picture, spec, ink or spec.ink)
    except FileNotFoundError:
        raise NotFoundError(f"there is no image file {str(image)!r}; check the path.", subject=str(image)) from None
    except PIL.UnidentifiedImageError as error:
        raise DataError(f"{_label(image)} is not in an image format that Pillow reads; convert it to PNG or JPEG.") from error
    except DataError as error:
        raise DataError(f"{_label(image)}: {error}") from None
    except UNREADABLE as error:
        raise DataError(f"{_label(image)} cannot be read as an image ({error}); open it in a viewer, or replace it.") from error


@functools.cache
def _suffixes() -> frozenset[str]:
    PIL.Image.init()
    readable = PIL.Image.OPEN.keys() - {
        "BUFR",
        "EPS",
        "GRIB",
        "HDF5",
        "IPTC",
        "MPEG",
        "WMF",
    }  # only named by Pillow, or by others
    return frozenset(suffix for suffix, name in PIL.Image.registered_extensions().items() if name in readable)


def _openable(image: ImageLike) -> Any:
    """Return what a user gave for an image as a path, bytes, a file, a Pillow image or an array of numbers.

    Raises:
        DataError: it is none of these.
    """
    if isinstance(image, str | bytes | os.PathLike | PIL.Image.Image) or hasattr(image, "read"):
        return image
    if isinstance(image, bytearray | memoryview):
        return bytes(image)
    expected = "a path, an encoded file (bytes), a Pillow image, or an array [height, width] or [height, width, channel]"
    if image is None:
        raise DataError(f"an image is None; expected {expected}.")
    array = as_array(image, "an image", expected)
    if array.dtype.kind not in "OSU":
        return array
    if array.size == 1 and array.item() is not image:  # an entry of a column of paths, or of a table with one column
        return _openable(array.item())
    raise DataError(f"an image is a {type(image).__name__} of shape {array.shape} without numbers; expected {expected}.")


def _as_stored(picture: PIL.Image.Image, spec: ImageSpec, ink: Ink) -> np.ndarray:
    mode = "L" if spec.channels == 1 else "RGB"
    picture = _upright(picture)
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


def _upright(picture: PIL.Image.Image) -> PIL.Image.Image:
    """Return the picture as its EXIF orientation says. The other tags are not looked at, so that odd ones do no harm."""
    try:
        turn = TURNS.get(picture.getexif().get(PIL.ExifTags.Base.Orientation, 1))
    except UNREADABLE:  # EXIF that cannot be read turns nothing
        return picture
    return picture if turn is None else picture.transpose(turn)


def _eight_bit(picture: PIL.Image.Image) -> PIL.Image.Image:
    """Return 16-bit and float images scaled to 8 bits; Pillow's own convert() would clip them at 255."""
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
            f"[height, width, channel] with 1 to 4 channels.{_advice(array)}"
        )
    return PIL.Image.fromarray(np.ascontiguousarray(_bytes_of(array)))


def _advice(array: np.ndarray) -> str:
    if array.ndim == 1:
        return " If this is a part of one image, give that image in a list: [image]."
    first = array.ndim == 3 and array.shape[0] in (1, 3)
    return " Its channels seem to come first; move them last, with .transpose(1, 2, 0) or .permute(1, 2, 0)." if first else ""


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
    if array.min() < -ROUNDING or array.max() > 1 + ROUNDING:
        raise DataError(
            f"the float image array lies in {array.min():.6g}..{array.max():.6g}; expected 0..1. "
            "Divide by 255 if these are byte values, or undo the normalisation."
        )
    return np.rint(array.astype(np.float64).clip(0, 1) * 255).astype(np.uint8)


def _label(image: ImageLike) -> str:
    return f"image {str(image)!r}" if isinstance(image, str | os.PathLike) else f"the image ({type(image).__name__})"


def _check_ink(field: str, ink: str) -> None:
    if ink not in ("dark", "light"):
        raise DataError(
            f"{field} is {ink!r}; expected 'dark' (dark strokes on light) or 'light' (light strokes on dark, or photos)."
        )
