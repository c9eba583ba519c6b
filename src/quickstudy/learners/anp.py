"""Attentive Neural Processes: as in `cnp`, but every query reads the support examples that matter to it.

Kim, Mnih, Schwarz, Garnelo, Eslami, Rosenbaum, Vinyals and Teh 2019, "Attentive Neural Processes", section 3: the deterministic path, with
multihead attention from the query's features to those of the support set. Deviations: no latent path, so that predictions need no
sampling; the mean code of `cnp` (for a class, that of its own examples) is added to what attention reads; columns, net and
batch norm as in `cnp`.
"""

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import ConfigError, check_at_least
from quickstudy.functional.attention import attend
from quickstudy.functional.features import feature_count
from quickstudy.learner import State
from quickstudy.learners._embedding import remembered
from quickstudy.learners._process import NeuralProcess
from quickstudy.learners._weights import counted
from quickstudy.task import Examples


@dataclasses.dataclass(eq=False, repr=False)
class ANP(NeuralProcess):
    """State: features, answers and weights of every support example, and how often each way was seen.

    Args:
        net: the embedding, `[example, ...]` to `[example, feature]`.
        width: length of codes, and of hidden layers.
        depth: hidden layers of the encoder and of the decoder, at least 1.
        heads: heads of attention, a divisor of `width`.
    """

    heads: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("heads", self.heads, 1)
        if self.width % self.heads:
            raise ConfigError(f"heads is {self.heads}; expected a divisor of width, which is {self.width}.")
        self.key = nn.Linear(feature_count(self.net), self.width)
        self.ask = nn.Linear(feature_count(self.net), self.width)

    def learn(self, features: Float[Tensor, "example feature"], support: Examples, state: State | None) -> State:
        return {**remembered(features, support, state), **counted(support, state)}

    def read(self, state: State, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example column width"]:
        known, weight = state["features"], state["weight"]
        codes = self.codes(known, state["y"])
        of_column = state["y"] if "counts" in state else torch.ones_like(state["y"])  # a class has the mean of its own examples
        share = of_column * weight.unsqueeze(-1)
        mean = (codes * share.unsqueeze(-1)).sum(0) / share.sum(0).clamp(min=1.0).unsqueeze(-1)
        values = codes.transpose(0, 1)  # [column, support, width]
        return mean + attend(self.ask(features), self.key(known), values, weight, self.heads).transpose(0, 1)
