"""The meta-gradient of a batch of tasks as a pure function: a loop over tasks, `vmap` of a gradient, or one joint gradient."""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.func import grad_and_value, vmap
from torch.utils._pytree import tree_map

from quickstudy.errors import ModelError
from quickstudy.functional.call import with_tensors
from quickstudy.layers.attention import attends, plain_attention
from quickstudy.learner import Learner
from quickstudy.task import Task

Tensors = dict[str, Tensor]
T = TypeVar("T")
Function = Callable[[Tensors, Tensors, Task], T]
Gradient = Function[tuple[Tensors, Tensor]]
Mapping = Literal["loop", "vmap", "joint"]

NO_DERIVATIVE = re.compile(r"derivative for (?:aten::|')(\w+)'? is not implemented")
"""Message of torch about an operation that cannot be differentiated; NotImplementedError is a RuntimeError."""


def summed_gradient(learner: Learner, mapping: Mapping) -> Gradient:
    """Return a pure function of `(parameters, others, tasks)`: sums over tasks of the meta-gradient, by name, and of the loss.

    The gradient is that of `parameters`, those that train; `others` are frozen parameters and buffers. `loop` and `vmap` take `grad(loss)`
    per task, then the sum. `joint` is `grad` of the sum of `vmap(loss)`: weights that all tasks share then have one gradient, while `vmap`
    computes one for each task. A joint gradient is silently wrong in second order through torch's batch, layer and instance norm:
    compare it in float64 before you use it.
    """
    torch_convolution = any(type(module) is nn.Conv2d for module in learner.modules())

    def loss(parameters: Tensors, others: Tensors, task: Task) -> Tensor:
        return with_tensors(learner, parameters | others).loss(task)

    per_task = grad_and_value(loss)
    over_tasks = vmap(per_task, in_dims=(None, None, 0))

    def total(parameters: Tensors, others: Tensors, tasks: Task) -> Tensor:
        return vmap(loss, in_dims=(None, None, 0))(parameters, others, tasks).sum()

    def gradient(parameters: Tensors, others: Tensors, tasks: Task) -> tuple[Tensors, Tensor]:
        if mapping != "loop" and torch_convolution:  # vmap cannot differentiate a channels-last one twice
            parameters, others = (
                {name: value.clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}
                for tensors in (parameters, others)
            )
        if mapping == "joint":
            return grad_and_value(total)(parameters, others, tasks)
        if mapping == "vmap":
            gradients, losses = over_tasks(parameters, others, tasks)
            return {name: value.sum(0) for name, value in gradients.items()}, losses.sum()
        return added([per_task(parameters, others, tasks[index]) for index in range(tasks.count)])

    return _differentiable(gradient, plain=mapping != "loop" and attends(learner))


def _differentiable(gradient: Gradient, plain: bool) -> Gradient:
    """Return the same function, which composes attention of plain operations: at once, or once a fused kernel has failed in it.

    A ModelError names any other operation that has no second derivative.
    """

    def attempt(*arguments: Any) -> tuple[Tensors, Tensor]:
        with plain_attention() if plain else contextlib.nullcontext():
            return gradient(*arguments)

    def differentiated(*arguments: Any) -> tuple[Tensors, Tensor]:
        nonlocal plain
        try:
            return attempt(*arguments)
        except RuntimeError as error:
            found = NO_DERIVATIVE.search(str(error))
            if found is None:
                raise
            if plain or "scaled_dot_product" not in found[1]:
                operation = found[1].strip("_").removesuffix("_backward")
                raise ModelError(
                    f"the net uses {operation}, whose derivative has none of its own, but a second-order learner needs it. Use another "
                    "layer, or first_order=True."
                ) from error
        plain = True
        return differentiated(*arguments)

    return differentiated


def added(parts: list[tuple[Tensors, Tensor]]) -> tuple[Tensors, Tensor]:
    """Return the sums of gradients, by name, and of losses, in this order."""
    (gradients, loss), *rest = parts
    for more, other in rest:
        gradients, loss = {name: value + more[name] for name, value in gradients.items()}, loss + other
    return gradients, loss


NUDGE = 0.1
"""Standard deviation by which weights are moved before gradients are compared, since an error may be hidden while some are zero."""


def in_double(learner: Learner, tasks: Task) -> tuple[Learner, Task]:
    """Return a copy of a learner in float64 with its weights moved a little, and the tasks in float64, in which kinks hardly count.

    Raises:
        RuntimeError, NotImplementedError, TypeError: the learner cannot be copied, or the device has no float64.
    """
    copied = copy.deepcopy(learner).double()
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in copied.parameters():
            value.add_(NUDGE * torch.randn(value.shape, generator=random, dtype=value.dtype).to(value.device))
    return copied, tree_map(lambda part: part.double() if part.is_floating_point() else part, tasks)


def tensors_of(learner: Learner) -> tuple[Tensors, Tensors]:
    """Return the parameters that train, detached, and all other tensors (buffers and frozen parameters), by name."""
    trained, others = {}, dict(learner.named_buffers())
    for name, value in learner.named_parameters():
        (trained if value.requires_grad else others)[name] = value.detach()
    return trained, others
