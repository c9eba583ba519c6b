"""What learners that adapt weights by gradient steps share: a net with a linear head, as a dictionary of tensors."""

from __future__ import annotations

import contextlib
from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from quickstudy.errors import ConfigError, ModelError, TaskError, check_at_least, check_choice
from quickstudy.functional.call import Parameters, under
from quickstudy.functional.classes import class_counts, hide_absent, pad_rows
from quickstudy.functional.losses import cross_entropy, squared_error
from quickstudy.layers.batch_norm import batch_statistics, has_batch_norm
from quickstudy.learner import State
from quickstudy.task import Examples, Input

Objective = Literal["classification", "regression"]
BatchStatistics = Literal["support", "query"]


def feature_count(net: nn.Module) -> int:
    """Length of the net's output, which it must say itself."""
    features = getattr(net, "features", None)
    if not isinstance(features, int):
        raise ModelError(f"{type(net).__name__} does not say how long its output is; set `net.features` to that number.")
    return features


def check_hyperparameters(statistics: str, objective: str, inner_lr: float, inner_steps: int) -> None:
    """A ConfigError for a misspelt choice, which would otherwise pass for the other one, and for steps that go nowhere or back."""
    check_at_least("inner_lr", inner_lr, 0)
    check_at_least("inner_steps", inner_steps, 0)
    check_choice("statistics", statistics, get_args(BatchStatistics))
    check_choice("objective", objective, get_args(Objective))


def make_head(net: nn.Module, head_ways: int | None) -> nn.Linear | None:
    """A learned linear head of `head_ways` outputs, or None for one that starts at zero with as many outputs as the task."""
    features = feature_count(net)
    if head_ways is not None and head_ways < 1:
        raise ConfigError(f"head_ways is {head_ways}; expected at least 1, or None for a head that fits every task.")
    return None if head_ways is None else nn.Linear(features, head_ways)


def start_head(head: nn.Linear | None, net: nn.Module, support: Examples, state: State | None) -> Parameters:
    """Where the head starts: `weight` `[way, feature]` and `bias` `[way]`, learned, zero, or as an earlier state left them."""
    ways = support.y.shape[-1]
    if state is not None:
        return {"head.weight": pad_rows(state["head.weight"], ways), "head.bias": pad_rows(state["head.bias"], ways)}
    if head is None:
        zeros = support.y.new_zeros((ways, feature_count(net) + 1))
        return {"head.weight": zeros[:, 1:], "head.bias": zeros[:, 0]}
    if head.out_features != ways:
        raise TaskError(
            f"the task has {ways} ways, but this learner's head is fixed to {head.out_features}. Give it tasks of "
            f"{head.out_features} ways, or train with head_ways=None, which fits any number."
        )
    return {"head.weight": head.weight, "head.bias": head.bias}


def start_net(net: nn.Module, state: State | None) -> Parameters:
    """Where the net's weights start, under their names with `net.` in front."""
    learned: Parameters = {f"net.{name}": value for name, value in net.named_parameters()}
    return learned if state is None else {name: state[name] for name in learned}


def outputs(net: nn.Module, weights: State, x: Input) -> Tensor:
    """The net's features through the head, `[example, output]`, with the weights (and statistics) in `weights`."""
    return F.linear(functional_call(net, under("net.", weights), (x,)), weights["head.weight"], weights["head.bias"])


def support_statistics(net: nn.Module, weights: Parameters, support: Examples) -> Parameters:
    """Batch-norm statistics of the support set under these weights, for the state; empty without batch norm."""
    if not has_batch_norm(net):
        return {}
    with batch_statistics(support.mask, keep=True) as recording:
        functional_call(net, under("net.", weights), (support.x,))
    return {f"net.{name}": value for name, value in recording.of(net).items()}


def objective_loss(objective: Objective, prediction: Tensor, examples: Examples) -> Tensor:
    """Cross-entropy or squared error of predictions `[example, output]`, a scalar."""
    error = cross_entropy if objective == "classification" else squared_error
    return error(prediction, examples.y, examples.weight)


def counted(objective: Objective, support: Examples, state: State | None) -> Parameters:
    """How many examples of each way were seen so far, for `predict`; nothing for regression."""
    if objective == "regression":
        return {}
    counts = class_counts(support.y, support.weight)
    return {"counts": counts if state is None else counts + pad_rows(state["counts"], counts.shape[0])}


def hide_unseen(prediction: Tensor, seen: State) -> Tensor:
    """`prediction` `[example, output]` with ways hidden of which `seen` (from `counted`, or a state) counts no example."""
    return hide_absent(prediction, seen["counts"]) if "counts" in seen else prediction


def predict(net: nn.Module, statistics: BatchStatistics, state: State, x: Input) -> Tensor:
    """Predictions `[example, output]` under a state, with ways that were never seen hidden."""
    with batch_statistics() if statistics == "query" else contextlib.nullcontext():
        return hide_unseen(outputs(net, state, x), state)


def protocol(net: nn.Module, statistics: BatchStatistics) -> str:
    """How queries are normalised: `transductive` when by the statistics of the query batch."""
    return "transductive" if statistics == "query" and has_batch_norm(net) else "inductive"
