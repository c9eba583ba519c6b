"""Attentive neural processes: attention that sees no difference is a mean, and attention that sees all of it picks one example."""

from __future__ import annotations

import torch
from builders import apart, as_values, make_learner, make_tasks
from torch import nn

from quickstudy.learners.anp import ANP


def test_without_differences_attention_reads_the_mean_code() -> None:
    task, learner = as_values(make_tasks()[0]), make_learner("anp")
    assert isinstance(learner, ANP)
    for linear in (learner.key, learner.ask):
        nn.init.zeros_(linear.weight)
    mean = learner.codes(learner.net(task.support.x), task.support.y.rows).mean(0)
    found = learner.read(learner.adapt(task.support), learner.net(task.query.x))
    assert apart(found, 2 * mean.expand_as(found)) < 1e-12  # what attention reads is added to the mean code


def test_the_mean_code_of_a_class_is_that_of_its_own_examples() -> None:
    """Attention that sees no difference reads the mean code of all examples, to which that of the class is added; padding is left out."""
    task, learner = make_tasks(ragged=True)[0], make_learner("anp")
    assert isinstance(learner, ANP)
    for linear in (learner.key, learner.ask):
        nn.init.zeros_(linear.weight)
    there, y = task.support.weight > 0, task.support.y.rows
    codes = learner.codes(learner.net(task.support.x), y)
    own = torch.stack([codes[there & (y[:, way] > 0), way].mean(0) for way in range(y.shape[1])]).nan_to_num(0)
    found = learner.read(learner.adapt(task.support), learner.net(task.query.x))
    assert bool((~there).any())
    assert apart(found, (own + codes[there].mean(0)).expand_as(found)) < 1e-12


def test_with_sharp_attention_a_query_reads_the_example_at_its_place() -> None:
    task, learner = as_values(make_tasks(shots=1, ways=3)[0]), make_learner("anp", heads=1)
    features = learner.net(task.support.x)
    about = features - features.mean(0)
    with torch.no_grad():  # queries ask by their differences from the mean, stretched until one example is all that they see
        for linear in (learner.key, learner.ask):
            linear.weight.zero_()
            linear.weight[: features.shape[1]] = 1e3 * torch.eye(features.shape[1])
            linear.bias.copy_(-linear.weight @ features.mean(0))
    nearest = (about @ about.t()).argmax(-1)
    codes = learner.codes(features, task.support.y.rows)
    found = learner.read(learner.adapt(task.support), features)
    assert apart(found, codes.mean(0) + codes[nearest]) < 1e-9
