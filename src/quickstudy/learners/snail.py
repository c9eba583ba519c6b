"""SNAIL: temporal convolutions gather what came before, and attention picks out what matters of it.

Mishra, Rohaninejad, Chen and Abbeel 2018, "A Simple Neural Attentive Meta-Learner", section 3 and figure 2. Deviations: every column of the
answers (a way, or one of several numbers) is a sequence of its own, read by the same layers, in which an example carries its answer in that
column and whether it has one; so any number of ways fits and their names do not matter, where the paper's examples carry a one-hot label.
Every query is the last of a sequence of its own. Dilations are 1, 2, 4, ..., where the paper's pseudocode begins with 2, so that
convolutions see every earlier example. All attentions have keys and values of one size, and before training, keys are equal to questions.
Batch norm of the net is as in `protonet`.
"""

import dataclasses
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import check_at_least
from quickstudy.functional.features import feature_count
from quickstudy.layers.causal import CausalAttention, CausalConvolution
from quickstudy.learner import State
from quickstudy.learners._embedding import EmbeddingLearner, remembered
from quickstudy.learners._weights import counted, hide_unseen
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.values import Values
from quickstudy.task import Answers, Examples


@dataclasses.dataclass(eq=False, repr=False)
class SNAIL(EmbeddingLearner):
    """State: features, answers and weights of every support example (padding first), what the layers made of them, `[column, example,
    number]`, and how often each way was seen.

    Args:
        net: the embedding, `[example, ...]` to `[example, feature]`.
        width: filters of each convolution, and length of the keys and values of each attention.
        length: examples, the query included, that the convolutions of a block reach across; attention reaches all.

    >>> from quickstudy.nets.identity import Identity
    >>> learner = SNAIL(Identity(in_features=1), length=16)
    >>> [layer.dilation for layer in learner.layers if isinstance(layer, CausalConvolution)]
    [1, 2, 4, 8, 1, 2, 4, 8]
    """

    width: int = 64
    length: int = 32

    targets: ClassVar[tuple[type[Answers], ...]] = (OneHot, Values)
    gradient_free_adapt: ClassVar[bool] = True
    continues: ClassVar[bool] = True
    order_free: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("width", self.width, 1)
        check_at_least("length", self.length, 2)
        dilations = [2**place for place in range((self.length - 1).bit_length())]
        self.layers, count = nn.ModuleList(), feature_count(self.net) + 2
        for dilation in (None, *dilations, None, *dilations, None):
            layer = CausalAttention(count, self.width) if dilation is None else CausalConvolution(count, self.width, dilation)
            self.layers.append(layer)
            count += self.width
        self.out = nn.Linear(count, 1)

    def learn(self, features: Float[Tensor, "example feature"], support: Examples, state: State | None) -> State:
        known = remembered(features, support, state)
        if support.mask is not None:  # padding comes first, where it is as the zeros before the first example
            order = torch.argsort(known["weight"], stable=True)
            known = {name: value[order] for name, value in known.items()}
        weight = known["weight"]
        place = torch.arange(weight.shape[0], device=weight.device)
        allowed = (place.unsqueeze(1) > place) & (weight > 0) | (place.unsqueeze(1) == place)
        y = known["y"].t()
        y = 2 * y - weight if isinstance(support.y, OneHot) else y  # 1 for its way, -1 for others
        answered = torch.stack([y, weight.expand(y.shape[0], -1)], -1)
        made = _columns(known["features"], answered) * weight.unsqueeze(-1)
        for layer in self.layers:
            made = layer(made, None, allowed) * weight.unsqueeze(-1)
        return {**known, "made": made, **counted(support, state)}

    def answer(self, state: State, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example output"]:
        made, weight = state["made"], state["weight"]
        rows = _columns(features, features.new_zeros((made.shape[0], features.shape[0], 2)))
        place = torch.arange(features.shape[0], device=features.device)
        itself = place.unsqueeze(1) == place
        allowed = torch.cat([(weight > 0).expand(features.shape[0], -1), itself], 1)
        for layer in self.layers:
            rows = layer(rows, made[..., : layer.in_features], allowed)
        return hide_unseen(self.out(rows).squeeze(-1).t(), state)


def _columns(
    features: Float[Tensor, "example feature"], answered: Float[Tensor, "column example 2"]
) -> Float[Tensor, "column example number"]:
    """Return rows of features for each column, each followed by its answer in that column and by whether it has one."""
    return torch.cat([features.expand(answered.shape[0], -1, -1), answered], -1)
