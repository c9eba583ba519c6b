"""Are the meta-gradients of this net right, second derivatives too?"""

from __future__ import annotations

import torch
from torch import Tensor

from quickstudy.errors import ModelError
from quickstudy.functional.call import with_tensors
from quickstudy.learner import Learner, hyperparameters
from quickstudy.task import Task
from quickstudy.training.doctor._limits import LIMITS
from quickstudy.training.doctor._patient import Finding, Patient, does_not_apply
from quickstudy.training.meta_gradient import Mapping, Tensors, in_double, summed_gradient, tensors_of


def check(patient: Patient) -> Finding:
    """Compare a loop over tasks with a difference of losses, with `vmap` of a gradient, and with one joint gradient."""
    if not any(value.requires_grad for value in patient.learner.parameters()):
        return does_not_apply("the learner has no parameters to train")
    try:
        learner, tasks = in_double(patient.learner, patient.tasks.batch(range(LIMITS.gradients)))
    except (RuntimeError, NotImplementedError, TypeError) as error:
        return does_not_apply(f"the learner has no copy in float64 ({_first_line(error)})")
    try:
        right = _flat(learner, tasks, "loop")
    except ModelError as error:
        return Finding("bad", str(error), "replace that layer, or train with first_order=True")
    figures: dict[str, float] = {}
    if learner.exact_gradient and not hyperparameters(learner).get("first_order"):
        figures["slope"] = _slope_error(learner, tasks, right)
    others: dict[Mapping, str] = {}
    for mapping in ("vmap", "joint"):
        try:
            figures[mapping] = float(torch.dist(_flat(learner, tasks, mapping), right) / right.norm().clamp(min=1e-30))
        except (RuntimeError, NotImplementedError, ModelError) as error:
            others[mapping] = f"{mapping} fails ({_first_line(error)})"
    return _judged(figures, others)


def _judged(figures: dict[str, float], others: dict[Mapping, str]) -> Finding:
    """Return the verdict on relative differences; NaN is never right."""
    words = {"slope": "a difference of losses", "vmap": "vmap(grad)", "joint": "a joint gradient"}
    text = "relative difference from " + ", ".join(f"{words[name]} {error:.1g}" for name, error in figures.items())
    text = "; ".join([text, *others.values()]) if figures else "; ".join(others.values())
    if not figures.get("slope", 0.0) <= LIMITS.slope:
        return Finding("bad", text, "a layer's second derivative is wrong: build it of torch's own operations", figures)
    if not figures.get("vmap", 0.0) <= LIMITS.exact:
        return Finding(
            "bad", text, "a layer is wrong under vmap: train with engine.mapping=loop, or replace the layer", figures
        )
    if not figures.get("joint", 0.0) <= LIMITS.exact:
        advice = "never take grad(vmap(...)) through this net; fit compares first, and does not"
        return Finding("look", text, advice, figures)
    if "vmap" in others:
        return Finding("look", text, "the loop is right, and the only way that this net can be mapped", figures)
    return Finding("good", text, figures=figures)


def _flat(learner: Learner, tasks: Task, mapping: Mapping) -> Tensor:
    """Return the summed meta-gradient in one row."""
    parameters, others = tensors_of(learner)
    gradients, _ = summed_gradient(learner, mapping)(parameters, others, tasks)
    return torch.cat([gradients[name].flatten() for name in parameters])


def _slope_error(learner: Learner, tasks: Task, gradient: Tensor) -> float:
    """Return how far the gradient's slope along a random direction is from the difference of losses there, as a share of it."""
    parameters, others = tensors_of(learner)
    direction = torch.randn(gradient.shape, generator=torch.Generator().manual_seed(0), dtype=gradient.dtype)
    direction = (direction / direction.norm()).to(gradient.device)
    parts = direction.split([value.numel() for value in parameters.values()])
    along = {name: part.view_as(value) for (name, value), part in zip(parameters.items(), parts, strict=True)}
    slope = float(gradient @ direction)
    ahead, behind = (
        _loss(learner, {name: value + sign * LIMITS.step * along[name] for name, value in parameters.items()} | others, tasks)
        for sign in (1, -1)
    )
    measured = (ahead - behind) / (2 * LIMITS.step)
    usual = float(gradient.norm()) / gradient.numel() ** 0.5
    return abs(slope - measured) / max(abs(slope), abs(measured), usual, 1e-30)


def _loss(learner: Learner, tensors: Tensors, tasks: Task) -> float:
    """Return the summed loss of tasks under these weights."""
    held = with_tensors(learner, tensors)
    with torch.no_grad():
        return sum(float(held.loss(tasks[index])) for index in range(tasks.count))


def _first_line(error: Exception) -> str:
    """Return the beginning of an error's first line."""
    return (str(error).splitlines() or [type(error).__name__])[0][:80]
