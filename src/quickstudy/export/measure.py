"""What a bundle itself reaches: its graphs run on tasks, as they will run on a device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from quickstudy.runtime.learner import Learner
from quickstudy.runtime.manifest import Manifest
from quickstudy.task import Examples
from quickstudy.tasks.classes import ClassTasks
from quickstudy.training.evaluate import Result, evaluate
from quickstudy.training.measures import ACCURACY
from quickstudy.training.protocols import under_each_protocol
from quickstudy.training.saving import SavedLearner


def to_adapt(support: Examples, manifest: Manifest) -> dict[str, np.ndarray]:
    """What `adapt` takes: the examples without padding, and the default settings."""
    real = support.weight > 0
    settings = {
        name: np.array(value, np.int64 if isinstance(value, int) else np.float32) for name, value in manifest.settings.items()
    }
    return {"support_x": torch.as_tensor(support.x)[real].numpy(), "support_y": support.y.rows[real].numpy()} | settings


def logits(learner: Learner, support: Examples, x: Tensor) -> np.ndarray:
    """What the bundle predicts after adapting, `[query, way]`.

    Args:
        learner: of the runtime.
        support: of one task, as the network sees it.
        x: its queries.
    """
    state = learner.run("adapt", to_adapt(support, learner.manifest))
    return learner.run("predict", {"query_x": x.numpy()} | {f"state.{name}": value for name, value in state.items()})[
        "prediction"
    ]


def accuracy(learner: Learner, tasks: ClassTasks, count: int) -> Result:
    """Accuracy of a bundle, as `evaluate` measures a learner's."""
    scores = []
    for index in range(count):
        task = tasks[index]
        predicted = torch.from_numpy(logits(learner, task.support, torch.as_tensor(task.query.x)))
        scores.append(float(ACCURACY.score(predicted, task.query)))
    return Result(np.array(scores), learner.manifest.protocol, tasks.describe(), tasks.fingerprint(count))


def results(saved: SavedLearner, learner: Learner, tasks: ClassTasks, count: int) -> list[dict[str, Any]]:
    """Accuracy of the bundle under its own protocol, and of the learner in float32 under the other one, where batch norm makes two."""
    rows = [accuracy(learner, tasks, count).to_dict() | {"precision": learner.manifest.precision}]
    for other in under_each_protocol(saved.learner):
        if other.protocol != saved.learner.protocol:
            rows.append(evaluate(other, tasks, count).to_dict() | {"precision": "float32"})
    return rows
