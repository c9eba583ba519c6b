"""Does the learner beat the nearest centroid on its own features?"""

from __future__ import annotations

from torch import Tensor, nn

from quickstudy.functional.classes import class_counts, class_sums, hide_absent
from quickstudy.functional.distances import squared_distances
from quickstudy.learner import Learner
from quickstudy.objectives.classes import OneHot
from quickstudy.task import Task
from quickstudy.training.doctor._compare import compared
from quickstudy.training.doctor._features import embedded, net_of
from quickstudy.training.doctor._patient import Finding, Patient, does_not_apply


def check(patient: Patient) -> Finding:
    """Compare with class means of the net's features, which take no adapting at all."""
    learner = patient.learner
    net = net_of(learner)
    if net is None:
        return does_not_apply("the learner has no net whose features could be compared")
    if patient.tasks.target != OneHot.name:
        return does_not_apply(f"the tasks ask for {patient.tasks.target}, which have no centroids")
    if learner.prototypes:
        return does_not_apply("the learner itself compares with the centroid of each class")
    found = compared(patient, patient.scores(lambda task: _predict(learner, net, task)), "nearest centroid")
    return found.finding("class means of the same features do as well: a learner that only compares is smaller and faster")


def _predict(learner: Learner, net: nn.Module, task: Task) -> Tensor:
    """Return minus the squared distances of queries to the mean of each way."""
    support, query = embedded(learner, net, task)
    rows, weight = task.support.y.rows, task.support.weight
    counts = class_counts(rows, weight)
    means = class_sums(support, rows, weight) / counts.clamp(min=1).unsqueeze(-1)
    return hide_absent(-squared_distances(query, means), counts)
