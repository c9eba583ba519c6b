"""Engine: the exact mean meta-gradient of a batch of tasks, computed by a plan."""

from __future__ import annotations

from torch import Tensor

from quickstudy.functional.call import trainable
from quickstudy.learner import Learner
from quickstudy.task import Task
from quickstudy.training.graphs import Captured
from quickstudy.training.meta_gradient import Mapping, added, summed_gradient, tensors_of
from quickstudy.training.settings import EngineSettings, plan


class Engine:
    """Sets `.grad` of every meta-parameter that trains to the mean over a batch of tasks.

    Args:
        learner: whose `loss` is differentiated.
        plan: settings of which nothing is left to be measured.
    """

    def __init__(self, learner: Learner, plan: EngineSettings) -> None:
        assert plan.mapping != "auto"
        self.learner, self.plan = learner, plan
        self.gradient = summed_gradient(learner, plan.mapping)
        self.captured = Captured(learner, self.gradient, compiled=bool(plan.compile)) if plan.capture else None

    def __call__(self, tasks: Task) -> Tensor:
        """Set the gradients and return the mean loss over the tasks, a scalar."""
        count = tasks.count
        parameters, others = tensors_of(self.learner)
        parts = self.chunks(count)
        chunks = [tasks[part] for part in parts] if len(parts) > 1 else [tasks]
        if self.captured is None:
            found = [self.gradient(parameters, others, chunk) for chunk in chunks]
        else:
            found = self.captured.replay(parameters, others, chunks, self.plan.workers or 1)
        gradients, loss = added(found)
        for name, parameter in trainable(self.learner).items():
            parameter.grad = gradients[name] / count
        return loss / count

    def chunks(self, count: int) -> list[slice]:
        """Return chunks of sizes as equal as can be, since every size is captured anew."""
        most = 1 if self.plan.mapping == "loop" else min(self.plan.chunk or count, -(-count // (self.plan.workers or 1)))
        parts = -(-count // most)
        return [slice(part * count // parts, (part + 1) * count // parts) for part in range(parts)]


def meta_gradient(learner: Learner, tasks: Task, mapping: Mapping, chunk: int | None = None) -> Tensor:
    """Set `.grad` to the mean over the tasks, without preparations, and return the mean loss, a scalar."""
    return Engine(learner, plan(mapping, chunk=chunk))(tasks)
