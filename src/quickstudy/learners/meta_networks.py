"""Meta Networks: loss gradients of support examples become fast weights in a memory, from which each query reads its own.

Munkhdalai and Yu 2017, "Meta Networks", algorithm 1. A layer with slow weights W and fast weights W* gives the sum of both paths after the
activation (layer augmentation); m writes W* of the gradient of one example, and d writes the fast weights Q* of the key of the gradients
of all; a query reads from the memory by the softmax of cosines between keys. m and d are small networks that see each number of a gradient
alone, as its logarithm and its sign (Andrychowicz et al. 2016, "Learning to Learn by Gradient Descent by Gradient Descent", appendix A).
Deviations: base learner and key share one net, and fast weights belong to the layers behind it, since those of a whole net would be kept
for every example; the slow head is zero, so that any number of ways fits, and hidden gradients are taken at the head that one step of
gradient descent reaches from there; d is a network of the mean gradient, where the paper's LSTM reads gradients one after the other;
cosines have a learned scale, which the paper fixes to 1; meta-training differentiates through the gradients; and, as in `protonet`, batch
norm uses the batch in meta-training and population statistics afterwards.
"""

import dataclasses
import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import check_above, check_at_least
from quickstudy.functional.classes import ABSENT
from quickstudy.functional.distances import cosine_distances
from quickstudy.functional.features import feature_count
from quickstudy.functional.linear import with_ones
from quickstudy.learner import State
from quickstudy.learners._embedding import EmbeddingLearner, remembered
from quickstudy.learners._weights import counted, hide_unseen
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.values import Values
from quickstudy.task import Answers, Examples

LOGARITHMS = 7.0
"""Exponent p of the preprocessing: sizes of gradients below exp(-p) are told apart by their value, larger ones by their logarithm. It is
the choice of the authors' code."""


@dataclasses.dataclass(eq=False, repr=False)
class MetaNetworks(EmbeddingLearner):
    """State: the memory (`keys` `[example, width]`, and for each support example the fast weights `hidden` `[example, width, feature]` and
    `head` `[example, output, width]`), the fast weights `key` of the key; features, answers and weights of the examples, to go on from; and
    how often each way was seen.

    Args:
        net: the embedding, `[example, ...]` to `[example, feature]`.
        width: units of the hidden layer, and of keys.
        meta_width: hidden units of m and d.
        scale: start of the learned factor of the cosine; above 0.
    """

    width: int = 64
    meta_width: int = 20
    scale: float = 10.0

    targets: ClassVar[tuple[type[Answers], ...]] = (OneHot, Values)
    continues: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("width", self.width, 1)
        check_at_least("meta_width", self.meta_width, 1)
        check_above("scale", self.scale, 0)
        rows = feature_count(self.net) + 1  # with a feature that is always 1, whose weight is a bias
        self.base, self.embed = nn.Linear(rows, self.width, bias=False), nn.Linear(rows, self.width, bias=False)
        self.to_hidden, self.to_head, self.to_key = (writer(self.meta_width) for _ in range(3))
        self.log_scale = nn.Parameter(torch.tensor(math.log(self.scale)))

    def learn(self, features: Float[Tensor, "example feature"], support: Examples, state: State | None) -> State:
        known, seen = remembered(features, support, state), counted(support, state)
        rows, weight = with_ones(known["features"]), known["weight"]
        y = dataclasses.replace(support.y, rows=known["y"])  # pyright: ignore[reportArgumentType]
        to_key, _, _ = gradients(self.embed, rows, y, weight, seen)
        mean = (to_key * weight.unsqueeze(-1)).t() @ rows / weight.sum().clamp(min=1.0)
        key = fast_weights(self.to_key, mean)
        to_hidden, to_head, hidden = gradients(self.base, rows, y, weight, seen)
        memory = {
            "keys": rows @ (self.embed.weight + key).t(),
            "hidden": fast_weights(self.to_hidden, to_hidden.unsqueeze(2) * rows.unsqueeze(1)),
            "head": fast_weights(self.to_head, to_head.unsqueeze(2) * hidden.unsqueeze(1)),
        }
        return {**known, **memory, "key": key, **seen}

    def answer(self, state: State, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example output"]:
        rows = with_ones(features)
        asked = rows @ (self.embed.weight + state["key"]).t()
        scores = -self.log_scale.exp() * cosine_distances(asked, state["keys"])
        shares = torch.where(state["weight"] > 0, scores, ABSENT).softmax(-1)  # [query, example]
        hidden = self.base(rows).relu() + applied(read_memory(shares, state["hidden"]), rows).relu()
        return hide_unseen(applied(read_memory(shares, state["head"]), hidden), state)


def gradients(
    layer: nn.Linear,
    rows: Float[Tensor, "example feature"],
    y: Answers,
    weight: Float[Tensor, " example"],
    seen: State,
) -> tuple[Float[Tensor, "example width"], Float[Tensor, "example output"], Float[Tensor, "example width"]]:
    """Return the gradient of each example's loss with respect to what its layer and its head put out, and what the head is given.

    The gradient of a weight is the product of what its layer puts out and of what it is given. The head is zero for its own gradient; for
    that of the layer it has taken one step of gradient descent.
    """
    before, count = layer(rows), weight.sum()
    hidden = before.relu()

    def loss(prediction: Tensor) -> Tensor:
        return count * y.loss(hide_unseen(prediction, seen), weight)

    to_head = torch.func.grad(loss)(torch.zeros_like(y.rows))
    head = -to_head.t() @ hidden
    to_layer = torch.func.grad(lambda before: loss(before.relu() @ head.t()))(before)
    return to_layer, to_head, hidden


def writer(width: int) -> nn.Sequential:
    """Return a network that writes a fast weight of the logarithm and the sign of a gradient's number."""
    return nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))


def fast_weights(writer: nn.Module, gradient: Float[Tensor, " *shape"]) -> Float[Tensor, " *shape"]:
    """Return the fast weights that a writer makes of gradients."""
    least = math.exp(-LOGARITHMS)
    size, sign = gradient.abs().clamp(min=least).log() / LOGARITHMS, (gradient / least).clamp(-1.0, 1.0)
    return writer(torch.stack([size, sign], dim=-1)).squeeze(-1)


def read_memory(
    shares: Float[Tensor, "query example"], memory: Float[Tensor, "example out in"]
) -> Float[Tensor, "query out in"]:
    """Return the weights that each query reads from the memory."""
    return (shares @ memory.flatten(1)).view(shares.shape[0], *memory.shape[1:])


def applied(weights: Float[Tensor, "query out in"], rows: Float[Tensor, "query in"]) -> Float[Tensor, "query out"]:
    """Return what each query's own weights make of it."""
    return (weights * rows.unsqueeze(1)).sum(-1)
