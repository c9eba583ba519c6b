"""An in-context learner: a transformer reads the support set, and each query reads what it made of it. There is no inner loop.

Fifty, Duan, Junkins, Amid, Leskovec, Re and Thrun 2024, "Context-Aware Meta-Learning", section 3; Muller, Hollmann, Arango, Grabocka and
Hutter 2022, "Transformers Can Do Bayesian Inference", sections 3 and 4. Deviations: the classes of the support set enter as which examples
belong together (a learned bias of attention for each head and block) and by a readout that compares a query with the examples of each way,
where the first paper joins an embedding of the class to each example, and the second adds one; so the names of classes do not matter, and
any number of ways fits. Values enter and leave as numbers. Batch norm of the net is as in `protonet`.
"""

import dataclasses
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import ConfigError, check_at_least
from quickstudy.functional.features import feature_count
from quickstudy.layers.norm import make_norm
from quickstudy.layers.transformer import Block
from quickstudy.learner import State
from quickstudy.learners._embedding import EmbeddingLearner, read_out, remembered
from quickstudy.learners._weights import counted
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.values import Values
from quickstudy.task import Answers, Examples


@dataclasses.dataclass(eq=False, repr=False)
class InContext(EmbeddingLearner):
    """State: features, answers and weights of every support example, what the transformer made of them after each block,
    `[block, example, width]`, and how often each way was seen.

    Args:
        net: the embedding, `[example, ...]` to `[example, feature]`.
        width: numbers per example inside the transformer, a multiple of `heads`.
        blocks: blocks of the transformer, at least 1.
        heads: heads of attention.
    """

    width: int = 64
    blocks: int = 3
    heads: int = 4

    targets: ClassVar[tuple[type[Answers], ...]] = (OneHot, Values)
    gradient_free_adapt: ClassVar[bool] = True
    continues: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("blocks", self.blocks, 1)
        check_at_least("heads", self.heads, 1)
        if self.width < 1 or self.width % self.heads:
            raise ConfigError(f"width is {self.width}; expected a multiple of heads, which is {self.heads}.")
        self.enter, self.number = nn.Linear(feature_count(self.net), self.width), nn.Linear(1, self.width, bias=False)
        self.layers = nn.ModuleList(Block(self.width, self.heads) for _ in range(self.blocks))
        self.together = nn.Parameter(torch.zeros(self.blocks, self.heads))
        self.final = make_norm("layer", self.width)
        self.ask, self.key = nn.Linear(self.width, self.width), nn.Linear(self.width, self.width)

    def learn(self, features: Float[Tensor, "example feature"], support: Examples, state: State | None) -> State:
        known = remembered(features, support, state)
        y, weight, rows = known["y"], known["weight"], self.enter(known["features"])
        classes = isinstance(support.y, OneHot)
        if not classes:
            rows = rows + self.number(y.mean(1, keepdim=True))
        made = [rows]
        for layer, bias in zip(self.layers, self.together, strict=True):
            same = bias.view(-1, 1, 1) * (y @ y.t()) if classes else None
            made.append(layer(made[-1], made[-1], weight, same))
        return {**known, "made": torch.stack(made), **counted(support, state)}

    def answer(self, state: State, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example output"]:
        rows, weight = self.enter(features), state["weight"]
        for layer, known in zip(self.layers, state["made"][:-1], strict=True):
            rows = layer(rows, known, weight)
        known = self.key(self.final(state["made"][-1]))
        return read_out(self.ask(self.final(rows)) @ known.t() / self.width**0.5, state)
