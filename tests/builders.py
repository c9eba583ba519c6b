"""Small tasks, nets and learners that several test files build on."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pathlib
import typing
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from quickstudy import discovery
from quickstudy.functional.classes import ABSENT
from quickstudy.inputs.rows import RowsSpec
from quickstudy.learner import Learner
from quickstudy.nets.conv4 import Conv4
from quickstudy.nets.mlp import MLP
from quickstudy.objectives.classes import OneHot, one_hot
from quickstudy.objectives.values import Values
from quickstudy.task import Examples, Task
from quickstudy.training.engine import meta_gradient
from quickstudy.training.optimizers import OPTIMIZERS
from quickstudy.training.settings import ValidationSettings

WAYS = 3
JUDGED = ValidationSettings(tasks=5)
"""Validation by 5 tasks; 200, the default, would take most of the time of a small training."""
SHAPES = {"mlp": (6,), "conv4": (1, 16, 16)}
"""Shape of one example, by net."""


def case(name: str, key: str, default: Any = None) -> Any:
    """Return what `tests/cases/NAME.py` says of a learner or net under this key; the default if it says nothing, or is not there."""
    if not (pathlib.Path(__file__).parent / "cases" / f"{name}.py").exists():
        return default
    return getattr(importlib.import_module(f"cases.{name}"), key, default)


def learner_that(takes: str = "", **facts: Any) -> str:
    """Return the file name of the simplest learner of which all `facts` of the contract hold, and that takes the named hyperparameters.

    Tests that need a learner of some sort ask for it by what is true of it, so that they name none. The simplest is the one with the
    fewest hyperparameters.

    Args:
        takes: names of hyperparameters, separated by spaces.
        **facts: attributes of the class, with their values.

    >>> discovery.load("learners", learner_that(prototypes=True)).prototypes
    True
    """
    found: dict[str, int] = {}
    for name in discovery.names("learners"):
        kind = discovery.load("learners", name)
        arguments = inspect.signature(kind).parameters
        if all(getattr(kind, fact) == value for fact, value in facts.items()) and set(takes.split()) <= set(arguments):
            found[name] = len(arguments)
    assert found, f"no learner takes {takes.split()} and has {facts}; ask for facts of quickstudy/learner.py"
    return min(found, key=lambda name: found[name])


def learner_class(takes: str = "", **facts: Any) -> Any:
    """Return the class of the learner that `learner_that` names."""
    return discovery.load("learners", learner_that(takes, **facts))


PROTOTYPES = learner_that(prototypes=True)
"""Name of a learner whose state is the mean of each class, and `Prototypes`, its class."""
MEMORY = learner_that(gradient_free_adapt=True, prototypes=False)
"""Name of a learner that keeps its examples, and `Memory`, its class."""
DESCENT = learner_that(takes="recompute")
"""Name of a learner that moves every weight by gradient steps and differentiates through them, and `Descent`, its class."""
HEAD_DESCENT = learner_that(takes="first_order inner_clip", gradient_free_adapt=False)
"""Name of a learner that takes gradient steps, the cheapest there is: of the head alone. `HeadDescent` is its class."""
ORDERED = learner_that(order_free=False, exact_gradient=False)
"""Name of a learner that follows its examples' order, and whose meta-update is no derivative. `Ordered` is its class."""
EXAMPLES = {PROTOTYPES, MEMORY, DESCENT, HEAD_DESCENT, ORDERED}
"""Names of the learners with which everything that is no learner is tested."""
PROCESS = next(name for name in discovery.names("learners") if discovery.load("learners", name).spread is not Learner.spread)
"""Name of a learner that predicts the spread of values."""
Prototypes, Memory, Descent, HeadDescent, Ordered = (
    discovery.load("learners", name) for name in (PROTOTYPES, MEMORY, DESCENT, HEAD_DESCENT, ORDERED)
)
EVERY_NET = (DESCENT, PROTOTYPES)
"""The two learners that meet every net and normalisation; the others do so in `make test-all` only, and meet an MLP's always."""


def on(names: list[str], *nets: tuple[Any, ...], always: tuple[str, ...] = EVERY_NET) -> list[Any]:
    """Return learners with nets: those of `always` as usual, the product of the others marked as one."""
    return [pytest.param(name, *net, marks=() if name in always else pytest.mark.product) for name in names for net in nets]


def make_net(kind: str = "mlp", norm: str = "none") -> nn.Module:
    """Return a net of a few hundred weights for examples of shape `SHAPES[kind]`."""
    if kind == "conv4":
        return Conv4(in_channels=1, image_size=16, channels=4, norm=norm)
    return MLP(in_features=6, hidden=(8, 6), norm=norm)


def make_learner(
    name: str, kind: str = "mlp", norm: str = "none", *, seed: int = 0, dtype: torch.dtype = torch.float64, **changes: Any
) -> Learner:
    """Return a discovered learner on a small net, with every parameter and statistic moved away from zero and one."""
    torch.manual_seed(seed)
    learner = discovery.load("learners", name)(make_net(kind, norm), **(case(name, "SMALL", {}) | changes))
    with torch.no_grad():
        for key, value in learner.state_dict().items():
            value.add_((0.1 if key.endswith("var") else 0.2) * torch.rand_like(value))
    return learner.to(dtype)


def teach(learner: Learner, batches: Iterable[Task]) -> None:
    """Meta-train a learner by one step on each batch of tasks, at a rate for few steps and a small net."""
    outer = learner.meta_optimizer
    lr = outer["lr"] * (5 if outer["optimizer"] == "adam" else 1)
    optimizer = OPTIMIZERS[outer["optimizer"]](learner.parameters(), lr=lr)
    for tasks in batches:
        meta_gradient(learner, tasks, "vmap")
        optimizer.step()


def check_solved_in_full_precision(learner: Learner) -> None:
    """Hold the head that a learner solves for in mixed precision against the one without."""
    rows, labels, _ = drawn(1)
    support = Examples(torch.from_numpy(rows).float(), one_hot(torch.from_numpy(labels), 4))
    expected = learner.adapt(support)["head"]
    with torch.autocast("cpu", torch.bfloat16):
        found = learner.adapt(support)["head"]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


def make_tasks(
    count: int = 1,
    *,
    seed: int = 0,
    kind: str = "mlp",
    ways: int = WAYS,
    shots: int = 3,
    queries: int = 3,
    ragged: bool = False,
    dtype: torch.dtype = torch.float64,
) -> Task:
    """Return a batch of tasks of Gaussian blobs, shot-major as from `ClassTasks`.

    Args:
        count: tasks.
        seed: which tasks.
        kind: the net that the examples are for.
        ways: classes.
        shots: support examples per class.
        queries: query examples per class.
        ragged: ways and shots differ from task to task and class to class, with masks; padding holds loud nonsense.
        dtype: of inputs and targets.
    """
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(count, ways, *SHAPES[kind], generator=generator, dtype=dtype)
    task, way = torch.arange(count).view(-1, 1, 1), torch.arange(ways)
    exists = way < 2 + task % max(ways - 1, 1)
    parts = []
    for per_way, most in ((shots, 1 + (task + way) % shots), (queries, queries)):
        labels = way.repeat(per_way)
        x = centres[:, labels] + 0.6 * torch.randn(count, len(labels), *SHAPES[kind], generator=generator, dtype=dtype)
        y = OneHot(one_hot(labels, ways, dtype).rows.expand(count, -1, -1))
        mask = ((torch.arange(per_way).view(1, -1, 1) < most) & exists).flatten(1) if ragged else None
        if mask is not None:
            loud = 5 * torch.randn(x.shape, generator=generator, dtype=dtype)
            x = torch.where(mask.view(*mask.shape, *(1,) * len(SHAPES[kind])), x, loud)
        parts.append(Examples(x, y, mask))
    return Task(*parts)


def as_values(task: Task) -> Task:
    """Return the task with its answers as numbers: those of the one-hot rows."""
    support, query = (dataclasses.replace(part, y=Values(part.y.rows)) for part in (task.support, task.query))
    return Task(support, query)


class Blobs:
    """Tasks by index, of Gaussian blobs in float32."""

    target: ClassVar[str] = "classes"
    input: ClassVar[RowsSpec] = RowsSpec(features=6)

    def batch(self, indices: range) -> Task:
        return make_tasks(len(indices), seed=indices.start, dtype=torch.float32)

    def __getitem__(self, index: int) -> Task:
        return self.batch(range(index, index + 1))[0]

    def fingerprint(self, count: int) -> str:
        return "blobs"

    def describe(self) -> dict[str, Any]:
        return {"dataset": "blobs"}


def variants(name: str) -> list[dict[str, Any]]:
    """Return the default configuration of a learner, and each option (choices, switches, ways of the head, clipping) turned alone."""
    make = discovery.load("learners", name)
    hints = typing.get_type_hints(make.__init__)
    found: list[dict[str, Any]] = [{}]
    for key, parameter in inspect.signature(make.__init__).parameters.items():
        if typing.get_origin(hints.get(key)) is typing.Literal:
            found += [{key: value} for value in typing.get_args(hints[key]) if value != parameter.default]
        elif isinstance(parameter.default, bool):
            found.append({key: not parameter.default})
    if "head_ways" in hints:
        found.append({"head_ways": WAYS})
    if "inner_clip" in hints:
        found.append({"inner_clip": 0.1})
    return found


def shown(value: Any) -> str | None:
    """Test id of a variant."""
    if isinstance(value, dict):
        return ",".join(f"{key}={setting}" for key, setting in value.items()) or "default"
    return None


def rows(examples: Examples, chosen: Tensor | slice) -> Examples:
    """Return some of the examples, in the given order."""
    return tree_map(lambda leaf: leaf[chosen], examples)


def apart(a: Tensor, b: Tensor) -> float:
    """Largest difference, relative to the largest value; hidden ways must be the same ones, and are left out."""
    assert a.shape == b.shape
    there = b > ABSENT / 2
    assert torch.equal(a > ABSENT / 2, there)
    return float((a - b)[there].detach().abs().max() / b[there].detach().abs().max().clamp(min=1e-12))


def gradients(learner: Learner) -> dict[str, Tensor]:
    """Return a copy of `.grad` of every parameter, zero where there is none."""
    return {
        name: torch.zeros_like(value) if value.grad is None else value.grad.clone()
        for name, value in learner.named_parameters()
    }


def furthest(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """Largest difference of two sets of gradients, relative to the largest value."""
    assert found.keys() == expected.keys()
    scale = max(float(value.detach().abs().max()) for value in expected.values())
    assert scale > 1e-6, "the gradient is zero, so that nothing would be compared"
    return max(float((found[name] - value).detach().abs().max()) for name, value in expected.items()) / scale


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, labels with unequal counts, and queries."""
    random = np.random.default_rng(seed)
    return random.normal(size=(17, 5)), np.array([0, 1, 2, 3] * 3 + [0] * 5), random.normal(size=(200, 5))
