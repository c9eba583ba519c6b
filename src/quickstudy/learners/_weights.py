"""What learners that adapt weights by gradient steps share: a net with a linear head, as a dictionary of tensors."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import ClassVar, Literal, NamedTuple, Protocol, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from quickstudy.errors import ConfigError, ModelError, TaskError, check_above, check_at_least, check_choice
from quickstudy.functional.call import Parameters, trainable, under, with_tensors
from quickstudy.functional.classes import class_counts, hide_absent, pad_rows
from quickstudy.functional.descent import Clipped, Rates, gradient_descent
from quickstudy.functional.features import feature_count, features_of, frame_count
from quickstudy.layers.batch_norm import batch_statistics, has_batch_norm
from quickstudy.layers.check import check_net
from quickstudy.layers.stages import Stage, run, stages, unchanged
from quickstudy.learner import State
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.sequences import FIXED, Tokens
from quickstudy.task import Answers, Examples, Input

BatchStatistics = Literal["support", "query"]


class HasHead(Protocol):
    """A learner with a net under a linear head."""

    net: nn.Module
    head: nn.Linear | None
    inner_lr: float
    inner_steps: int
    head_ways: int | None
    statistics: BatchStatistics

    targets: ClassVar[tuple[type[Answers], ...]]


class HasSteps(HasHead, Protocol):
    """A learner with a head whose inner loop is plain gradient descent."""

    first_order: bool
    inner_clip: float | None


def make_head(learner: HasHead) -> nn.Linear | None:
    """Return a learned linear head of `head_ways` outputs, or None for one that starts at zero with as many outputs as the task.

    For sequences, None makes a head of three learned rows: of CTC's blank, of the space, and one at which every symbol starts. What the
    blank is need not be learned anew in each task.

    Raises:
        ConfigError: a misspelt choice, which would otherwise pass for the other one, or steps that go nowhere or back.
        ModelError: a net that cannot be used.
    """
    check_at_least("inner_lr", learner.inner_lr, 0)
    check_at_least("inner_steps", learner.inner_steps, 0)
    check_choice("statistics", learner.statistics, get_args(BatchStatistics))
    clip = getattr(learner, "inner_clip", None)
    if clip is not None:
        check_above("inner_clip", clip, 0)
    features, ways = feature_count(check_net(learner.net)), learner.head_ways
    if ways is not None and ways < 1:
        raise ConfigError(f"head_ways is {ways}; expected at least 1, or None for a head that fits every task.")
    if ways is None and frame_count(learner.net) is not None and Tokens in learner.targets:
        return _zeroed(nn.Linear(features, len(FIXED) + 1))
    return None if ways is None else nn.Linear(features, ways)


def _zeroed(head: nn.Linear) -> nn.Linear:
    """Return a head with weights of zero, so that all its outputs start alike."""
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


class Front(NamedTuple):
    """Support set after the stages of the net that no inner step changes.

    Attributes:
        support: the examples, with what comes out of these stages in place of their inputs.
        depth: how many stages these are; None for the whole net.
        statistics: mean and variance of each BatchNorm among them, under their names in a state; empty if queries need none.
    """

    support: Examples
    depth: int | None
    statistics: State


def adapt(
    learner: HasSteps,
    support: Examples,
    state: State | None,
    start: Parameters,
    rates: Rates | None = None,
    recompute: bool = False,
) -> State:
    """Return the state after gradient steps from the weights in `start`; what none of them changes is computed once.

    Step sizes are `learner.inner_lr`, unless `rates` has one for each weight.
    """
    seen, front = counted(support, state), pass_front(learner, support, check_moves(start))
    rate = learner.inner_lr if rates is None else rates
    weights = gradient_descent(
        lambda weights: loss(learner, weights, front.support, seen, front.depth),
        start,
        inner_lr=rate if learner.inner_clip is None else Clipped(rate, learner.inner_clip),
        steps=learner.inner_steps,
        first_order=learner.first_order,
        recompute=recompute,
    )
    return to_state(learner, weights, front, seen)


def pass_front(learner: HasHead, support: Examples, moved: Parameters, in_batches: bool = False) -> Front:
    """Let the support set pass the stages of the net before the first one that has a weight in `moved`.

    Args:
        learner: whose net it is.
        support: all examples.
        moved: weights that change, under their names in a state.
        in_batches: each step sees some of the examples only; stages whose batch norm would see all of them are then left out.
    """
    check_frames(learner.net, support.y)
    net, depth = learner.net, unchanged(learner.net, under("net.", moved))
    if in_batches and has_batch_norm(net) and any(_may_normalise(stage) for stage in stages(net)[:depth]):
        depth = 0
    if depth == 0:
        return Front(support, 0, {})
    whole = depth == len(stages(net))
    with batch_statistics(support.mask, keep=learner.statistics == "support") as recording:
        x = features_of(net, support.x, frames=frame_count(net) is not None) if whole else run(net, support.x, end=depth)
    return Front(dataclasses.replace(support, x=x), None if whole else depth, recording.of(net, "net."))


def _may_normalise(stage: Stage) -> bool:
    """Say whether a stage may have batch norm, which of a stage that is no module nobody knows."""
    return not isinstance(stage, nn.Module) or has_batch_norm(stage)


def start(learner: HasHead, support: Examples, state: State | None) -> Parameters:
    """Return the weights where adaptation starts, without frozen ones; the net's under their names with `net.` in front."""
    return start_net(learner, state) | start_head(learner, support, state)


def start_net(learner: HasHead, state: State | None) -> Parameters:
    """Return where the net starts: its weights as learned, or as an earlier state left them, under names that begin with `net.`."""
    learned = {f"net.{name}": value for name, value in trainable(learner.net).items()}
    return learned if state is None else {name: state[name] for name in learned}


def start_head(learner: HasHead, support: Examples, state: State | None) -> Parameters:
    """Return where the head starts, `weight` `[way, feature]` and `bias` `[way]`: learned, zero, or as an earlier state left them.

    A head of sequences has its learned rows, the last one for every symbol. It adapts in each task, frozen or not, as a head that
    starts at zero does.
    """
    ways, head = support.y.outputs, learner.head
    if head is not None and learner.head_ways is not None:
        check_ways(head, ways)
        learned = {f"head.{name}": value for name, value in trainable(head).items()}
        return learned if state is None else {name: state[name] for name in learned}
    if head is None and state is not None:
        return {name: pad_rows(state[name], ways) for name in ("head.weight", "head.bias")}
    if head is not None:
        fixed = len(FIXED)
        begin = {
            f"head.{name}": torch.cat([rows[:fixed], rows[fixed:].expand(ways - fixed, *rows.shape[1:])])
            for name, rows in head.named_parameters()
        }
        return begin if state is None else {name: _grown(state[name], rows) for name, rows in begin.items()}
    zeros = support.y.rows.new_zeros((ways, feature_count(learner.net) + 1))
    return {"head.weight": zeros[:, 1:], "head.bias": zeros[:, 0]}


def _grown(rows: Tensor, begin: Tensor) -> Tensor:
    """Return the rows of a state, followed by those of `begin` for symbols that it did not know."""
    known = rows.shape[0]
    return torch.cat([rows, begin[known:]]) if known < begin.shape[0] else pad_rows(rows, begin.shape[0])


def shapes(learner: HasHead) -> dict[str, tuple[int, ...]]:
    """Return the sizes of all weights, under their names in a state; a head that fits any number of ways has one row for all."""
    features, ways = feature_count(learner.net), learner.head_ways or 1
    head = {"weight": (ways, features), "bias": (ways,)}
    net = {f"net.{name}": tuple(value.shape) for name, value in learner.net.named_parameters()}
    return net | {f"head.{name}": shape for name, shape in head.items()}


def key_of(name: str) -> str:
    """Return the name of a tensor as a key of a `ParameterDict`, in which torch allows no dots."""
    return name.replace(".", "/")


def name_of(key: str) -> str:
    """Return the name of a tensor that `key_of` made a key of."""
    return key.replace("/", ".")


def check_ways(head: nn.Linear, ways: int) -> None:
    """Raise a TaskError for a task with another number of ways than a learned head has."""
    if head.out_features != ways:
        raise TaskError(
            f"the task has {ways} ways, but this learner's head is fixed to {head.out_features}. Give it tasks of "
            f"{head.out_features} ways, or train with head_ways=None, which fits any number."
        )


def check_frames(net: nn.Module, y: Answers) -> None:
    """Raise a ModelError if a net's output does not suit the answers, and a DataError for sequences that its frames cannot hold."""
    frames, sequences = frame_count(net), isinstance(y, Tokens)
    if (frames is not None) != sequences:
        has, wants = "an output for each frame", "one for each example"
        has, wants = (wants, has) if sequences else (has, wants)
        raise ModelError(f"{type(net).__name__} has {has}, but answers that are {y.name} want {wants}; choose another net.")
    if isinstance(y, Tokens) and frames is not None:
        y.check_frames(frames)


def check_moves(weights: Parameters) -> Parameters:
    """Return the weights where adaptation starts; raise a ModelError if there are none, as everything is frozen."""
    if not weights:
        raise ModelError(
            "every parameter that adaptation moves is frozen, so that nothing would be learned; call requires_grad_() on what shall "
            "adapt, or leave head_ways=None for a head that is not frozen."
        )
    return weights


def features(learner: HasHead, weights: State, x: Input, depth: int | None = 0) -> Tensor:
    """Return the net's features under the weights (and statistics) in `weights`, `[example, feature]`, or of each frame.

    `depth` stages of the net have made `x` already, or all of them if it is None.
    """
    tensors = under("net.", weights)
    if depth is None:
        return x  # pyright: ignore[reportReturnType]
    if depth:
        return run(with_tensors(learner.net, tensors), x, depth)
    return features_of(learner.net, x, tensors, frames=frame_count(learner.net) is not None)


def through_head(learner: HasHead, features: Tensor, weights: State) -> Tensor:
    """Return the head's outputs `[example, output]` for features `[example, feature]`; what `weights` lacks is frozen."""
    head = {"head.weight": learner.head.weight, "head.bias": learner.head.bias} if learner.head is not None else {}
    both = {**head, **weights}
    return F.linear(features, both["head.weight"], both["head.bias"])


def loss(learner: HasHead, weights: State, examples: Examples, seen: State, depth: int | None = 0) -> Tensor:
    """Return how wrong the net and its head are on examples that they normalise by their own statistics, a scalar."""
    with batch_statistics(examples.mask):
        prediction = through_head(learner, features(learner, weights, examples.x, depth), weights)
    return examples.y.loss(hide_unseen(prediction, seen), examples.weight)


def to_state(learner: HasHead, weights: Parameters, front: Front, seen: State) -> State:
    """Return the state after adaptation: weights, batch-norm statistics of the support set if queries need them, and ways seen."""
    if learner.statistics != "support" or front.depth is None or not has_batch_norm(learner.net):
        return {**weights, **front.statistics, **seen}
    with batch_statistics(front.support.mask, keep=True) as recording:
        features(learner, weights, front.support.x, front.depth)
    return {**weights, **front.statistics, **recording.of(learner.net, "net."), **seen}


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
        return hide_unseen(through_head(learner, features(learner, state, x), state), state)


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
