"""Meta-gradients of a batch of tasks, exact: a loop over tasks, or `vmap(grad(loss))` and a mean.

Never `grad(vmap(loss))` or `vmap(loss).backward()`: in second order those are silently wrong through batch, layer and instance norm.
"""

from __future__ import annotations

import time
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from quickstudy.learner import Learner
from quickstudy.task import Task

Engine = Literal["auto", "loop", "vmap"]


class _Loss(nn.Module):
    """`learner.loss` as a forward pass, so that `functional_call` can swap the meta-parameters."""

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        self.learner = learner

    def forward(self, task: Task) -> Tensor:
        return self.learner.loss(task)


def meta_gradient(learner: Learner, tasks: Task, engine: Literal["loop", "vmap"], chunk: int | None = None) -> Tensor:
    """Set `.grad` of every meta-parameter to the mean over a batch of tasks, and return the mean loss, a scalar.

    Args:
        learner: whose `loss` is differentiated.
        tasks: a batch of tasks (one leading axis on every tensor).
        engine: `loop` or `vmap`.
        chunk: tasks that vmap holds in memory at once; all by default. The loop holds one.
    """
    count = len(tasks.support.y)
    size = 1 if engine == "loop" else min(chunk or count, count)
    learner.zero_grad(set_to_none=True)
    total = torch.zeros((), device=tasks.support.y.device)
    for begin in range(0, count, size):
        if engine == "loop":
            total = total + _loop_step(learner, tasks[begin], count)
        else:
            total = total + _vmap_step(learner, tasks[begin : begin + size], count)
    return total


def choose_engine(learner: Learner, tasks: Task, chunk: int | None = None) -> tuple[Literal["loop", "vmap"], str]:
    """Measure both engines on a batch of tasks; the faster one, and the figures that say why."""
    seconds: dict[Literal["loop", "vmap"], float] = {}
    few = tasks[: min(8, len(tasks.support.y))]
    for engine in ("loop", "vmap"):
        for _ in range(2):  # the first round warms up
            begin = time.perf_counter()
            float(meta_gradient(learner, few, engine, chunk))  # float waits for a GPU
            seconds[engine] = time.perf_counter() - begin
    best = min(seconds, key=seconds.__getitem__)
    count = len(few.support.y)
    return best, ", ".join(f"{name} {count / value:.1f} tasks/s" for name, value in seconds.items())


def _loop_step(learner: Learner, task: Task, count: int) -> Tensor:
    loss = learner.loss(task) / count
    loss.backward()
    return loss.detach()


def _vmap_step(learner: Learner, tasks: Task, count: int) -> Tensor:
    model = _Loss(learner)
    parameters = dict(model.named_parameters())

    def loss(parameters: dict[str, Tensor], task: Task) -> Tensor:
        return functional_call(model, parameters, (task,))

    # vmap cannot differentiate channels-last tensors twice; clone, since contiguous() leaves those of one channel as they are
    start = {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in parameters.items()}
    gradients, losses = vmap(grad_and_value(loss), in_dims=(None, 0))(start, tasks)
    for name, parameter in parameters.items():
        summed = gradients[name].sum(0) / count
        parameter.grad = summed if parameter.grad is None else parameter.grad + summed
    return losses.sum() / count
