"""Small tasks on rows of numbers, and learners for them."""

from __future__ import annotations

import dataclasses
import inspect
import multiprocessing
import pathlib
import signal
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from builders import DESCENT, ORDERED, PROTOTYPES, Prototypes
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from quickstudy import discovery
from quickstudy.inputs.rows import RowsSpec
from quickstudy.learner import Learner
from quickstudy.nets.mlp import MLP
from quickstudy.objectives.classes import one_hot
from quickstudy.task import Examples, Task
from quickstudy.training.settings import EngineSettings, TrainingSettings, ValidationSettings
from quickstudy.training.tracking import read_metrics

FEATURES = 4
KINDS = sorted({PROTOTYPES, DESCENT, ORDERED})
"""One learner of each sort: adapting takes a gradient or not, and the meta-update is the derivative of the loss or not."""


def small(name: str) -> dict[str, int]:
    """Hyperparameters with which a learner is quick: no count is above 4."""
    counts = inspect.signature(discovery.load("learners", name)).parameters.values()
    return {one.name: min(one.default, 4) for one in counts if type(one.default) is int}


def weights(learner: nn.Module) -> torch.Tensor:
    """All parameters in one row of float64."""
    return torch.cat([value.detach().flatten().double() for value in learner.parameters()])


@dataclasses.dataclass(frozen=True)
class Rows:
    """Tasks that tell clouds of points apart, each a pure function of (seed, index).

    Args:
        spread: of the points around their class's centre, where centres have spread 1.
        poison: index of the first task whose query inputs are not numbers.
        interrupt: indices of tasks; when they are drawn, Ctrl-C is pressed.
        drop: way of which the support set of task `drop_at` has no example.
    """

    seed: int = 0
    ways: int = 3
    shots: int = 2
    queries: int = 4
    spread: float = 0.7
    poison: int | None = None
    interrupt: tuple[int, ...] = ()
    drop: int | None = None
    drop_at: int = 0
    dtype: torch.dtype = torch.float32
    target: ClassVar[str] = "classes"
    input: ClassVar[RowsSpec] = RowsSpec(FEATURES)

    def batch(self, indices: range) -> Task:
        for index in indices:
            for _ in range(self.interrupt.count(index)):
                signal.raise_signal(signal.SIGINT)
        tasks = [self._task(index) for index in indices]
        return Task(*(self._stack([getattr(task, part) for task in tasks]) for part in ("support", "query")))

    def fingerprint(self, count: int) -> str:
        return f"rows {self.seed} {count}"

    def describe(self) -> dict[str, Any]:
        return {"dataset": "rows", "ways": self.ways, "shots": self.shots, "queries": self.queries, "seed": self.seed}

    def _task(self, index: int) -> Task:
        rng = np.random.default_rng([self.seed, index])
        centres = rng.normal(size=(self.ways, 1, FEATURES))
        points = centres + self.spread * rng.normal(size=(self.ways, self.shots + self.queries, FEATURES))
        if self.poison is not None and 0 <= self.poison <= index < 2**30:
            points[:, self.shots :] = np.nan
        ways = torch.arange(self.ways)
        x = torch.tensor(points, dtype=self.dtype)
        shown = ways.repeat_interleave(self.shots)
        if self.drop is not None and index == self.drop_at:
            shown = torch.where(shown == self.drop, 0, shown)
        asked = ways.repeat_interleave(self.queries)
        return Task(
            Examples(x[:, : self.shots].flatten(0, 1), one_hot(shown, self.ways, self.dtype)),
            Examples(x[:, self.shots :].flatten(0, 1), one_hot(asked, self.ways, self.dtype)),
        )

    @staticmethod
    def _stack(parts: list[Examples]) -> Examples:
        return tree_map(lambda *leaves: torch.stack(leaves), *parts)


class Faded(Prototypes):
    """Prototypes whose loss fades out as training goes on."""

    anneals: ClassVar[bool] = True

    def loss(self, task: Task) -> Tensor:
        return (1 - self.progress) * super().loss(task)


class Counted(Prototypes):
    """Prototypes whose loss is scaled by one more than the times that something was measured."""

    measured_every: ClassVar[int | None] = 3

    def __init__(self, net: nn.Module) -> None:
        super().__init__(net)
        self.register_buffer("times", torch.zeros(()))

    def loss(self, task: Task) -> Tensor:
        return super().loss(task) * (1 + self.times)

    def calibrate(self, tasks: Iterable[Task]) -> None:
        super().calibrate(tasks)
        self.times += 1


@pytest.fixture
def rows() -> type[Rows]:
    return Rows


@pytest.fixture
def make_learner() -> Callable[..., Learner]:
    """Return a learner by name on a small net, the same every time."""

    def make(name: str = PROTOTYPES, norm: str = "none", dtype: torch.dtype = torch.float32, **options: Any) -> Learner:
        torch.manual_seed(0)
        return discovery.load("learners", name)(MLP(FEATURES, hidden=(8,), norm=norm), **(small(name) | options)).to(dtype)

    return make


@pytest.fixture
def settings() -> Callable[..., TrainingSettings]:
    """Return settings of a training that takes a moment; those of validation are a dict."""

    def make(**changes: Any) -> TrainingSettings:
        usual = {
            "steps": 6,
            "tasks_per_step": 2,
            "engine": EngineSettings("loop", capture=False, workers=1),
            "lr": 0.01,
        }
        validation = ValidationSettings(**({"every": 4, "tasks": 5} | changes.pop("validation", {})))
        return TrainingSettings(**(usual | changes), validation=validation)

    return make


def table(out: pathlib.Path, *columns: str) -> list[list[str]]:
    """Return columns of a run's metrics, row by row."""
    return [[row[column] for column in columns] for row in read_metrics(out / "metrics.csv")]


@pytest.fixture
def nothing_left_behind() -> Iterator[None]:
    """No process outlives its test, however that ends; those of other tests' pools are theirs."""
    before = set(multiprocessing.active_children())
    yield
    left = [process for process in multiprocessing.active_children() if process not in before]
    for process in left:
        process.kill()
        process.join()
    assert not left
