"""What learners that adapt weights by gradient steps share: a net with a linear head, as a dictionary of tensors."""

from __future__ import annotations

import contextlib
import dataclasses
import numbers
from typing import Literal, Protocol, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from quickstudy.errors import ConfigError, ModelError, TaskError, check_at_least, check_choice
from quickstudy.functional.call import Parameters, call, trainable, under
from quickstudy.functional.classes import class_counts, hide_absent, pad_rows
from quickstudy.functional.descent import gradient_descent
from quickstudy.functional.features import features_of
from quickstudy.layers.batch_norm import batch_statistics, has_batch_norm
from quickstudy.layers.check import check_net
from quickstudy.learner import State
from quickstudy.objectives.classes import OneHot
from quickstudy.task import Examples, Input

BatchStatistics = Literal["support", "query"]


class HasHead(Protocol):
    """A learner with a net under a linear head."""

    net: nn.Module
    head: nn.Linear | None
    inner_lr: float
    inner_steps: int
    head_ways: int | None
    statistics: BatchStatistics


class HasSteps(HasHead, Protocol):
    """A learner with a head whose inner loop is plain gradient descent."""

    first_order: bool


def feature_count(net: nn.Module) -> int:
    """Return the length of the net's output, which it must say itself."""
    features = getattr(net, "features", None)
    if not isinstance(features, numbers.Integral):
        raise ModelError(f"{type(net).__name__} does not say how long its output is; set `net.features` to that number.")
    return int(features)


def make_head(learner: HasHead) -> nn.Linear | None:
    """Return a learned linear head of `head_ways` outputs, or None for one that starts at zero with as many outputs as the task.

    Raises:
        ConfigError: a misspelt choice, which would otherwise pass for the other one, or steps that go nowhere or back.
        ModelError: a net that cannot be used.
    """
    check_at_least("inner_lr", learner.inner_lr, 0)
    check_at_least("inner_steps", learner.inner_steps, 0)
    check_choice("statistics", learner.statistics, get_args(BatchStatistics))
    features, ways = feature_count(check_net(learner.net)), learner.head_ways
    if ways is not None and ways < 1:
        raise ConfigError(f"head_ways is {ways}; expected at least 1, or None for a head that fits every task.")
    return None if ways is None else nn.Linear(features, ways)


def adapt_head(learner: HasSteps, support: Examples, state: State | None) -> State:
    """Return the state after gradient steps of the head alone, for which the support set passes through the net once."""
    with batch_statistics(support.mask, keep=learner.statistics == "support") as recording:
        features = features_of(learner.net, support.x)
    seen = counted(support, state)
    head = gradient_descent(
        lambda head: loss_of(through_head(learner, features, head), support, seen),
        check_moves(start_head(learner, support, state)),
        inner_lr=learner.inner_lr,
        steps=learner.inner_steps,
        first_order=learner.first_order,
    )
    return head | recording.of(learner.net, "net.") | seen


def start(learner: HasHead, support: Examples, state: State | None) -> Parameters:
    """Return the weights where adaptation starts, without frozen ones; the net's under their names with `net.` in front."""
    learned = {f"net.{name}": value for name, value in trainable(learner.net).items()}
    net = learned if state is None else {name: state[name] for name in learned}
    return check_moves(net | start_head(learner, support, state))


def start_head(learner: HasHead, support: Examples, state: State | None) -> Parameters:
    """Return where the head starts, `weight` `[way, feature]` and `bias` `[way]`: learned, zero, or as an earlier state left them."""
    ways, head = support.y.outputs, learner.head
    if head is not None and head.out_features != ways:
        raise TaskError(
            f"the task has {ways} ways, but this learner's head is fixed to {head.out_features}. Give it tasks of "
            f"{head.out_features} ways, or train with head_ways=None, which fits any number."
        )
    if head is not None:
        learned = {f"head.{name}": value for name, value in trainable(head).items()}
        return learned if state is None else {name: state[name] for name in learned}
    if state is not None:
        return {name: pad_rows(state[name], ways) for name in ("head.weight", "head.bias")}
    zeros = support.y.rows.new_zeros((ways, feature_count(learner.net) + 1))
    return {"head.weight": zeros[:, 1:], "head.bias": zeros[:, 0]}


def check_moves(weights: Parameters) -> Parameters:
    """Return the weights where adaptation starts; raise a ModelError if there are none, as everything is frozen."""
    if not weights:
        raise ModelError(
            "every parameter that adaptation moves is frozen, so that nothing would be learned; call requires_grad_() on what shall "
            "adapt, or leave head_ways=None for a head that is not frozen."
        )
    return weights


def outputs(learner: HasHead, weights: State, x: Input) -> Tensor:
    """Return the net's features through the head, `[example, output]`, with the weights (and statistics) in `weights`."""
    return through_head(learner, features_of(learner.net, x, under("net.", weights)), weights)


def through_head(learner: HasHead, features: Tensor, weights: State) -> Tensor:
    """Return the head's outputs `[example, output]` for features `[example, feature]`; what `weights` lacks is frozen."""
    head = {"head.weight": learner.head.weight, "head.bias": learner.head.bias} if learner.head is not None else {}
    both = {**head, **weights}
    return F.linear(features, both["head.weight"], both["head.bias"])


def loss(learner: HasHead, weights: State, examples: Examples, seen: State) -> Tensor:
    """Return how wrong the net and its head are on examples that they normalise by their own statistics, a scalar."""
    with batch_statistics(examples.mask):
        prediction = outputs(learner, weights, examples.x)
    return loss_of(prediction, examples, seen)


def loss_of(prediction: Tensor, examples: Examples, seen: State) -> Tensor:
    """Return how wrong a prediction is, a scalar, with ways hidden of which `seen` counts no example."""
    return examples.y.loss(hide_unseen(prediction, seen), examples.weight)


def to_state(learner: HasHead, weights: Parameters, support: Examples, seen: State) -> State:
    """Return the state after adaptation: weights, batch-norm statistics of the support set if queries need them, and ways seen."""
    if learner.statistics != "support" or not has_batch_norm(learner.net):
        return {**weights, **seen}
    with batch_statistics(support.mask, keep=True) as recording:
        call(learner.net, under("net.", weights), support.x)
    return {**weights, **recording.of(learner.net, "net."), **seen}


def counted(support: Examples, state: State | None) -> Parameters:
    """Return how many examples of each way were seen so far, for `predict`; nothing for answers that are no classes."""
    if not isinstance(support.y, OneHot):
        return {}
    counts = class_counts(support.y.rows, support.weight)
    return {"counts": counts if state is None else counts + pad_rows(state["counts"], counts.shape[0])}


def hide_unseen(prediction: Tensor, seen: State) -> Tensor:
    """Return `prediction` `[example, output]` with ways hidden of which `seen` (from `counted`, or a state) counts no example."""
    return hide_absent(prediction, seen["counts"]) if "counts" in seen else prediction


def predict(learner: HasHead, state: State, x: Input) -> Tensor:
    """Return predictions `[example, output]` under a state, with ways that were never seen hidden."""
    with batch_statistics() if learner.statistics == "query" else contextlib.nullcontext():
        return hide_unseen(outputs(learner, state, x), state)


def mini_batch(support: Examples, step: int | Tensor, size: int) -> Examples:
    """Return the examples of a step, `size` of them, round and round. Padding takes no place, so that it changes nothing."""
    count = support.count
    if support.mask is None and isinstance(count, int):
        place = torch.arange(min(size, count), device=support.device)
        rows = (place + step * len(place)) % count
        return tree_map(lambda leaf: leaf[rows], support)
    place = torch.arange(size, device=support.device)
    real = support.weight.sum().long().clamp(min=1)
    fits = torch.minimum(real, torch.ones_like(place).sum())  # tensors, so that both may differ from task to task
    rows = (place + step * fits) % real
    if support.mask is not None:
        rows = torch.argsort(support.weight, descending=True, stable=True)[rows]
    batch = tree_map(lambda leaf: leaf[rows], dataclasses.replace(support, mask=None))
    mask = place < fits
    return dataclasses.replace(batch, mask=mask if support.mask is None else mask & support.mask[rows])
