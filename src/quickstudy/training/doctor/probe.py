"""Does the learner beat a linear probe on its own features?"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quickstudy.functional.classes import class_counts, hide_absent
from quickstudy.functional.features import frame_count
from quickstudy.functional.linear import solve
from quickstudy.learner import Learner
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.labels import MultiHot
from quickstudy.task import Task
from quickstudy.training.doctor._compare import compared
from quickstudy.training.doctor._features import embedded, net_of
from quickstudy.training.doctor._limits import LIMITS
from quickstudy.training.doctor._patient import Finding, Patient, does_not_apply


def check(patient: Patient) -> Finding:
    """Compare with ridge regression of the answers on the net's features, for classes and for values."""
    learner = patient.learner
    net = net_of(learner)
    if net is None:
        return does_not_apply("the learner has no net whose features could be compared")
    if frame_count(net) is not None:
        return does_not_apply(f"the tasks ask for {patient.tasks.target}, which do not say what is heard in each frame")
    found = compared(patient, patient.scores(lambda task: _predict(learner, net, task)), "linear probe")
    return found.finding("a linear model of the same features does as well: adapt a head alone, or train longer")


def _predict(learner: Learner, net: nn.Module, task: Task) -> Tensor:
    """Return what ridge regression on the support set predicts for the queries."""
    support, query = embedded(learner, net, task)
    rows, weight = task.support.y.rows, task.support.weight.unsqueeze(-1)
    total = weight.sum().clamp(min=1)
    middle, level = ((part * weight).sum(0) / total for part in (support, rows))
    centred, answers = (support - middle) * weight, (rows - level) * weight
    products = centred @ centred.t()
    penalty = LIMITS.penalty * products.diagonal().sum() / total + torch.finfo(products.dtype).eps
    inner = solve(products + penalty * torch.eye(len(products), dtype=products.dtype, device=products.device), answers)
    prediction = (query - middle) @ (centred.t() @ inner) + level
    if isinstance(task.support.y, MultiHot):  # whose scores are those of logits
        return prediction - 0.5
    return (
        hide_absent(prediction, class_counts(rows, task.support.weight)) if isinstance(task.support.y, OneHot) else prediction
    )
