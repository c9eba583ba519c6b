"""Do support and query set of a task share an example?"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from quickstudy.objectives.values import Values
from quickstudy.task import Examples
from quickstudy.training.doctor._limits import LIMITS
from quickstudy.training.doctor._patient import Finding, Patient


def check(patient: Patient) -> Finding:
    """Count the tasks in which a query equals a support example, number by number."""
    shared = [_shared(task.support, task.query) for task in patient.each()]
    tasks, queries = sum(count > 0 for count in shared), sum(shared)
    figures = {"tasks": tasks, "queries": queries, "of_tasks": len(shared)}
    if not tasks:
        return Finding("good", f"in {len(shared)} tasks, no query is a support example", figures=figures)
    text = f"in {tasks} of {len(shared)} tasks, {queries} queries are support examples"
    advice = "such queries are known answers: draw support and query without replacement, and look for equal files in the data"
    return Finding("bad" if tasks > LIMITS.known * len(shared) else "look", text, advice, figures)


def _shared(support: Examples, query: Examples) -> int:
    """Return how many queries have the inputs of a support example; padding does not count."""
    shown, asked = (_rows(part) for part in (support, query))
    return int((asked.unsqueeze(1) == shown).all(-1).any(1).sum())


def _rows(examples: Examples) -> Tensor:
    """Return all inputs of each example that counts in one row, `[example, number]`; with its values, if it has some.

    Two measurements at one point of a curve are two examples, unless their values are equal too.
    """
    real = examples.weight > 0
    parts = [*tree_leaves(examples.x), *([examples.y.rows] if isinstance(examples.y, Values) else [])]
    return torch.cat([part[real].flatten(1).double() for part in parts], dim=1)
