"""Measure how accurate a bundle itself is: its graphs run on tasks, as they will run on a device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from quickstudy.runtime.learner import Learner
from quickstudy.runtime.manifest import Manifest
from quickstudy.task import Examples, Input
from quickstudy.tasks.classes import ClassTasks
from quickstudy.training.evaluate import Result, evaluate
from quickstudy.training.measures import ACCURACY
from quickstudy.training.protocols import under_each_protocol
from quickstudy.training.saving import SavedLearner


def to_adapt(support: Examples, manifest: Manifest) -> dict[str, np.ndarray]:
    """Return the inputs of the graph `adapt`: the examples without padding, and the default settings."""
    real = support.weight > 0
    settings = {
        name: np.array(value, np.int64 if isinstance(value, int) else np.float32) for name, value in manifest.settings.items()
    }
    x = tree_map(lambda part: part[real], support.x)
    return {**named_parts("support", x, manifest), "support.y": support.y.rows[real].numpy(), **settings}


def named_parts(part: str, x: Input, manifest: Manifest) -> dict[str, np.ndarray]:
    """Return inputs as a graph takes them, `PART.NAME`; a bare tensor is the input's single part."""
    parts = {next(iter(manifest.layout)): x} if isinstance(x, Tensor) else x
    return {f"{part}.{name}": value.numpy() for name, value in parts.items()}


def logits(learner: Learner, support: Examples, x: Input) -> np.ndarray:
    """Adapt a bundle to a task, and return its predictions, `[query, way]`.

    Args:
        learner: the bundle, as the runtime loads it.
        support: support set of the task, as the network sees it.
        x: inputs of the task's queries.
    """
    state = learner.run("adapt", to_adapt(support, learner.manifest))
    query = named_parts("query", x, learner.manifest)
    return learner.run("predict", query | {f"state.{name}": value for name, value in state.items()})["prediction"]


def accuracy(learner: Learner, tasks: ClassTasks, count: int) -> Result:
    """Return the accuracy of a bundle, as `evaluate` measures a learner's."""
    scores = []
    for index in range(count):
        task = tasks[index]
        predicted = torch.from_numpy(logits(learner, task.support, task.query.x))
        scores.append(float(ACCURACY.score(predicted, task.query)))
    return Result(np.array(scores), learner.manifest.protocol, tasks.describe(), tasks.fingerprint(count))


def results(saved: SavedLearner, learner: Learner, tasks: ClassTasks, count: int) -> list[dict[str, Any]]:
    """Return the bundle's accuracy under its protocol, and the float32 learner's under the other one if batch norm makes two."""
    rows = [accuracy(learner, tasks, count).to_dict() | {"precision": learner.manifest.precision}]
    for other in under_each_protocol(saved.learner):
        if other.protocol != saved.learner.protocol:
            rows.append(evaluate(other, tasks, count).to_dict() | {"precision": "float32"})
    return rows
