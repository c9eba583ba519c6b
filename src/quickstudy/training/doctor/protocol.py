"""Does each answer depend on its own query alone?"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from quickstudy.functional.classes import ABSENT
from quickstudy.learner import Learner
from quickstudy.task import Task
from quickstudy.training.doctor._limits import LIMITS
from quickstudy.training.doctor._patient import Finding, Patient
from quickstudy.training.evaluate import evaluate
from quickstudy.training.protocols import under_each_protocol


def check(patient: Patient) -> Finding:
    """Predict half of the queries with and without the other half; if that differs, measure both protocols."""
    learner = patient.learner
    with torch.no_grad():
        apart = max(_difference(learner, task) for task in patient.each(LIMITS.alone))
    figures = {"difference": apart, "protocol": learner.protocol}
    if apart <= LIMITS.together:
        return Finding("good", f"queries are predicted alike together and apart ({learner.protocol})", figures=figures)
    if learner.protocol == "inductive":
        text = f"predictions change by {apart:.1%} with the other queries, but the protocol is called inductive"
        return Finding("bad", text, "look for a layer of the net that averages over examples, and replace it", figures)
    measure, ours = patient.result.measure, patient.result
    score = f"{measure.name} {measure.scale * ours.mean:{measure.short}}"
    if learner.statistics != "query":
        text = f"predictions change by {apart:.1%} with the other queries, which the learner learns from: {score}"
        advice = "give this figure for whole batches of queries: in use, queries may come one by one"
        return Finding("look", text, advice, figures | {"together": measure.rounded(ours.mean)})
    others = [other for other in under_each_protocol(learner) if other.protocol != learner.protocol]
    text = f"queries are normalised together: {score}"
    if others:
        alone = evaluate(others[0], patient.tasks, patient.count)
        text += f", {measure.scale * alone.mean:{measure.short}} if each stands alone"
        figures |= {"together": measure.rounded(ours.mean), "alone": measure.rounded(alone.mean)}
    advice = "in use, queries come one by one: give both figures (evaluate --both_protocols), and train with statistics=support"
    return Finding("look", text, advice, figures)


def _difference(learner: Learner, task: Task) -> float:
    """Return how far the predictions of half of the queries change if the other half is left out."""
    state = learner.adapt(task.support)
    half = max(1, task.query.count // 2)
    together: Tensor = learner.predict(state, task.query.x)[:half]
    alone = learner.predict(state, tree_map(lambda part: part[:half], task.query.x))
    there = together > ABSENT / 2
    scale = together[there].abs().max().clamp(min=1e-12)
    return float(((together - alone)[there].abs().max() / scale).nan_to_num(0.0)) if there.any() else 0.0
