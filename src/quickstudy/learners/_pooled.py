"""Learners whose net is trained by ordinary classification of all training classes at once, and not on few-shot tasks."""

import abc
import dataclasses
from collections.abc import Callable
from typing import ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import ConfigError, ModelError, check_at_least
from quickstudy.functional.call import Parameters
from quickstudy.functional.classes import class_counts
from quickstudy.functional.descent import gradient_descent
from quickstudy.functional.features import feature_count
from quickstudy.functional.losses import cross_entropy
from quickstudy.learner import State, changed
from quickstudy.learners._embedding import EmbeddingLearner, embed_batch
from quickstudy.learners._weights import hide_unseen
from quickstudy.task import Task


@dataclasses.dataclass(eq=False, repr=False)
class PooledLearner(EmbeddingLearner, abc.ABC):
    """A learner that is trained to tell all training classes apart, under a classifier that is left behind afterwards.

    A task without support examples is a batch of all classes, whose loss is the classifier's. A task with some is learned as it will be
    used, so that the net may be trained on few-shot tasks too, with no classifier.

    Args:
        net: the embedding, `[example, ...]` to `[example, feature]`.
        classes: number of training classes, which training fills in; None as long as there is no classifier.
    """

    classes: int | None = None

    draws: ClassVar[str] = "pooled"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.classifier: nn.Linear | None = None
        if self.classes is not None:
            self._build(self.classes)

    @abc.abstractmethod
    def logits(self, head: Parameters, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example class"]:
        """Return logits of features under a head, `weight` `[class, feature]` and, if the learner has one, `bias` `[class]`."""

    def prepare(self, task: Task) -> None:
        classes = task.query.y.outputs
        if task.support.count:
            return
        if self.classes is None:
            self._build(classes)
        elif self.classes != classes:
            raise ConfigError(
                f"classes is {self.classes}, but the training data has {classes} classes; expected {classes}, or None, which training "
                "fills in.",
                subject="classes",
                expected=str(classes),
            )

    def loss(self, task: Task) -> Float[Tensor, ""]:
        if task.support.count:
            return super().loss(task)
        if self.classifier is None:
            raise ModelError(
                f"{type(self).__name__} has no classifier of training classes; expected classes, their number. Give it as an argument, or "
                "let prepare(task) or a training fill it in."
            )
        query = self.matched(task.query)
        features = embed_batch(self.net, query)
        return query.y.loss(self.logits(dict(self.classifier.named_parameters()), features), query.weight)

    def exported(self) -> Self:
        bare = changed(self, classes=None)
        bare._modules = {name: module for name, module in self._modules.items() if name != "classifier"}
        bare.classifier = None
        return bare

    def _build(self, classes: int) -> None:
        """Build the classifier of so many classes, in the type and on the device of the net."""
        check_at_least("classes", classes, 2)
        self.classes = classes
        self.classifier = nn.Linear(feature_count(self.net), classes).to(self.matched(torch.zeros(())))


def fit_head(
    logits: Callable[[Parameters, Tensor], Tensor],
    head: Parameters,
    known: State,
    penalty: float,
    rate: float | Tensor,
    steps: int,
) -> Parameters:
    """Return a head after steps of gradient descent on the mean cross-entropy of remembered examples.

    Args:
        logits: of a head and features, `[example, way]`.
        head: where to start.
        known: remembered examples, `features`, `y` and `weight`.
        penalty: half of it, times the sum of the head's squares, is added to what descends.
        rate: step size.
        steps: number of steps.
    """
    counts = class_counts(known["y"], known["weight"])

    def loss(head: Parameters) -> Tensor:
        shown = hide_unseen(logits(head, known["features"]), {"counts": counts})
        squares = [value.square().sum() for value in head.values()]
        return cross_entropy(shown, known["y"], known["weight"]) + penalty / 2 * sum(squares[1:], squares[0])

    return gradient_descent(loss, head, inner_lr=rate, steps=steps)
