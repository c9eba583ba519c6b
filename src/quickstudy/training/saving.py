"""A learner as one file: its tensors, the hyperparameters to build it again, what its inputs are, and where it comes from."""

from __future__ import annotations

import dataclasses
import inspect
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from quickstudy import discovery, pretrained, storage
from quickstudy.data.image import ImageSpec
from quickstudy.errors import ConfigError, FileFormatError, unknown_name
from quickstudy.learner import Learner, State, hyperparameters


@dataclasses.dataclass(frozen=True)
class SavedLearner:
    """A learner and what travels with it.

    Args:
        learner: ready to adapt.
        spec: what an input image must be; None for rows of numbers.
        info: data set, protocol, training and results, as plain values.
        fingerprint: hash of the tensors, by which a task knows its learner.
    """

    learner: Learner
    spec: ImageSpec | None = None
    info: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        return storage.fingerprint(to_arrays(self.learner.state_dict()))


def save_learner(path: str | os.PathLike[str], saved: SavedLearner) -> None:
    """Write a learner to one safetensors file, whole or not at all."""
    storage.save(path, "learner", to_arrays(saved.learner.state_dict()), _describe(saved))


def load_learner(path: str | os.PathLike[str], net: nn.Module | None = None, **changes: Any) -> SavedLearner:
    """Read a learner.

    Args:
        path: a file that `save_learner` wrote, the folder of a run, or the name of a learner that ships with quickstudy.
        net: the net, where it is your own and not one of `quickstudy.nets`.
        changes: hyperparameters to change, such as `inner_steps=3`.

    Raises:
        FileFormatError: damaged, foreign or newer file, or weights that do not fit the net.
        ConfigError: unknown hyperparameter, or a net of your own that was not given.
    """
    arrays, meta = storage.load(pretrained.find(path), "learner")
    return _build(path, arrays, meta, net, changes)


@dataclasses.dataclass(frozen=True)
class SavedTask:
    """A learner that has learned one task.

    Args:
        saved: the learner.
        state: what `adapt` returned.
        labels: what each way stands for, in the user's words.
    """

    saved: SavedLearner
    state: State
    labels: tuple[Any, ...]


def save_task(path: str | os.PathLike[str], task: SavedTask) -> None:
    """Write an adapted task, with its learner, to one safetensors file.

    Raises:
        FileFormatError: a label is no text, number or truth value, so that JSON cannot hold it.
    """
    for label in task.labels:
        if not isinstance(label, str | int | float | bool):
            raise FileFormatError(
                f"label {label!r} is a {type(label).__name__}; a saved task holds texts, numbers and truth values."
            )
    arrays = {f"learner.{name}": value for name, value in to_arrays(task.saved.learner.state_dict()).items()}
    arrays |= {f"state.{name}": value for name, value in to_arrays(task.state).items()}
    storage.save(path, "task", arrays, _describe(task.saved) | {"labels": list(task.labels)})


def load_task(path: str | os.PathLike[str], net: nn.Module | None = None) -> SavedTask:
    """Read an adapted task.

    Raises:
        FileFormatError: damaged, foreign or newer file.
    """
    arrays, meta = storage.load(path, "task")
    parts: dict[str, dict[str, np.ndarray]] = {"learner": {}, "state": {}}
    for name, value in arrays.items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = value
    saved = _build(path, parts["learner"], meta, net, {})
    return SavedTask(saved, {name: torch.from_numpy(value) for name, value in parts["state"].items()}, tuple(meta["labels"]))


def _describe(saved: SavedLearner) -> dict[str, Any]:
    net = getattr(saved.learner, "net", None)
    return {
        "learner": {"name": discovery.name_of(saved.learner), "args": hyperparameters(saved.learner)},
        "net": describe_net(net) if isinstance(net, nn.Module) else None,
        "input": saved.spec.to_dict() if saved.spec else None,
        "info": dict(saved.info),
    }


def _build(
    path: str | os.PathLike[str],
    arrays: Mapping[str, np.ndarray],
    meta: Mapping[str, Any],
    net: nn.Module | None,
    changes: Mapping[str, Any],
) -> SavedLearner:
    try:
        name, args = meta["learner"]["name"], dict(meta["learner"]["args"])
        described, spec, info = meta["net"], meta["input"], meta["info"]
    except (KeyError, TypeError) as error:
        raise FileFormatError(f"{path} has a damaged header (no {error}).") from error
    for change in changes:
        if change not in args:
            raise unknown_name(f"hyperparameter of {name}", change, args)
    if described is not None and net is None and "name" in described:
        _check_known(path, discovery.load("nets", described["name"]), described["args"])
    _check_known(path, discovery.load("learners", name), args)
    _check_known(path, ImageSpec, spec or {})
    if described is not None:
        args["net"] = net if net is not None else build_net(described)
    learner = discovery.load("learners", name)(**(args | dict(changes)))
    try:
        learner.load_state_dict({key: torch.from_numpy(value) for key, value in arrays.items()})
    except RuntimeError as error:
        raise FileFormatError(f"{path}: the weights do not fit {name} on {described}: {error}") from error
    return SavedLearner(learner, ImageSpec(**spec) if spec else None, info)


def _check_known(path: str | os.PathLike[str], chosen: type, args: Mapping[str, Any]) -> None:
    """A file may name only hyperparameters that its class has here."""
    strange = sorted(set(args) - set(inspect.signature(chosen).parameters))
    if strange:
        raise FileFormatError(
            f"{path} gives {chosen.__name__} a value for {', '.join(strange)}, which it does not have here: a newer quickstudy may "
            "have written the file. Update quickstudy."
        )


def describe_net(net: nn.Module) -> dict[str, Any]:
    """Name and hyperparameters of a net of `quickstudy.nets`, or the class of one of the user's own."""
    if type(net).__module__.startswith("quickstudy.nets."):
        return {"name": discovery.name_of(net), "args": hyperparameters(net)}
    return {"class": f"{type(net).__module__}.{type(net).__qualname__}"}


def build_net(described: Mapping[str, Any]) -> nn.Module:
    """The net that `describe_net` described."""
    if "name" not in described:
        raise ConfigError(f"this learner was saved with a net of your own, {described['class']}; pass an instance as net=.")
    return discovery.load("nets", described["name"])(**described["args"])


def to_arrays(tensors: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """The tensors as numpy arrays."""
    return {name: value.detach().cpu().contiguous().numpy() for name, value in tensors.items()}
