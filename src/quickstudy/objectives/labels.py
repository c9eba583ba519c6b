"""MultiHot: answers that are sets of labels, learned by binary cross-entropy, and judged by average precision and by F1."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from quickstudy.functional.losses import weighted_mean
from quickstudy.objectives._measure import Measure
from quickstudy.targets.labels import LabelTarget
from quickstudy.task import check_floating


@dataclasses.dataclass(frozen=True)
class MultiHot:
    """Label sets of some examples of one task (or, with one more leading axis, of a batch of tasks).

    Args:
        rows: whether each example has each label, ones and zeros (or probabilities), float `[example, label]`. The number of labels is a
            shape, so it traces.
    """

    rows: Float[Tensor, " *task example label"]
    name: ClassVar[str] = "labels"
    measure: ClassVar[Measure] = Measure(
        *("average_precision", True, "%", 100.0, ".3f", ".2f", ".1f"),
        beside=tuple(Measure(key, True, "%", 100.0, ".3f", ".2f", ".1f") for key in ("micro_f1", "macro_f1")),
    )

    def __post_init__(self) -> None:
        check_floating(self.rows, "multi_hot(sets, labels) makes them of label sets")

    @property
    def outputs(self) -> int:
        """Return the number of labels."""
        return self.rows.shape[-1]

    def loss(self, prediction: Float[Tensor, "example label"], weight: Float[Tensor, " example"]) -> Float[Tensor, ""]:
        """Return the mean over examples of the binary cross-entropy of logits, summed over labels, in nats.

        It is summed, so that one learning rate suits any number of labels: the slope by a logit is its probability minus the answer.
        """
        return weighted_mean((F.softplus(prediction) - prediction * self.rows).sum(-1), weight)

    def scores(self, prediction: Float[Tensor, "example label"], weight: Float[Tensor, " example"]) -> dict[str, Tensor]:
        """Return the mean of the average precision of labels that some example has, F1 over all answers, and its mean over labels.

        Average precision comes first, because it tells learners apart that find no label likely yet. For F1, a label is predicted from a
        probability of one half on; it is 0 where nothing is asked for and nothing is predicted, as in scikit-learn.
        """
        counted = weight.unsqueeze(-1)
        there, said = (self.rows > 0.5).to(weight.dtype) * counted, (prediction > 0).to(weight.dtype) * counted
        right, either = (there * said).sum(0), there.sum(0) + said.sum(0)
        precision = _average_precision(prediction, there, counted)
        return {
            "average_precision": weighted_mean(precision, (there.sum(0) > 0).to(weight.dtype)),
            "micro_f1": 2 * right.sum() / either.sum().clamp(min=1e-12),
            "macro_f1": (2 * right / either.clamp(min=1e-12)).mean(),
        }

    def like(self, prediction: Float[Tensor, "example label"]) -> MultiHot:
        """Return the probabilities of labels that logits stand for."""
        return MultiHot(prediction.sigmoid())


torch.export.register_dataclass(MultiHot)


def multi_hot(sets: Sequence[Any], labels: Sequence[Any]) -> MultiHot:
    """Return label sets as answers of a task.

    Args:
        sets: of each example, a text such as `red;round` or a list of labels; or an array of ones and zeros `[example, label]`.
        labels: the labels, in the order of their columns.

    Raises:
        DataError: an example has a label that is not among them.

    >>> multi_hot(["red;round", "", "round"], ["red", "round"]).rows
    tensor([[1., 1.],
            [0., 0.],
            [0., 1.]])
    """
    target = LabelTarget()
    return MultiHot(torch.from_numpy(target.rows(target.read(sets), labels)).to(torch.get_default_dtype()))


def _average_precision(
    prediction: Float[Tensor, "example label"], there: Float[Tensor, "example label"], counted: Float[Tensor, "example 1"]
) -> Float[Tensor, " label"]:
    """Return the mean over the examples of each label of the precision among all that are predicted as surely as they are.

    That is scikit-learn's average precision, also where predictions are equal. It is 0 for a label that no example has.
    """
    as_sure = (prediction.unsqueeze(0) >= prediction.unsqueeze(1)).to(there.dtype)  # [example, other, label]
    right, all_ = (as_sure * there.unsqueeze(0)).sum(1), (as_sure * counted.unsqueeze(0)).sum(1)
    return (there * right / all_.clamp(min=1e-12)).sum(0) / there.sum(0).clamp(min=1e-12)
