"""Sequences: transcripts, texts whose characters are learned as symbols. No torch here."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from quickstudy.errors import DataError
from quickstudy.targets._decoding import beam_search, greedy
from quickstudy.targets._reading import ONE_EACH, is_table, scalar, unwrapped
from quickstudy.targets.classes import extended

SPACE = " "
"""Symbol between words, which every alphabet has, as its first."""


class SequenceTarget:
    """Answers that are texts. Rows are one-hot, `[example, place, symbol]`: column 0 is the blank of CTC, and the others are `labels`."""

    name = "sequences"
    axes: ClassVar[tuple[str, ...]] = ("place",)

    def read(self, y: Any) -> list[str]:
        """Return one text per example, with one space for each white space and none at the ends.

        Args:
            y: a list, an array `[example]`, or a column of a table.

        Raises:
            DataError: something is no text, or an empty one; or there is not one per example.
        """
        if is_table(y) and len(y.columns) != 1:
            raise DataError(f"the transcripts are a table of {len(y.columns)} columns; {ONE_EACH}. Choose a column of it.")
        given = unwrapped(y, "transcripts")
        texts = []
        for place, one in enumerate(np.ravel(given) if is_table(y) or hasattr(given, "__array__") else given):
            text = scalar(one)
            if not isinstance(text, str):
                raise DataError(f"transcript {place} is {text!r}, a {type(text).__name__}; expected a text of what is said.")
            texts.append(" ".join(text.split()))
            if not texts[-1]:
                raise DataError(f"transcript {place} is empty; expected what is said in the example, or leave the example out.")
        return texts

    def joined(self, known: Sequence[Any], answers: Sequence[str]) -> tuple[Any, ...]:
        """Return the alphabet: the space, the symbols that are known, and then the new ones in the order of their code points."""
        return tuple(extended(tuple(known) or (SPACE,), list("".join(answers))))

    def rows(self, answers: Sequence[str], labels: Sequence[Any]) -> np.ndarray:
        """Return one-hot rows, float32 `[example, place, symbol]`, as many places as the longest text has characters.

        Raises:
            DataError: a character is not in the alphabet.
        """
        column = {label: place for place, label in enumerate(labels, 1)}
        longest = max((len(text) for text in answers), default=0)
        ids = np.zeros((len(answers), longest), np.int64)
        for place, text in enumerate(answers):
            strange = next((letter for letter in text if letter not in column), None)
            if strange is not None:
                raise DataError(
                    f"transcript {place}, {text!r}, has {strange!r}, which is not in the alphabet {''.join(map(str, labels))!r}; spell it "
                    "with the alphabet's symbols, or leave the example out."
                )
            ids[place, : len(text)] = [column[letter] for letter in text]
        return np.eye(1 + len(labels), dtype=np.float32)[ids]

    def answers(self, rows: np.ndarray, labels: Sequence[Any], beam: int = 0) -> list[str]:
        """Return what logits `[example, frame, symbol]` say.

        Args:
            rows: what a learner predicts.
            labels: the alphabet.
            beam: width of a prefix beam search; 0 reads the most likely path.
        """
        found = [beam_search(row, beam) if beam else greedy(row) for row in rows]
        return ["".join(str(labels[symbol - 1]) for symbol in symbols) for symbols in found]

    def given(self, rows: np.ndarray, labels: Sequence[Any]) -> list[str]:
        """Return the texts that `rows` made rows of."""
        return ["".join(str(labels[symbol - 1]) for symbol in ids if symbol) for ids in rows.argmax(-1)]

    def together(self, earlier: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return earlier rows and later ones, all with as many places and symbols as the larger ones have."""
        places, symbols = (max(earlier.shape[axis], rows.shape[axis]) for axis in (1, 2))
        padded = []
        for part in (earlier, rows):
            more = np.pad(part, ((0, 0), (0, places - part.shape[1]), (0, symbols - part.shape[2])))
            more[:, part.shape[1] :, 0] = 1
            padded.append(more)
        return np.concatenate(padded)

    def check_savable(self, labels: Sequence[Any]) -> None:
        """Raise a DataError if a symbol cannot be kept in a file."""
        for label in labels:
            if "\ud800" <= label <= "\udfff":
                raise DataError(f"symbol {label!r} is no valid Unicode, and could not be saved; leave it out.")

    def check_several(self, labels: Sequence[Any]) -> None:
        """Accept everything: one symbol may be told from silence."""


def frames_needed(symbols: Sequence[Any]) -> int:
    """Return how many frames a sequence needs: one for each symbol, and one more between two that are equal.

    >>> frames_needed("hello")
    6
    """
    return len(symbols) + sum(one == other for one, other in itertools.pairwise(symbols))


def check_frames(name: str, symbols: Sequence[Any], frames: int) -> None:
    """Raise a DataError if a sequence of this name does not fit into so many frames."""
    needed = frames_needed(symbols)
    if needed > frames:
        raise DataError(
            f"{name} has {len(symbols)} symbols and needs {needed} frames (one for each symbol, and one more between two that are equal), "
            f"but the learner has {frames} for an example; give shorter pieces, or a learner of longer inputs."
        )
