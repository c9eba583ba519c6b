"""A memory-augmented neural network: examples are written into slots of a memory, and a query reads the slots that are like it.

Santoro, Bartunov, Botvinick, Wierstra and Lillicrap 2016, "Meta-Learning with Memory-Augmented Neural Networks", section 3: an LSTM is the
controller, slots are read by cosine similarity, and written where was read or where memory was used least (LRUA). Deviations: the answer of
an example is written beside its key and read back with it, where the paper's controller gets the label of the example before as input and
answers through a linear layer; so any number of ways fits and their names do not matter. As the answer comes with its example, an example
is written where it itself reads, in one step, not in the next. Each query reads what the memory holds after the support set, and writes
nothing. There is one head, whose similarity has a learned factor. Inputs pass through a net first, whose batch norm is as in `protonet`.
"""

import dataclasses
import math
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import check_above, check_at_least, check_between
from quickstudy.functional.classes import pad_columns
from quickstudy.functional.distances import unit
from quickstudy.functional.features import feature_count
from quickstudy.functional.loop import scan
from quickstudy.layers.recurrent import LSTMCell
from quickstudy.learner import State
from quickstudy.learners._embedding import EmbeddingLearner
from quickstudy.learners._memory import largest, written
from quickstudy.learners._weights import counted, hide_unseen
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.values import Values
from quickstudy.task import Answers, Examples

PREFERENCE = 1e-6
"""Usage by which a slot seems more used than the slot before it, so that rounding does not choose between unused slots."""
LEAST_SHARE = 1e-6
"""Share of what was read that every way has at least, so that its logarithm is a number."""


@dataclasses.dataclass(eq=False, repr=False)
class MANN(EmbeddingLearner):
    """State: what the controller remembers, `hidden` and `cell`; of each slot its `memory` (a key, M), the `answers` that
    were written, each by its share, the `amounts` (sums of shares) and the `usage` (w^u); and how often each way was seen.

    Args:
        net: the embedding, `[example, ...]` to `[example, feature]`.
        slots: rows of the memory.
        width: length of a key.
        controller: numbers that the controller remembers.
        decay: what is left of a slot's usage after each example, gamma; from 0 to 1.
        scale: start of the learned factor of the similarity of keys; above 0.
    """

    slots: int = 128
    width: int = 40
    controller: int = 200
    decay: float = 0.99
    scale: float = 10.0

    targets: ClassVar[tuple[type[Answers], ...]] = (OneHot, Values)
    gradient_free_adapt: ClassVar[bool] = True
    continues: ClassVar[bool] = True
    order_free: ClassVar[bool] = False
    sequential: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("slots", "width", "controller"):
            check_at_least(name, getattr(self, name), 1)
        check_above("scale", self.scale, 0)
        check_between("decay", self.decay, 0, 1)
        self.remember = LSTMCell(feature_count(self.net), self.controller)
        self.key = nn.Linear(self.controller, self.width)
        self.log_scale = nn.Parameter(torch.tensor(math.log(self.scale)))
        self.gate = nn.Parameter(torch.tensor(-2.0))  # alpha: at first, most is written to unused slots

    def learn(self, features: Float[Tensor, "example feature"], support: Examples, state: State | None) -> State:
        y = support.y.rows
        if state is None:
            zeros, slots = features.new_zeros, self.slots
            start = {"hidden": zeros((1, self.controller)), "cell": zeros((1, self.controller))}
            start |= {"memory": zeros((slots, self.width)), "answers": zeros((slots, y.shape[1]))}
            start |= {"amounts": zeros((slots, 1)), "usage": zeros((slots,))}
        else:
            start = {name: value for name, value in state.items() if name != "counts"}
            start["answers"] = pad_columns(state["answers"], y.shape[1])
        return {**scan(self._write, start, (features, y, support.weight))[0], **counted(support, state)}

    def answer(self, state: State, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example output"]:
        hidden, cell = (state[name].expand(features.shape[0], -1) for name in ("hidden", "cell"))
        hidden, _ = self.remember(features, hidden, cell)
        read = self._look(hidden, state["memory"])
        answers = read @ state["answers"]
        if "counts" not in state:
            return answers / (read @ state["amounts"] + LEAST_SHARE)
        return hide_unseen((answers + LEAST_SHARE).log(), state)

    def _write(self, index: int | Tensor, before: dict[str, Tensor], row: tuple[Tensor, ...]) -> Any:
        """Return the state after one more example (section 3.2, eqs. 5-8), which padding does not change."""
        features, y, weight = row
        hidden, cell = self.remember(features.unsqueeze(0), before["hidden"], before["cell"])
        key, usage = self.key(hidden).squeeze(0), before["usage"]
        read = self._look(hidden, before["memory"]).squeeze(0)
        least = largest(-usage - PREFERENCE * torch.arange(self.slots, dtype=usage.dtype, device=usage.device))
        gate = torch.sigmoid(self.gate)
        share = gate * read + (1 - gate) * least
        after = {"hidden": hidden, "cell": cell, "usage": self.decay * usage + read + share}
        for name, new in (("memory", key), ("answers", y), ("amounts", torch.ones_like(y[:1]))):
            after[name] = written(before[name], least, share, new)
        return {name: torch.where(weight > 0, after[name], value) for name, value in before.items()}, ()

    def _look(self, hidden: Float[Tensor, "row number"], memory: Float[Tensor, "slot width"]) -> Float[Tensor, "row slot"]:
        """Return how much of each slot is read, by the cosine similarity of its key (eqs. 2 and 3)."""
        return (self.log_scale.exp() * unit(self.key(hidden)) @ unit(memory).t()).softmax(-1)
