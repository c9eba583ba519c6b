"""TextSpec: a text as UTF-8 bytes up to a length, as they are; what is a word, the net finds out."""

from __future__ import annotations

import os
import pathlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import annotated_types
import numpy as np

from quickstudy.errors import DataError, InputWarning, NotFoundError
from quickstudy.inputs._layout import InputSpec, Shown, TensorLayout, check_several, listed

UNLIKE = {"times": 4.0, "least": 8.0, "plain": 0.5}
"""Ratio of mean lengths beyond which texts are called far longer or shorter than those of training; bytes that count at least; difference
of the shares of bytes beyond ASCII beyond which they are called texts of another script."""

REPLACED = "\ufffd".encode()
"""Bytes that stand for what is no UTF-8."""

TextLike = str | bytes | os.PathLike[str]
"""Type of one text: the text itself, its UTF-8 bytes, or the path of a file that holds it."""


class TextSpec(InputSpec, frozen=True):
    """The text that a network expects: its UTF-8 bytes, followed by zeros up to a length.

    Args:
        length: bytes of a text; what is longer is cut. All but one of the 22,500 requests of CLINC150, and 93 % of the questions of
            BANKING77, are no longer than 128.

    >>> TextSpec(length=8).read("Grüße!")
    {'text': array([ 71, 114, 195, 188, 195, 159, 101,  33], dtype=uint8)}
    """

    nouns: ClassVar[str] = "texts"
    usual_net: ClassVar[str] = "ngrams"
    column: ClassVar[str] = "text"
    words: ClassVar[Mapping[str, str]] = {"length": "bytes of your own texts in UTF-8; what is longer is cut"}
    resizing: ClassVar[frozenset[str]] = frozenset(["length"])

    kind: Literal["text"] = "text"
    length: Annotated[int, annotated_types.Interval(ge=1, le=2**16)] = 128

    def __init__(self, length: int = 128, **fields: Any) -> None:
        super().__init__(length=length, **fields)

    def __str__(self) -> str:
        return f"texts of up to {self.length} bytes"

    @classmethod
    def suffixes(cls) -> frozenset[str]:
        """Return the endings of files that hold one text each."""
        return frozenset([".txt"])

    @classmethod
    def named(cls, words: Sequence[str]) -> list[Any]:
        """Return the texts that words of a command line name: the words themselves, and files that end in `.txt`.

        >>> TextSpec.named(["I lost my card.", "lost.txt"])
        ['I lost my card.', PosixPath('lost.txt')]
        """
        files = [word.lower().endswith(".txt") and (os.path.isfile(word) or not word.split()[1:]) for word in words]
        return [pathlib.Path(word) if file else word for word, file in zip(words, files, strict=True)]

    @classmethod
    def takes(cls, array: np.ndarray) -> bool:
        """Return whether an array is a list of texts, `[example]`."""
        return array.ndim == 1 and (
            array.dtype.kind in "US" or (array.dtype == object and isinstance(_first(array), str | bytes))
        )

    @classmethod
    def own(  # pyright: ignore[reportIncompatibleMethodOverride]  # the wishes of this kind, by name
        cls, array: np.ndarray | None = None, *, length: int | None = None
    ) -> Self:
        """Return the spec for texts of a user's own.

        Args:
            array: the texts, if they are an array; None if they are files.
            length: bytes of a text; None: 128.

        Raises:
            DataError: the array holds no texts, or the length is impossible.
        """
        if array is not None and not cls.takes(array):
            raise DataError(f"texts are {array.dtype} of shape {tuple(array.shape)}; expected a list of texts.")
        return cls() if length is None else cls(length)

    def how(self, *, length: int | None = None) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return no options of `read`, as texts have none.

        Raises:
            DataError: another length than this spec's.
        """
        if length not in (None, self.length):
            raise DataError(
                f"length {length} was given, but this learner takes {self}; leave it out, and texts are cut to what it takes."
            )
        return {}

    def resized(self, other: InputSpec) -> Self:
        """Return this spec with the length of `other`."""
        return self.changed(length=other.length) if isinstance(other, TextSpec) else self

    def layout(self) -> dict[str, TensorLayout]:
        """Return the layout of the one part, `text`: bytes, which enter the network as the numbers 0 to 255."""
        return {"text": TensorLayout(axes=(self.length,), order=(0,), dtype="uint8")}

    def read(self, thing: TextLike | np.ndarray, **how: Any) -> dict[str, np.ndarray]:
        """Return one stored text, uint8 `[length]`; one that is stored already as it is.

        Raises:
            NotFoundError: there is no such file.
            DataError: `thing` is no text, or an empty one.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)  # `lacking` counts over all texts that are read one by one
            things = thing[None] if isinstance(thing, np.ndarray) and thing.ndim == 1 else [thing]
            return {name: rows[0] for name, rows in self.read_all(things, **how).items()}

    def read_all(self, things: Any, **how: Any) -> dict[str, np.ndarray]:
        """Return stored texts, uint8 `[example, length]`.

        Args:
            things: a list, array or column of texts, as text, as UTF-8 bytes, or as paths of files; or texts as they are stored.
            how: nothing; texts have no options.

        Raises:
            NotFoundError: there is no such file.
            DataError: there is no text, or one is missing, empty or none.

        Warns:
            InputWarning: texts were longer than `length`, or were no UTF-8; says how many.
        """
        if how:
            raise DataError(f"{', '.join(how)} was given, but texts have no such option; leave it out.")
        check_several(things, (str, bytes, bytearray, pathlib.Path), "text")
        if isinstance(things, np.ndarray) and things.dtype == np.uint8 and things.ndim == 2:
            return {"text": self._refitted(things)}
        found = [_encoded(thing, place) for place, thing in enumerate(listed(things, "texts"))]
        self._warn([content for content, _ in found], sum(broken for _, broken in found))
        return {"text": _stacked([content for content, _ in found], self.length)}

    def statistics(self, stored: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return the mean length in bytes, and the share of bytes that are no ASCII."""
        there = stored["text"] > 0
        total = max(int(there.sum()), 1)
        return {"length": total / max(len(there), 1), "beyond_ascii": float((stored["text"] > 127).sum() / total)}

    def unlike(self, statistics: Mapping[str, float], stored: Mapping[str, np.ndarray], **how: Any) -> str | None:
        """Return a warning if the texts are far longer or shorter than those of training, or of another script."""
        here = self.statistics(stored)
        lengths = [max(found["length"], UNLIKE["least"]) for found in (here, statistics)]
        if abs(here["beyond_ascii"] - statistics["beyond_ascii"]) > UNLIKE["plain"]:
            share = f"{here['beyond_ascii']:.0%} of the bytes of these texts are no ASCII, but {statistics['beyond_ascii']:.0%}"
            return f"{share} of those that the learner was trained on; it may not know their script."
        if max(lengths) / min(lengths) <= UNLIKE["times"]:
            return None
        return (
            f"the texts have {here['length']:.0f} bytes on average, but those that the learner was trained on had "
            f"{statistics['length']:.0f}; give texts of that length."
        )

    def lacking(self, stored: Mapping[str, np.ndarray]) -> str | None:
        """Return a warning if texts reach the last byte, so that more may follow, or hold signs in place of bytes that are no UTF-8."""
        rows = stored["text"]
        full = int((rows[:, -1] > 0).sum())  # at least: a character that does not fit leaves the last bytes empty
        replaced = sum(REPLACED in row.tobytes() for row in rows)
        said = [f"at least {full} of {len(rows)} texts reach {self.length} bytes, and what may follow is left out"] * (full > 0)
        said += [f"{replaced} hold signs that stand for bytes that are no UTF-8"] * (replaced > 0)
        return "; ".join(said) or None

    def shown(self, stored: Mapping[str, np.ndarray]) -> Shown:
        """Return one stored text as text."""
        return Shown("text/plain", stored["text"].tobytes().rstrip(b"\0").decode("utf-8", "replace").encode())

    def _refitted(self, rows: np.ndarray) -> np.ndarray:
        """Return stored texts of another length."""
        if rows.shape[1] <= self.length:
            return np.pad(rows, ((0, 0), (0, self.length - rows.shape[1])))
        contents = [content.tobytes().rstrip(b"\0") for content in rows]
        self._warn(contents, 0)
        return _stacked(contents, self.length)

    def _warn(self, contents: Sequence[bytes], broken: int) -> None:
        """Warn of texts that are cut, and of bytes that are no UTF-8."""
        long = [len(content) for content in contents if len(content) > self.length]
        if long:
            warnings.warn(
                f"{len(long)} of {len(contents)} texts are longer than {self.length} bytes (the longest has {max(long):,}); what follows "
                "is left out.",
                InputWarning,
                stacklevel=3,
            )
        if broken:
            warnings.warn(
                f"{broken} of {len(contents)} texts hold bytes that are no UTF-8, which were replaced; save them as UTF-8.",
                InputWarning,
                stacklevel=3,
            )


def _first(array: np.ndarray) -> Any:
    """Return the first thing of an array; None if there is none."""
    return array[0] if len(array) else None


def _encoded(thing: Any, place: int) -> tuple[bytes, bool]:
    """Return the UTF-8 bytes of a text without zeros and blanks around it, and whether some were none.

    Raises:
        NotFoundError: there is no such file.
        DataError: it is no text, or an empty one.
    """
    if isinstance(thing, pathlib.Path):
        thing = _content(thing)
    if isinstance(thing, bytes | bytearray):
        text = bytes(thing).decode("utf-8", "replace")
        broken = "\ufffd" in text and REPLACED not in bytes(thing)
    elif isinstance(thing, str):
        text = thing.encode("utf-8", "replace").decode()  # halves of surrogate pairs become question marks
        broken = text != thing
    else:
        raise DataError(
            f"text {place} is {thing!r}, a {type(thing).__name__}; expected a text. Drop it, or write an empty answer as a word."
        )
    content = text.removeprefix("\ufeff").replace("\0", " ").strip().encode()  # a mark that editors of Windows put first
    if not content:
        raise DataError(f"text {place} is empty; drop it, or write an empty answer as a word.")
    return content, broken


def _content(path: pathlib.Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        NotFoundError: there is no such file.
        DataError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"there is no text file {str(path)!r}; check the path.", subject=str(path)) from None
    except OSError as error:
        raise DataError(f"the file {str(path)!r} cannot be read ({error.strerror}); check its permissions.") from error


def _cut(content: bytes, length: int) -> bytes:
    """Return the beginning of UTF-8 bytes, without half a character at its end."""
    return content if len(content) <= length else content[:length].decode("utf-8", "ignore").encode()


def _stacked(contents: Sequence[bytes], length: int) -> np.ndarray:
    """Return UTF-8 texts as rows of one length, uint8 `[text, length]`."""
    rows = np.zeros((len(contents), length), np.uint8)
    for row, content in zip(rows, contents, strict=True):
        kept = _cut(content, length)
        row[: len(kept)] = np.frombuffer(kept, np.uint8)
    return rows
