"""Begin: a training that begins with the networks of a trained learner, of whichever kind that learner is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from torch import nn

from quickstudy.errors import ConfigError
from quickstudy.functional.features import frame_count
from quickstudy.learner import Learner
from quickstudy.objectives.sequences import FIXED
from quickstudy.training.describing import describe_module


def begin_with(learner: Learner, trained: Learner, name: str, same_symbols: bool = False) -> None:
    """Copy the weights of the networks that both learners have under the same name, such as `net`, in place.

    Between learners of one kind that fit any number of ways, all that is trained is copied, learned rates too, if it has the same sizes.
    A head of sequences that fits any number of symbols begins with what the trained one knows of the blank and the space, and with the
    mean of its symbols; one that is fixed to the same symbols begins with all of it. All else, such as other heads and learned rates,
    begins as it would without.

    Args:
        learner: that is to be trained.
        trained: whose networks it begins with.
        name: of the trained learner, for messages.
        same_symbols: whether both write down the same symbols, in the same columns.

    Raises:
        ConfigError: the learners have no network in common, or one of another architecture, or with other hyperparameters, or nothing
            that is trained is common to both.

    >>> import torch
    >>> from quickstudy.learners.maml import MAML
    >>> from quickstudy.learners.protonet import ProtoNet
    >>> from quickstudy.nets.mlp import MLP
    >>> protonet, maml = ProtoNet(MLP(in_features=1)), MAML(MLP(in_features=1))
    >>> begin_with(maml, protonet, "runs/first")
    >>> all(torch.equal(*pair) for pair in zip(maml.net.parameters(), protonet.net.parameters()))
    True
    """
    here, there = _networks(learner), _networks(trained)
    common = [part for part in here if part in there]
    if not common:
        raise ConfigError(
            f"{name} has {_listed(there)}, but the training has {_listed(here)}, so that it cannot begin with it; name a learner with "
            "a network of the same name."
        )
    for part in common:
        _copy(here[part], there[part], part, name)
    _copy_head(learner, trained, same_symbols)
    if not _copy_all(learner, trained) and not any(here[part].state_dict() for part in common):
        kinds = " and ".join(type(one).__name__ for one in (trained, learner))
        raise ConfigError(
            f"nothing that is trained is common to {name} and this training: their net has no weights, and what they learn beside it "
            f"({kinds}) differs in kind or size; choose the same --learner and sizes, which 'quickstudy info {name}' shows."
        )


def _listed(networks: Mapping[str, nn.Module]) -> str:
    return f"networks called {' and '.join(networks)}" if networks else "no network"


def _networks(learner: Learner) -> dict[str, nn.Module]:
    """Return the modules that were given to a learner, by their names."""
    given = {field.name for field in dataclasses.fields(learner)}  # pyright: ignore[reportArgumentType]  # every learner is a dataclass
    return {name: module for name, module in learner.named_children() if name in given}


def _copy(to: nn.Module, source: nn.Module, part: str, name: str) -> None:
    """Copy all weights and statistics of one network to another."""
    wanted, found = describe_module(to), describe_module(source)
    has, wants = (type(one).__name__ for one in (source, to))
    if has == wants:
        ours, theirs = wanted.get("args", {}), found.get("args", {})
        differing = [key for key in ours if ours[key] != theirs.get(key)]
        has = f"{has} with {', '.join(f'{key} {theirs.get(key)}' for key in differing)}" if differing else has
        wants = f"one with {', '.join(f'{key} {ours[key]}' for key in differing)}" if differing else wants
    try:
        if wanted != found:
            raise RuntimeError("they are built in different ways")
        to.load_state_dict(source.state_dict())
    except RuntimeError as error:
        raise ConfigError(
            f"the {part} of {name} is {has}, but the training has {wants}; choose the same --{part} and sizes, which 'quickstudy info "
            f"{name}' shows, or another learner to begin with."
        ) from error


def _copy_all(to: Learner, source: Learner) -> bool:
    """Copy all that is trained between learners of one kind and size that fit any number of ways; return whether this was done."""
    ours, theirs = ({name: value.shape for name, value in one.state_dict().items()} for one in (to, source))
    if type(to) is not type(source) or ours != theirs or to.ways is not None:
        return False
    to.load_state_dict(source.state_dict())
    return bool(ours)


def _copy_head(to: Learner, source: Learner, same_symbols: bool) -> None:
    """Copy what a head of sequences can begin with, if the other learner has a head of sequences too."""
    ours, theirs = (_head_of_frames(learner) for learner in (to, source))
    fixed = len(FIXED)
    if ours is None or theirs is None or theirs.out_features <= fixed or ours.in_features != theirs.in_features:
        return
    if getattr(to, "head_ways", 0) is not None:
        if same_symbols and ours.out_features == theirs.out_features:
            ours.load_state_dict(theirs.state_dict())
        return
    with torch.no_grad():
        for own, known in zip(ours.parameters(), theirs.parameters(), strict=True):
            own.copy_(torch.cat([known[:fixed], known[fixed:].mean(0, keepdim=True)]))


def _head_of_frames(learner: Learner) -> nn.Linear | None:
    """Return the head of a learner of sequences, if it has a linear one."""
    head = getattr(learner, "head", None)
    return head if isinstance(head, nn.Linear) and frame_count(learner.net) is not None else None  # pyright: ignore[reportArgumentType]
