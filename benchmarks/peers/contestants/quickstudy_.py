"""quickstudy, by its public interface."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import torch
from _images import CHECKED_EPISODES
from _serve import Job, Setting, Unsupported, Work, serve
from _torch import DEVICE, dtype_of, gradient_of, synchronize
from torch.utils._pytree import tree_map

from quickstudy.data import load
from quickstudy.data.known.omniglot import rotated
from quickstudy.learner import Learner
from quickstudy.learners.anil import ANIL
from quickstudy.learners.maml import MAML
from quickstudy.learners.protonet import ProtoNet
from quickstudy.nets.conv4 import Conv4
from quickstudy.nets.mlp import MLP
from quickstudy.objectives.classes import one_hot
from quickstudy.objectives.values import Values
from quickstudy.task import Examples, Task
from quickstudy.tasks._draw import Draw
from quickstudy.tasks.classes import ClassTasks
from quickstudy.tasks.source import TaskSource
from quickstudy.training.evaluate import evaluate
from quickstudy.training.memory import keep_freed_memory
from quickstudy.training.plans import choose_engine
from quickstudy.training.settings import EngineSettings, TrainingSettings


def make_engine(learner: Learner, tasks: Task) -> Callable[[Task], torch.Tensor]:
    """Set `.grad` to the mean over a batch of tasks and return the mean loss: all of quickstudy's engine that is used here."""
    keep_freed_memory()  # as the command line does
    engine, why = choose_engine(learner, tasks, EngineSettings(), run=lambda per_task: math.inf)
    print(f"{engine.plan} ({why})", file=sys.stderr)
    return engine


class Gradients:
    """Mean meta-gradients of the given tasks; variant `bf16`: in mixed precision, unless they are to be compared in float64."""

    def __init__(self, work: Work, variant: str, setting: Setting) -> None:
        torch.set_num_threads(setting["threads"])
        self.tasks, self.learner = work["tasks"], make_learner(work)
        self.mixed = variant == "bf16" and dtype_of(work) != torch.float64
        self.batch = given_tasks(work).to(DEVICE)
        with precision(self.mixed):
            self.engine = make_engine(self.learner, self.batch)

    def before(self) -> None:
        pass

    def step(self) -> None:
        with precision(self.mixed):
            self.engine(self.batch)
        synchronize()

    def check(self) -> dict[str, np.ndarray]:
        self.step()
        return {theirs(name): gradient_of(value) for name, value in self.learner.named_parameters()}


@dataclasses.dataclass(frozen=True)
class Given:
    """Tasks in memory, as `evaluate` takes them."""

    tasks: Task

    @property
    def target(self) -> str:
        return self.tasks.support.y.name

    def batch(self, indices: range) -> Task:
        return self.tasks[indices.start : indices.stop]

    def fingerprint(self, count: int) -> str:
        return f"given-{count}"

    def describe(self) -> dict[str, Any]:
        return {}


class Evaluation:
    """Evaluations of one learner on the given tasks; its graphs are kept from step to step."""

    def __init__(self, work: Work, setting: Setting) -> None:
        torch.set_num_threads(setting["threads"])
        keep_freed_memory()  # as the command line does
        self.tasks, self.given, self.learner = work["tasks"], Given(given_tasks(work)), make_learner(work)
        self.accuracy = np.zeros(0)

    def before(self) -> None:
        pass

    def step(self) -> None:
        self.accuracy = evaluate(self.learner, cast(TaskSource, self.given), self.tasks).scores
        synchronize()

    def check(self) -> dict[str, np.ndarray]:
        self.step()
        return {"accuracy": self.accuracy}


class Sampling:
    """Batches of tasks from a folder of images; the rotations are classes."""

    tasks = 32

    def __init__(self, work: Work) -> None:
        dataset = rotated(load(work["images"], "all", size=28, channels=1, ink="dark"))
        self.source = ClassTasks(dataset, work["ways"], work["shots"], work["queries"])
        self.done = 0

    def before(self) -> None:
        pass

    def step(self) -> None:
        self.batch = self.source.batch(range(self.done, self.done + self.tasks))
        self.done += self.tasks

    def check(self) -> dict[str, np.ndarray]:
        self.step()
        task = self.batch[0]
        return {
            "support_x": task.support.x.numpy(),  # pyright: ignore[reportAttributeAccessIssue]
            "support_y": task.support.y.rows.argmax(-1).numpy(),
            "query_x": task.query.x.numpy(),  # pyright: ignore[reportAttributeAccessIssue]
            "query_y": task.query.y.rows.argmax(-1).numpy(),
        }


FAST = TrainingSettings(steps=600, lr=4e-3, schedule="cosine")
FAST_TASKS = {"queries": 2, "draw": Draw(augment="affine")}
FAST_LEARNER = {"distance": "euclidean", "pairs": True}
"""What was found to be fast for the race, on validation characters: a higher rate that falls to 0, fewer queries, since it is classes that
a step is short of, and all examples compared with each other.
"""
SAME_LEARNER = {"distance": "euclidean"}
"""As easyfsl trains."""


class PrototypeTraining:
    """Task, meta-gradient, Adam step, as `fit` does it; variant `bf16`: in mixed precision; a race is run with `FAST` settings, or in
    variant `same` with easyfsl's.
    """

    tasks = 1

    def __init__(self, work: Work, variant: str, setting: Setting) -> None:
        torch.set_num_threads(setting["threads"])
        fast = work["kind"] == "race" and variant != "same"
        options = (FAST_LEARNER if fast else SAME_LEARNER) if work["kind"] == "race" else {}
        self.work, self.learner, self.mixed = work, make_learner(work, **options), variant == "bf16"
        self.settings = FAST if fast else TrainingSettings(lr=1e-3, schedule="constant")
        dataset = load(work["images"], "all", size=28, channels=1, ink="dark")
        tasks = {"queries": work["queries"]} | (FAST_TASKS if fast else {})
        self.source = ClassTasks(dataset, work["ways"], work["shots"], seed=work["seed"], **tasks)
        self.optimizer = torch.optim.Adam(self.learner.parameters())
        self.done, self.last = 0, 0.0

    @functools.cached_property
    def engine(self) -> Callable[[Task], torch.Tensor]:
        """Chosen in the first step, which a race counts."""
        with precision(self.mixed):
            return make_engine(self.learner, self.source.batch(range(1)).to(DEVICE))

    def before(self) -> None:
        pass

    def step(self) -> None:
        tasks = self.source.batch(range(self.done, self.done + 1)).to(DEVICE)
        with precision(self.mixed):
            self.last = float(self.engine(tasks))
        self.optimizer.param_groups[0]["lr"] = self.settings.rate(self.done, 0.0)
        self.optimizer.step()
        self.done += 1
        synchronize()

    def check(self) -> dict[str, np.ndarray]:
        if self.work["kind"] == "race":
            weights = {theirs(name): value.detach() for name, value in self.learner.named_parameters()}
            return {name: value.contiguous().cpu().numpy() for name, value in weights.items()}
        losses = []
        for _ in range(CHECKED_EPISODES):
            self.step()
            losses.append(self.last)
        return {"loss": np.array(losses)}


def precision(mixed: bool) -> torch.autocast:
    return torch.autocast(DEVICE.type, torch.bfloat16, enabled=mixed)


def make_learner(work: Work, **options: Any) -> Learner:
    """Return the learner with the given weights; `options` of prototypes."""
    net = MLP(in_features=1, hidden=(40, 40)) if work["net"] == "mlp" else Conv4(halving=work["net"])
    if work["kind"] in ("protonet", "race"):
        learner: Learner = ProtoNet(net, **options)
    else:
        shared = {"inner_lr": work["inner_lr"], "inner_steps": work["inner_steps"], "first_order": work["first_order"]}
        shared |= {"head_ways": work["ways"], "statistics": "query"}
        learner = (ANIL if work["learner"] == "anil" else MAML)(net, **shared)
    with np.load(work["weights"]) as weights:
        load_weights(learner, weights)
    return learner.to(DEVICE, dtype_of(work))


@torch.no_grad()
def load_weights(learner: Learner, weights: Mapping[str, np.ndarray]) -> None:
    """Set a learner's weights to what the other contestants' names stand for."""
    for name, parameter in learner.named_parameters():
        parameter.copy_(torch.from_numpy(weights[theirs(name)]))


def theirs(name: str) -> str:
    """Return the other contestants' name of a parameter.

    >>> theirs("net.blocks.2.1.bias"), theirs("net.layers.1.0.weight"), theirs("head.weight")
    ('body.norm2.bias', 'body.linear0.weight', 'head.weight')
    """
    if name.startswith("head."):
        return name
    _, kind, block, layer, part = name.split(".")
    if kind == "layers":
        return f"body.linear{int(block) - 1}.{part}"
    return f"body.{('conv', 'norm')[int(layer)]}{block}.{part}"


def given_tasks(work: Work) -> Task:
    """Return the tasks that every contestant is given."""
    with np.load(work["data"]) as data:
        parts = {name: torch.from_numpy(data[name][: work["tasks"]]) for name in data}
    regression = work["net"] == "mlp"
    support_y, query_y = (
        Values(parts[name]) if regression else one_hot(parts[name], work["ways"]) for name in ("support_y", "query_y")
    )
    given = Task(Examples(parts["support_x"], support_y), Examples(parts["query_x"], query_y))
    return tree_map(lambda part: part.to(dtype_of(work)), given)


def settings(work: Work, variant: str) -> list[Setting]:
    if variant == "bf16" and work["net"] == "mlp":
        raise Unsupported("bfloat16 is measured on images")
    return [{"threads": os.cpu_count() or 1}]  # the engine finds out itself how to use them


def build(work: Work, variant: str, setting: Setting) -> Job:
    if work["kind"] == "sampling":
        return Sampling(work)
    if work["kind"] in ("protonet", "race"):
        return PrototypeTraining(work, variant, setting)
    job = Evaluation(work, setting) if work["kind"] == "evaluate" else Gradients(work, variant, setting)
    return cast(Job, job)


if __name__ == "__main__":
    serve(settings, build, ("torch", "quickstudy"))
