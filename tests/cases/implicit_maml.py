"""Hold the meta-gradient of implicit MAML against that of the minimum, and not of the steps that lead there."""

from __future__ import annotations

import torch
from builders import furthest, gradients, make_learner, make_tasks
from torch import Tensor

from quickstudy.learners import _weights
from quickstudy.training.engine import meta_gradient

SMALL = {"inner_steps": 2, "inner_lr": 0.05, "solver_steps": 2}


def check_gradient(norm: str, ragged: bool) -> None:
    """Hold the meta-gradient against `(I + H / (lambda + damping))^-1 g` with the whole matrix H, and g, at the adapted weights."""
    learner = make_learner("implicit_maml", norm=norm, inner_lr=0.01, proximity=40.0, solver_steps=60, head_ways=3)
    task = make_tasks(ragged=ragged, seed=3)
    meta_gradient(learner, task, "vmap")
    adapted = dict(learner.adapt(task[0].support))
    names = [name for name, _ in learner.named_parameters()]
    sizes = [adapted[name].numel() for name in names]

    def on_the_query_set(flat: Tensor) -> Tensor:
        """Return the loss of the query set, normalised by the support set under the same weights."""
        front = _weights.Front(task[0].support, 0, {})
        state = _weights.to_state(learner, unflattened(flat), front, {"counts": adapted["counts"]})
        return task[0].query.y.loss(learner.predict(state, task[0].query.x), task[0].query.weight)

    def on_the_support_set(flat: Tensor) -> Tensor:
        return _weights.loss(learner, unflattened(flat), task[0].support, {"counts": adapted["counts"]})

    def unflattened(flat: Tensor) -> dict[str, Tensor]:
        parts = flat.split(sizes)
        return {name: part.view(adapted[name].shape) for name, part in zip(names, parts, strict=True)}

    ends = torch.cat([adapted[name].detach().flatten() for name in names]).requires_grad_(True)
    (slope,) = torch.autograd.grad(on_the_query_set(ends), ends)
    hessian = torch.autograd.functional.hessian(on_the_support_set, ends)
    expected = torch.linalg.solve(torch.eye(len(ends)) + hessian / (learner.proximity + learner.damping), slope)
    assert furthest(gradients(learner), unflattened(expected)) < 1e-8
