"""Matching Networks: the answer to a query is a mean of the answers of the support set, weighted by attention.

Vinyals, Blundell, Lillicrap, Kavukcuoglu and Wierstra 2016, "Matching Networks for One Shot Learning", eqs. 1 and 2; with `context`, full
context embeddings (section 2.1.2 and appendix A: a bidirectional LSTM reads the support set, and a query looks at it in several steps).
Deviations: the attention has a learned scale, which the paper fixes to 1; and, as in `protonet`, batch norm uses the batch in
meta-training and population statistics afterwards.
"""

import dataclasses
import math
from typing import Any, ClassVar, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import check_above, check_at_least, check_choice
from quickstudy.functional.classes import ABSENT
from quickstudy.functional.distances import DISTANCES, Distance
from quickstudy.functional.features import feature_count
from quickstudy.functional.loop import scan
from quickstudy.layers.recurrent import LSTMCell
from quickstudy.learner import State
from quickstudy.learners._embedding import EmbeddingLearner, read_out, remembered
from quickstudy.learners._weights import counted
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.values import Values
from quickstudy.task import Answers, Examples


@dataclasses.dataclass(eq=False, repr=False)
class Matching(EmbeddingLearner):
    """State: features, answers and weights of every support example, and how often each way was seen.

    Args:
        net: the embedding, `[example, ...]` to `[example, feature]`.
        distance: of a query to a support example; attention is the softmax of its negative.
        scale: start of the learned factor of the distance; above 0.
        context: embed every example in the context of the support set, in whose order the result then depends.
        context_steps: looks of a query at the support set, with `context`.
    """

    distance: Distance = "cosine"
    scale: float = 10.0
    context: bool = False
    context_steps: int = 5

    targets: ClassVar[tuple[type[Answers], ...]] = (OneHot, Values)
    gradient_free_adapt: ClassVar[bool] = True
    continues: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("distance", self.distance, get_args(Distance))
        check_above("scale", self.scale, 0)
        check_at_least("context_steps", self.context_steps, 1)
        self.log_scale = nn.Parameter(torch.tensor(math.log(self.scale)))
        if self.context:
            features = feature_count(self.net)
            self.forwards, self.backwards = LSTMCell(features, features), LSTMCell(features, features)
            self.looking = LSTMCell(features, features)

    def learn(self, features: Float[Tensor, "example feature"], support: Examples, state: State | None) -> State:
        return {**remembered(features, support, state), **counted(support, state)}

    def answer(self, state: State, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example output"]:
        known, weight = state["features"], state["weight"]
        if self.context:
            known = self._in_context(known, weight)
            features = self._looked(features, known, weight)
        return read_out(-self.log_scale.exp() * DISTANCES[self.distance](features, known), state)

    def _in_context(self, known: Float[Tensor, "support feature"], weight: Float[Tensor, " support"]) -> Tensor:
        """Return support features plus what an LSTM remembers of their neighbours on either side (appendix A.2)."""

        def read(cell: LSTMCell, rows: Tensor, weights: Tensor) -> Tensor:
            def step(index: int | Tensor, carried: tuple[Tensor, Tensor], row: tuple[Tensor, Tensor]) -> Any:
                new = cell(row[0].unsqueeze(0), *carried)
                hidden, memory = (torch.where(row[1] > 0, after, before) for after, before in zip(new, carried, strict=True))
                return (hidden, memory), hidden.squeeze(0)

            start = rows.new_zeros((1, rows.shape[1]))
            return scan(step, (start, start), (rows, weights))[1]

        return known + read(self.forwards, known, weight) + read(self.backwards, known.flip(0), weight.flip(0)).flip(0)

    def _looked(self, features: Tensor, known: Tensor, weight: Tensor) -> Float[Tensor, "example feature"]:
        """Return query features after `context_steps` looks at the support set (appendix A.1, eqs. 3-6)."""
        hidden, cell = features, torch.zeros_like(features)
        for _ in range(self.context_steps):
            attention = torch.where(weight > 0, hidden @ known.t(), ABSENT).softmax(-1)
            hidden, cell = self.looking(features, hidden + attention @ known, cell)
            hidden = hidden + features
        return hidden
