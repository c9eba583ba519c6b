"""What is measured: every row of the table as data, and who takes part in it."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Literal

HERE = pathlib.Path(__file__).parent

Kind = Literal["gradient", "evaluate", "protonet", "sampling", "race"]


@dataclasses.dataclass(frozen=True)
class Work:
    """One row. A `gradient` is the mean meta-gradient over a batch of tasks, without the outer optimizer's step.

    Args:
        name: for `--only`.
        row: rows with one letter share a goal.
        title: shown in the table.
        kind: what one step is.
        goal: how many times as fast as the best peer quickstudy wants to be.
        net: Conv4-64 with max-pooling (`pool`) or with stride 2 (`stride`), or two hidden layers of 40 (`mlp`).
        learner: `maml` or `anil`.
        first_order: leave out second derivatives.
        tasks: tasks per meta-gradient, or tasks to evaluate.
        seed: of starting weights and tasks.
        rounds: the most there are, for works that take long.
    """

    name: str
    row: str
    title: str
    kind: Kind
    goal: float
    net: Literal["pool", "stride", "mlp"] = "pool"
    learner: Literal["maml", "anil"] = "maml"
    first_order: bool = False
    inner_steps: int = 5
    inner_lr: float = 0.1
    ways: int = 5
    shots: int = 1
    queries: int = 15
    tasks: int = 32
    seed: int = 20240607
    rounds: int = 7


def _maml(
    row: str, goal: float, net: Literal["pool", "stride"], steps: int, learner: Literal["maml", "anil"], first_order: bool
) -> Work:
    label = "ANIL" if learner == "anil" else "first-order MAML" if first_order else "MAML"
    name = f"{'first-order-' if first_order else ''}{learner}-{net}-{steps}"
    queries = 15 if net == "pool" else 1
    title = f"{label}, {net}, {steps} step{'s' * (steps > 1)}"
    return Work(name, row, title, "gradient", goal, net, learner, first_order, steps, queries=queries)


def _sinusoid(steps: int) -> Work:
    title = f"MAML, sinusoids, {steps} step{'s' * (steps > 1)}"
    work = Work(f"sinusoid-{steps}", "d", title, "gradient", 10, "mlp", inner_steps=steps, inner_lr=0.01)
    return dataclasses.replace(work, ways=1, shots=10, queries=10, tasks=25)


WORKS = (
    _maml("a", 2.5, "pool", 1, "maml", False),
    _maml("a", 2.5, "pool", 5, "maml", False),
    _maml("b", 4, "stride", 1, "maml", False),
    _maml("b", 4, "stride", 5, "maml", False),
    _maml("c", 3, "pool", 5, "maml", True),
    _maml("c", 3, "stride", 1, "maml", True),
    _maml("c", 3, "stride", 5, "maml", True),
    _maml("c", 3, "pool", 5, "anil", False),
    _maml("c", 3, "stride", 5, "anil", False),
    _sinusoid(1),
    _sinusoid(5),
    Work("evaluate-pool", "e", "MAML evaluation, pool, 5 steps", "evaluate", 4, "pool", tasks=1000, rounds=3),
    Work("evaluate-stride", "e", "MAML evaluation, stride, 5 steps", "evaluate", 4, "stride", tasks=1000, rounds=3),
    Work("protonet", "f", "ProtoNet training from image files", "protonet", 5, ways=20, shots=5, queries=5, tasks=1),
    Work("race", "h", "98 % at Omniglot 5-way 1-shot, ProtoNet", "race", 3, ways=60, queries=5, tasks=1, rounds=2),
    Work("sampling", "g", "drawing tasks", "sampling", 100, shots=5, tasks=1),
)

_GRADIENT = ("quickstudy", "quickstudy-bf16", "plain", "learn2learn", "higher", "torchopt", "torchopt-vmap", "jax")
_IMAGES = ("easyfsl", "easyfsl-memory", "learn2learn", "learn2learn-memory")

TAKE_PART: dict[Kind, tuple[str, ...]] = {
    "gradient": _GRADIENT,
    "evaluate": ("quickstudy", "plain", "learn2learn", "torchopt", "jax"),
    "protonet": ("quickstudy", "quickstudy-bf16", *_IMAGES),
    "sampling": ("quickstudy", *_IMAGES),
    "race": ("quickstudy", "quickstudy-same", "easyfsl-memory", "learn2learn-memory"),
}
"""Contestants by kind of work. What follows the dash is a way of using the same library, measured on its own."""
