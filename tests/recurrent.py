"""A small recurrent learner: it reads the support set one example after another, so that its loop goes over an axis."""

import dataclasses
from typing import ClassVar

import torch
from builders import make_tasks
from torch import Tensor, nn

from quickstudy.functional.loop import scan
from quickstudy.layers.check import check_net
from quickstudy.learner import Learner, State
from quickstudy.task import Examples, Input
from quickstudy.training.engine import meta_gradient


@dataclasses.dataclass(eq=False, repr=False)
class Recurrent(Learner):
    """State: what a gated unit (Cho et al. 2014, "Learning Phrase Representations using RNN Encoder-Decoder", eqs. 5-8) remembers.

    Args:
        net: the embedding, `[example, ...]` to `[example, feature]`.
        width: numbers that are remembered.
        head_ways: number of ways.
    """

    net: nn.Module
    width: int = 16
    head_ways: int = 3

    order_free: ClassVar[bool] = False
    relabelling_free: ClassVar[bool] = False
    gradient_free_adapt: ClassVar[bool] = True
    continues: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_net(self.net)
        self.ways = self.head_ways
        self.reading = nn.Linear(self.net.features + self.head_ways, 3 * self.width)
        self.memory = nn.Linear(self.width, 3 * self.width)
        self.answer = nn.Sequential(nn.Linear(self.width + self.net.features, 32), nn.Tanh(), nn.Linear(32, self.head_ways))

    def adapt(self, support: Examples, state: State | None = None) -> State:
        rows = torch.cat([self.net(support.x), support.y.rows], dim=1)
        start = rows.new_zeros(self.width) if state is None else state["hidden"]
        hidden, seen = scan(self._read, start, (rows, support.weight))
        return {"hidden": hidden, "mean": seen.mean(0)}

    def predict(self, state: State, x: Input) -> Tensor:
        features = self.net(x)
        hidden = (state["hidden"] + state["mean"]).expand(features.shape[0], -1)
        return self.answer(torch.cat([hidden, features], dim=1))

    def _read(self, index: int | Tensor, hidden: Tensor, row: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return what is remembered after one more example, which padding does not change, twice: to go on and as an output."""
        example, weight = row
        read, update, candidate = self.reading(example.unsqueeze(0)).squeeze(0).chunk(3)
        reset, keep, old = self.memory(hidden.unsqueeze(0)).squeeze(0).chunk(3)
        kept = torch.sigmoid(update + keep)
        new = (1 - kept) * torch.tanh(candidate + torch.sigmoid(read + reset) * old) + kept * hidden
        hidden = weight * new + (1 - weight) * hidden
        return hidden, hidden


def trained(learner: Learner) -> Learner:
    """Return the learner after a few steps, so that its weights are not those of its beginning."""
    optimizer = torch.optim.Adam(learner.parameters(), 0.01)
    for seed in range(5):
        meta_gradient(learner, make_tasks(4, seed=seed, dtype=torch.float32), "vmap")
        optimizer.step()
    return learner.eval()
