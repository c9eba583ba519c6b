"""Neural processes share an encoder and a decoder, which treat each column of the answers as a function of its own."""

import abc
import dataclasses
import itertools
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import check_at_least
from quickstudy.functional.features import feature_count, features_of
from quickstudy.functional.losses import normal_log_likelihood, weighted_mean
from quickstudy.learner import State
from quickstudy.learners._embedding import EmbeddingLearner, embed_task
from quickstudy.learners._weights import hide_unseen
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.values import Values
from quickstudy.task import Answers, Input, Task


@dataclasses.dataclass(eq=False, repr=False)
class NeuralProcess(EmbeddingLearner):
    """A learner whose decoder reads a code of the support set beside the features of a query.

    Args:
        net: the embedding, `[example, ...]` to `[example, feature]`.
        width: length of codes, and of hidden layers.
        depth: hidden layers of the encoder and of the decoder, at least 1.
    """

    width: int = 128
    depth: int = 2

    targets: ClassVar[tuple[type[Answers], ...]] = (OneHot, Values)
    gradient_free_adapt: ClassVar[bool] = True
    continues: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("width", self.width, 1)
        check_at_least("depth", self.depth, 1)
        features, hidden = feature_count(self.net), [self.width] * self.depth
        self.encoder = perceptron(features + 1, *hidden, self.width)
        self.decoder = perceptron(features + self.width, *hidden, 2)

    @abc.abstractmethod
    def read(self, state: State, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example column width"]:
        """Return the code that the decoder gets for each query and each column of the answers."""

    def answer(self, state: State, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example output"]:
        return hide_unseen(self.decoded(state, features)[0], state)

    def spread(self, state: State, x: Input) -> Float[Tensor, "example output"]:
        return self.decoded(state, features_of(self.net, self.matched(x)))[1]

    def loss(self, task: Task) -> Float[Tensor, ""]:
        """Return the cross-entropy of classes, or the mean negative log-likelihood of values, in nats."""
        if not isinstance(task.query.y, Values):
            return super().loss(task)
        task = self.matched(task)
        support, query = embed_task(self.net, task)
        mean, spread = self.decoded(self.learn(support, task.support, None), query)
        likelihood = normal_log_likelihood(task.query.y.rows, mean, spread).mean(-1)
        return -weighted_mean(likelihood, task.query.weight)

    def codes(
        self, features: Float[Tensor, "example feature"], y: Float[Tensor, "example column"]
    ) -> Float[Tensor, "example column width"]:
        """Return the code of each example together with each of its answers."""
        points = features.unsqueeze(1).expand(-1, y.shape[1], -1)
        return self.encoder(torch.cat([points, y.unsqueeze(-1)], dim=-1))

    def decoded(self, state: State, features: Float[Tensor, "example feature"]) -> tuple[Tensor, Tensor]:
        """Return mean (or logit) and spread for each query and column, `[example, column]` each."""
        code = self.read(state, features)
        points = features.unsqueeze(1).expand(-1, code.shape[1], -1)
        mean, raw = self.decoder(torch.cat([points, code], dim=-1)).unbind(-1)
        return mean, 0.1 + 0.9 * F.softplus(raw)  # as the paper's code does, so that the likelihood has a bound


def perceptron(*widths: int) -> nn.Sequential:
    """Return linear layers of these widths with a smooth activation (SiLU) between them, so that curves are smooth.

    Weights start so large that signals neither shrink nor grow from layer to layer (He et al. 2015, "Delving Deep into Rectifiers").
    """
    layers = [(nn.Linear(before, after), nn.SiLU()) for before, after in itertools.pairwise(widths)]
    for linear, _ in layers:
        nn.init.kaiming_normal_(linear.weight)
    return nn.Sequential(*list(itertools.chain(*layers))[:-1])
