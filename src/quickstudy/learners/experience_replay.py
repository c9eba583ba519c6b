"""Meta experience replay: solutions of earlier tasks are kept, and a new task starts from those of the tasks that are most like it.

A task's solution is a linear head on the features of a shared net, found by gradient descent on the support set as in ANIL (Raghu et al.
2020, "Rapid Learning or Feature Reuse?", section 4). `calibrate`, which every validation and the end of meta-training call, solves training
tasks and stores every row of their heads under a key that embeds the support set: in which direction the row's examples lie from the mean
of all, and that mean. Until the first validation, nothing is stored, and every task starts at zero, as in ANIL. From then on, also in
meta-training, a task starts every row of its head at a mean of stored rows, weighted by the softmax of how near their keys are; so a head
fits any number of ways, and their names do not matter. Looking up solutions by the nearest keys, weighted by a kernel, is that of Pritzel
et al. 2017, "Neural Episodic Control", eqs. 1 and 2, which stores values of actions. What adapts further keeps its own solutions in its
state, where new ways find them too. This is not the algorithm of Riemer et al. 2019, "Learning to Learn without Forgetting by Maximizing
Transfer and Minimizing Interference", which has the name too and replays examples. Population statistics of batch norm are as in
`protonet`.
"""

import dataclasses
import math
from collections.abc import Iterable
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import check_above, check_at_least
from quickstudy.functional.call import Parameters
from quickstudy.functional.classes import ABSENT, class_sums, pad_rows
from quickstudy.functional.descent import gradient_descent
from quickstudy.functional.distances import unit
from quickstudy.functional.features import feature_count
from quickstudy.learner import State
from quickstudy.learners._embedding import EmbeddingLearner
from quickstudy.learners._weights import counted, hide_unseen
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.values import Values
from quickstudy.task import Answers, Examples, Task, concatenate


@dataclasses.dataclass(eq=False, repr=False)
class ExperienceReplay(EmbeddingLearner):
    """State: the head, the key of each of its rows, and how often each way was seen.

    Args:
        net: the embedding, `[example, ...]` to `[example, feature]`.
        inner_lr: step size with which a task's head is fitted. The loss of classes is multiplied by the number of ways seen so far, so
            that a row of the head moves as far in a task of few ways as in one of many. Values have no ways, and ask for about 0.1.
        inner_steps: gradient steps of a task's head. May be raised after training.
        memory: number of rows of heads that are stored.
        scale: start of the learned factor of the nearness of keys (the sum of two cosines); above 0. The larger it is, the more the
            nearest one alone counts.
    """

    inner_lr: float = 0.02
    inner_steps: int = 5
    memory: int = 256
    scale: float = 10.0

    targets: ClassVar[tuple[type[Answers], ...]] = (OneHot, Values)
    adjustable: ClassVar[tuple[str, ...]] = ("inner_lr",)
    rate: ClassVar[str] = "inner_lr"
    measured_every: ClassVar[int | None] = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("inner_lr", self.inner_lr, 0)
        check_at_least("inner_steps", self.inner_steps, 0)
        check_at_least("memory", self.memory, 1)
        check_above("scale", self.scale, 0)
        features = feature_count(self.net)
        self.log_scale = nn.Parameter(torch.tensor(math.log(self.scale)))
        self.keys: Tensor
        self.rows: Tensor
        self.filled: Tensor
        self.register_buffer("keys", torch.zeros(self.memory, 2 * features))
        self.register_buffer("rows", torch.zeros(self.memory, features + 1))
        self.register_buffer("filled", torch.zeros(self.memory))

    def learn(self, features: Float[Tensor, "example feature"], support: Examples, state: State | None) -> State:
        y, weight, seen = support.y.rows, support.weight, counted(support, state)
        keys = _keys(features, y, weight)
        rows = self._recalled(keys, state)
        if state is not None:  # columns that have been seen go on from where they are, under the keys that they have
            known = pad_rows(_seen(state), y.shape[1]).unsqueeze(-1) > 0
            rows = torch.where(known, pad_rows(_rows(state), y.shape[1]), rows)
            keys = torch.where(known, pad_rows(state["key"], y.shape[1]), keys)

        ways = (seen["counts"] > 0).sum() if "counts" in seen else 1

        def loss(head: Parameters) -> Tensor:
            prediction = F.linear(features, head["head.weight"], head["head.bias"])
            return ways * support.y.loss(hide_unseen(prediction, seen), weight)

        start = {"head.weight": rows[:, :-1], "head.bias": rows[:, -1]}
        head = gradient_descent(loss, start, inner_lr=self.inner_lr, steps=self.inner_steps)
        return {**head, "key": keys, **seen}

    def answer(self, state: State, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example output"]:
        return hide_unseen(F.linear(features, state["head.weight"], state["head.bias"]), state)

    @torch.no_grad()
    def calibrate(self, tasks: Iterable[Task]) -> None:
        """Measure the population of batch norm, then solve the tasks from a head of zeros and store their solutions.

        If there are more rows than room, they are taken at equal distances in their order.
        """
        tasks = [self.matched(task) for task in tasks]
        if not tasks:
            return
        super().calibrate(tasks)
        self.filled.zero_()
        keys, rows = [], []
        for task in tasks:
            state = self.adapt(concatenate(task.support, task.query))
            there = _seen(state) > 0
            keys.append(state["key"][there])
            rows.append(_rows(state)[there])
        count = sum(map(len, rows))
        room = min(count, self.memory)
        chosen = torch.arange(room, device=self.rows.device) * count // room
        self.keys[:room], self.rows[:room] = torch.cat(keys)[chosen], torch.cat(rows)[chosen]
        self.filled[:room] = 1.0

    def _recalled(self, keys: Float[Tensor, "column key"], state: State | None) -> Float[Tensor, "column row"]:
        """Return where rows start: the mean of stored ones by the nearness of their keys, or zero as long as nothing is stored."""
        known, rows, there = self.keys, self.rows, self.filled > 0
        if state is not None:
            known, rows = torch.cat([known, state["key"]]), torch.cat([rows, _rows(state)])
            there = torch.cat([there, _seen(state) > 0])
        near = torch.where(there, self.log_scale.exp() * keys @ known.t(), ABSENT)
        return torch.where(there.sum() > 0, near.softmax(-1) @ rows, 0.0)


def _keys(
    features: Float[Tensor, "example feature"], y: Float[Tensor, "example column"], weight: Float[Tensor, " example"]
) -> Float[Tensor, "column key"]:
    """Return the key of each column of the answers: the direction in which its examples lie from the mean, and that of the mean."""
    mean = weight @ features / weight.sum().clamp(min=1.0)
    towards = class_sums(features - mean, y, weight)
    return torch.cat([unit(towards), unit(mean.unsqueeze(0)).expand_as(towards)], dim=1)


def _seen(state: State) -> Float[Tensor, " column"]:
    """Return how often each way was seen, or ones for values, of which every column is seen in every example."""
    return state.get("counts", torch.ones_like(state["head.bias"]))


def _rows(state: State) -> Float[Tensor, "column row"]:
    """Return the rows of a state's head, each with its bias at the end."""
    return torch.cat([state["head.weight"], state["head.bias"].unsqueeze(-1)], dim=1)
