"""Measure how accurate a bundle itself is: its graphs run on tasks, as they will run on a device."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from quickstudy.runtime.learner import Learner
from quickstudy.runtime.manifest import Manifest
from quickstudy.runtime.skill_file import engine_of
from quickstudy.task import Examples, Input
from quickstudy.tasks.classes import ClassTasks
from quickstudy.training.evaluate import Result, evaluate
from quickstudy.training.exported import arrays, of_graphs
from quickstudy.training.protocols import under_each_protocol
from quickstudy.training.saving import SavedLearner


def to_adapt(support: Examples, manifest: Manifest) -> dict[str, np.ndarray]:
    """Return the inputs of the graph `adapt`: the examples without padding, and the default settings."""
    real = support.weight > 0
    settings = {
        name: np.array(value, np.int64 if isinstance(value, int) else np.float32) for name, value in manifest.settings.items()
    }
    x = tree_map(lambda part: part[real], support.x)
    return {**named_parts("support", x, manifest), "support.y": given(support)[real].numpy(), **settings}


def given(support: Examples) -> Tensor:
    """Return the answers of examples as a graph is given them: rows, or places of sequences."""
    (answers,) = tree_leaves(support.y)
    return answers


def named_parts(part: str, x: Input, manifest: Manifest) -> dict[str, np.ndarray]:
    """Return inputs as a graph takes them, `PART.NAME`; a bare tensor is the input's single part."""
    return {f"{part}.{name}": value for name, value in arrays(x, next(iter(manifest.layout))).items()}


def logits(learner: Any, support: Examples, x: Input) -> np.ndarray:
    """Adapt a learner to a task, and return its predictions, `[query, way]`.

    Args:
        learner: a bundle's `Learner`, a saved learner, or the engine of one of these.
        support: support set of the task, as the network sees it.
        x: inputs of the task's queries.
    """
    engine = engine_of(learner)
    name, real = next(iter(engine.reader_for(None).layout())), support.weight > 0
    shown = arrays(tree_map(lambda part: part[real], support.x), name)
    state = engine.adapt(shown, given(support)[real].numpy(), engine.defaults)
    return engine.outputs(state, arrays(x, name))["prediction"]


def accuracy(learner: Learner, tasks: ClassTasks, count: int) -> Result:
    """Return the accuracy of a bundle's graphs, as `evaluate` measures a learner's."""
    return evaluate(of_graphs(learner), tasks, count)


def results(saved: SavedLearner, learner: Learner, tasks: ClassTasks, count: int) -> list[dict[str, Any]]:
    """Return the bundle's accuracy under its protocol, and the float32 learner's under the other one if batch norm makes two."""
    rows = [accuracy(learner, tasks, count).to_dict() | {"precision": learner.manifest.precision}]
    for other in under_each_protocol(saved.learner):
        if other.protocol != saved.learner.protocol:
            rows.append(evaluate(other, tasks, count).to_dict() | {"precision": "float32"})
    return rows
