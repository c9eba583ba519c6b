"""WeighedTokens: sequences of symbols whose loss weighs the likelihood of transcripts and expected word errors."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float, Int
from torch import Tensor

from quickstudy.functional.expected_errors import expected_word_errors
from quickstudy.functional.losses import weighted_mean
from quickstudy.objectives.sequences import Tokens


@dataclasses.dataclass(frozen=True)
class WeighedTokens(Tokens):
    """Sequences of symbols of some examples of one task (or, with one more leading axis, of a batch of tasks).

    Args:
        places: as `Tokens` has them.
        key: of the task, on which the paths depend whose word errors are counted, int64 `[]`.
        character_weight: of the CTC loss per symbol, `[]`.
        word_weight: of the expected word errors per word, `[]`.
    """

    key: Int[Tensor, " *task"]
    character_weight: Float[Tensor, " *task"]
    word_weight: Float[Tensor, " *task"]

    def loss(self, prediction: Float[Tensor, "example frame symbol"], weight: Float[Tensor, " example"]) -> Float[Tensor, ""]:
        """Return the weighed sum of the CTC loss per symbol, in nats, and of the expected word errors per word."""
        errors = weighted_mean(expected_word_errors(prediction, self.ids, self.key), weight)
        return self.character_weight * super().loss(prediction, weight) + self.word_weight * errors


torch.export.register_dataclass(WeighedTokens)
