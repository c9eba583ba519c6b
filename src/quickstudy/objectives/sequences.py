"""Tokens: answers that are sequences of symbols, such as transcripts, judged by CTC and by error rates of characters and words."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from quickstudy.functional.call import is_plain
from quickstudy.functional.ctc import ctc_loss
from quickstudy.functional.edits import edit_distance, spoken, words
from quickstudy.functional.losses import weighted_mean
from quickstudy.objectives._measure import Measure
from quickstudy.targets.sequences import SPACE, SequenceTarget, check_frames
from quickstudy.task import check_floating

FIXED = ("blank", "space")
"""Columns that mean the same in every task, the first ones. What the others mean, a task's examples say."""


@dataclasses.dataclass(frozen=True)
class Tokens:
    """Sequences of symbols of some examples of one task (or, with one more leading axis, of a batch of tasks).

    Args:
        places: one-hot rows, float `[example, place, symbol]`. Column 0 is CTC's blank, which fills the places behind the end of a
            sequence; column 1 is the space between words, and the others are the symbols of the task. The number of symbols is a shape,
            so it traces.
    """

    places: Float[Tensor, " *task example place symbol"]
    name: ClassVar[str] = "sequences"
    measure: ClassVar[Measure] = Measure(
        *("character_error_rate", False, "%", 100.0, ".3f", ".2f", ".1f"),
        beside=(Measure("word_error_rate", False, "%", 100.0, ".3f", ".2f", ".1f"),),
    )

    def __post_init__(self) -> None:
        check_floating(self.places, "tokens(texts, symbols) makes them of texts")

    @property
    def rows(self) -> Float[Tensor, " *task example output"]:
        """Return all places of an example as one row."""
        return self.places.flatten(-2)

    @property
    def outputs(self) -> int:
        """Return the number of symbols, the blank and the space among them."""
        return self.places.shape[-1]

    @property
    def ids(self) -> Int[Tensor, " *task example place"]:
        """Return the column of the symbol at each place, 0 behind the end of a sequence, int64 `[example, place]`."""
        return self.places.argmax(-1)

    def loss(self, prediction: Float[Tensor, "example frame symbol"], weight: Float[Tensor, " example"]) -> Float[Tensor, ""]:
        """Return the mean over examples of the CTC loss of logits per symbol that is said, in nats."""
        said = self._said().sum(-1).clamp(min=1)
        return weighted_mean(ctc_loss(prediction, self.places) / said, weight)

    def scores(self, prediction: Float[Tensor, "example frame symbol"], weight: Float[Tensor, " example"]) -> dict[str, Tensor]:
        """Return the error rates of what the most likely path says: edits of all examples, per symbol and per word of the right ones."""
        found, wanted = spoken(prediction), self.ids
        return {
            "character_error_rate": _rate(found, wanted, weight),
            "word_error_rate": _rate(words(found), words(wanted), weight),
        }

    def like(self, prediction: Float[Tensor, "example frame symbol"]) -> Tokens:
        """Return the sequences that the most likely paths say, with as many places as there are frames."""
        found = spoken(prediction)
        first = torch.argsort((found == 0).to(torch.int8), dim=-1, stable=True)
        ids = torch.gather(found, -1, first).unsqueeze(-1)
        return Tokens((ids == torch.arange(prediction.shape[-1], device=ids.device)).to(prediction.dtype))

    def check_frames(self, frames: int) -> None:
        """Raise a DataError for a sequence that so many frames cannot hold; all pass while a function is mapped or captured."""
        if is_plain(self.places):
            for place, ids in enumerate(self.ids.flatten(0, -2).tolist()):
                symbols = [symbol for symbol in ids if symbol]
                check_frames(f"sequence {place}", symbols, frames)

    def _said(self) -> Tensor:
        return 1 - self.places[..., 0]


torch.export.register_dataclass(Tokens)


def tokens(texts: Sequence[str], symbols: Sequence[str]) -> Tokens:
    """Return texts as answers of a task.

    Args:
        texts: one for each example.
        symbols: the characters that may occur, in the order of their columns; the space is always the first.

    Raises:
        DataError: a text is empty, or has a character that is not among the symbols.

    >>> answers = tokens(["31", "122"], "123")
    >>> answers.ids.tolist(), answers.outputs
    ([[4, 2, 0], [2, 3, 3]], 5)
    """
    target, labels = SequenceTarget(), (SPACE, *(symbol for symbol in symbols if symbol != SPACE))
    return Tokens(torch.from_numpy(target.rows(target.read(list(texts)), labels)).to(torch.get_default_dtype()))


def _rate(found: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Return the edits that turn all found sequences into the wanted ones, per entry that is wanted."""
    edits = edit_distance(found, wanted).to(weight.dtype)
    return (edits * weight).sum() / ((wanted > 0).sum(-1).to(weight.dtype) * weight).sum().clamp(min=1)
