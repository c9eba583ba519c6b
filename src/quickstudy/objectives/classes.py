"""OneHot: answers that are classes, judged by cross-entropy and accuracy, and by balanced accuracy and macro F1 if classes are unequal."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from quickstudy.errors import DataError
from quickstudy.functional.call import is_plain
from quickstudy.functional.losses import cross_entropy, weighted_mean
from quickstudy.objectives._measure import Measure
from quickstudy.task import check_floating


@dataclasses.dataclass(frozen=True)
class OneHot:
    """Classes of some examples of one task (or, with one more leading axis, of a batch of tasks).

    Args:
        rows: one-hot (or soft) rows over the task's ways, float `[example, way]`. The number of ways is a shape, so it traces; a way
            that no example carries does not exist in the task.
    """

    rows: Float[Tensor, " *task example way"]
    name: ClassVar[str] = "classes"
    measure: ClassVar[Measure] = Measure(
        *("accuracy", True, "%", 100.0, ".3f", ".2f", ".1f"),
        beside=tuple(
            Measure(key, True, "%", 100.0, ".3f", ".2f", ".1f", of_unequal=True) for key in ("balanced_accuracy", "macro_f1")
        ),
    )

    def __post_init__(self) -> None:
        check_floating(self.rows, "one_hot(labels, ways) makes them of labels")

    @property
    def outputs(self) -> int:
        """Return the number of ways."""
        return self.rows.shape[-1]

    @property
    def labels(self) -> Int[Tensor, " *task example"]:
        """Return the class index of each row, int64 `[example]`."""
        return self.rows.argmax(-1)

    def loss(self, prediction: Float[Tensor, "example way"], weight: Float[Tensor, " example"]) -> Float[Tensor, ""]:
        """Return the mean cross-entropy of logits, in nats."""
        return cross_entropy(prediction, self.rows, weight)

    def scores(self, prediction: Float[Tensor, "example way"], weight: Float[Tensor, " example"]) -> dict[str, Tensor]:
        """Return the fraction of examples whose largest logit is that of their class, and the means of recall and of F1 over classes.

        Recall is averaged over the classes that occur, F1 over those that occur or are predicted, as scikit-learn does.
        """
        labels, found = self.labels, prediction.argmax(-1)
        correct = (found == labels).to(weight.dtype)
        asked, said, right = (
            _counts(*of, self.outputs) for of in ((labels, weight), (found, weight), (labels, weight * correct))
        )
        return {
            "accuracy": weighted_mean(correct, weight),
            "balanced_accuracy": weighted_mean(right / asked.clamp(min=1e-12), (asked > 0).to(weight.dtype)),
            "macro_f1": weighted_mean(2 * right / (asked + said).clamp(min=1e-12), (asked + said > 0).to(weight.dtype)),
        }

    def sizes(self, weight: Float[Tensor, " *task example"]) -> Float[Tensor, " *task way"]:
        """Return the number of examples of each way, `[way]`."""
        return (self.rows * weight.unsqueeze(-1)).sum(-2)

    def balanced(self, weight: Float[Tensor, " *task example"]) -> Float[Tensor, " *task example"]:
        """Return the inverse frequency of each example's class in its task, with the mean 1 over examples that are no padding.

        All classes then have the same share of a loss. Those of equal size are weighed by 1 to the last bit.

        Args:
            weight: 0 for padding, `[example]`.

        >>> one_hot(torch.tensor([0, 0, 0, 1]), ways=2).balanced(torch.ones(4))
        tensor([0.6667, 0.6667, 0.6667, 2.0000])
        """
        sizes = self.sizes(weight)
        ways, total = (sizes > 0).sum(-1, keepdim=True), sizes.sum(-1, keepdim=True)
        return (self.rows * (total / (ways * sizes).clamp(min=1.0)).unsqueeze(-2)).sum(-1)

    def like(self, prediction: Float[Tensor, "example way"]) -> OneHot:
        """Return the soft classes that logits stand for."""
        return OneHot(prediction.softmax(-1))


torch.export.register_dataclass(OneHot)


def one_hot(labels: Int[Tensor, " *example"], ways: int, dtype: torch.dtype | None = None) -> OneHot:
    """Return one-hot rows `[..., ways]`, by comparison with an arange (`torch.nn.functional.one_hot` does not vmap).

    Args:
        labels: integers in `[0, ways)`, `[...]`.
        ways: number of classes.
        dtype: floating type of the rows; torch's default type if None.

    Raises:
        DataError: a label is not in `[0, ways)`. It cannot be looked at, and passes, while a function is mapped or captured.

    >>> one_hot(torch.tensor([0, 1, 1]), ways=2).rows
    tensor([[1., 0.],
            [0., 1.],
            [0., 1.]])
    """
    if is_plain(labels):
        outside = labels[(labels < 0) | (labels >= ways)]
        if len(outside):
            raise DataError(
                f"label {int(outside[0])} is given for {ways} ways; expected labels from 0 to {ways - 1}, the number of a class within "
                "its task. Number the classes of each task from 0."
            )
    is_way = labels.unsqueeze(-1) == torch.arange(ways, device=labels.device)
    return OneHot(is_way.to(dtype or torch.get_default_dtype()))


def _counts(labels: Int[Tensor, " example"], weight: Float[Tensor, " example"], ways: int) -> Float[Tensor, " way"]:
    """Return the sum of the weights of each way's examples, `[way]`, in a form that maps over tasks."""
    return ((labels.unsqueeze(-1) == torch.arange(ways, device=labels.device)) * weight.unsqueeze(-1)).sum(0)
