"""A learner as one file: its tensors, the hyperparameters to build it again, what its inputs are, and where it comes from."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from quickstudy import discovery, storage
from quickstudy.errors import ConfigError, DataError, FileFormatError, ModelError, unknown_name
from quickstudy.inputs import InputSpec, from_dict
from quickstudy.inputs.image import Ink
from quickstudy.learner import Learner, State, hyperparameters
from quickstudy.objectives.classes import OneHot
from quickstudy.runtime import bundle as bundles
from quickstudy.runtime import pretrained
from quickstudy.runtime.bundle import Bundle
from quickstudy.runtime.manifest import ImageInput, RowsInput
from quickstudy.task import Examples


@dataclasses.dataclass(frozen=True)
class SavedLearner:
    """A learner and what travels with it.

    Args:
        learner: ready to adapt.
        spec: what an input image must be; None for rows of numbers.
        info: data set, protocol, training and results, as plain values.
        target: kind of answers, a name of `quickstudy.objectives`.
    """

    learner: Learner
    spec: InputSpec | None = None
    info: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    target: str = "classes"


def save_learner(path: str | os.PathLike[str], saved: SavedLearner) -> None:
    """Write a learner to one safetensors file, whole or not at all."""
    storage.save(path, "learner", to_arrays(saved.learner.state_dict()), describe(saved))


def load_learner(
    path: str | os.PathLike[str], net: nn.Module | None = None, learner: type[Learner] | None = None, **changes: Any
) -> SavedLearner:
    """Read a learner.

    Args:
        path: a file that `save_learner` wrote, the folder of a run, or the name of a learner that ships with quickstudy.
        net: the net, where it is your own and not one of `quickstudy.nets`.
        learner: the class, where it is your own and not one of `quickstudy.learners`.
        changes: hyperparameters to change, such as `inner_steps=3`.

    Raises:
        FileFormatError: damaged, foreign or newer file, or weights that do not fit the net.
        ConfigError: unknown hyperparameter, or a net of your own that was not given.
    """
    found = pretrained.find(path)
    arrays, meta = _opened(bundles.read(found), path) if bundles.is_bundle(found) else storage.load(found, "learner")[1:]
    return _build(path, arrays, meta, (net, learner), changes)


@dataclasses.dataclass(frozen=True)
class SavedTask:
    """A learner that has learned one task.

    Args:
        saved: the learner.
        state: what `adapt` returned.
        labels: what each way stands for, in the user's words.
        support: the examples themselves, for a learner that would forget them when it goes on.
        ink: polarity of the images that it was adapted to, where it differs from the learner's.
        features: length of a row, for a learner on rows of numbers.
    """

    saved: SavedLearner
    state: State
    labels: tuple[Any, ...]
    support: Examples | None = None
    ink: Ink | None = None
    features: int | None = None


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
    if task.support is not None:
        arrays |= to_arrays({"support.x": task.support.x, "support.y": task.support.y.rows})  # pyright: ignore[reportArgumentType]
    about = {"labels": list(task.labels), "ink": task.ink, "features": task.features}
    storage.save(path, "task", arrays, describe(task.saved) | about)


def load_task(path: str | os.PathLike[str], net: nn.Module | None = None, learner: type[Learner] | None = None) -> SavedTask:
    """Read an adapted task; `net` and `learner` as in `load_learner`.

    Raises:
        FileFormatError: damaged, foreign or newer file.
    """
    if bundles.is_bundle(path):
        return _task_in(bundles.read(path), path, (net, learner))
    _, arrays, meta = storage.load(path, "task")
    parts: dict[str, dict[str, np.ndarray]] = {"learner": {}, "state": {}, "support": {}}
    for name, value in arrays.items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = value
    saved = _build(path, parts["learner"], meta, (net, learner), {})
    state, support = ({name: torch.from_numpy(value) for name, value in parts[part].items()} for part in ("state", "support"))
    earlier = Examples(support["x"], OneHot(support["y"])) if support else None
    return SavedTask(saved, state, tuple(meta["labels"]), earlier, meta["ink"], meta.get("features"))


def _opened(bundle: Bundle, path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Weights and description of the learner in a bundle."""
    manifest = bundle.manifest
    if manifest.precision != "float32":
        raise FileFormatError(
            f"{path} is an {manifest.precision} bundle, for quickstudy.runtime; load the run that it was exported from."
        )
    weights = {name.removeprefix("weight."): value for name, value in bundle.weights.items()}
    target = "values" if manifest.objective == "regression" else "classes"
    spec = manifest.input.spec.model_dump() if isinstance(manifest.input, ImageInput) else None
    return weights, {
        "learner": manifest.learner,
        "net": manifest.net,
        "input": spec,
        "info": manifest.results,
        "target": target,
    }


def _task_in(bundle: Bundle, path: str | os.PathLike[str], own: tuple[nn.Module | None, type[Learner] | None]) -> SavedTask:
    """The task in a bundle."""
    manifest = bundle.manifest
    if manifest.kind != "task" or manifest.labels is None:
        raise FileFormatError(f"{path} is a saved learner; expected a saved task.")
    saved = _build(path, *_opened(bundle, path), own, {})
    state, support = (
        {name: torch.from_numpy(value) for name, value in part.items()} for part in (bundle.state, bundle.support)
    )
    features = manifest.input.features if isinstance(manifest.input, RowsInput) else None
    return SavedTask(
        saved, state, manifest.labels, Examples(support["x"], OneHot(support["y"])) if support else None, manifest.ink, features
    )


def describe(saved: SavedLearner) -> dict[str, Any]:
    """What a file says about a learner, as plain values: `learner`, `net`, `input` and `info`."""
    net = getattr(saved.learner, "net", None)
    return {
        "learner": _described_learner(saved.learner),
        "net": describe_net(net) if isinstance(net, nn.Module) else None,
        "input": saved.spec.model_dump() if saved.spec else None,
        "info": dict(saved.info),
        "target": saved.target,
    }


def _build(
    path: str | os.PathLike[str],
    arrays: Mapping[str, np.ndarray],
    meta: Mapping[str, Any],
    own: tuple[nn.Module | None, type[Learner] | None],
    changes: Mapping[str, Any],
) -> SavedLearner:
    net, chosen = own
    try:
        name, args = meta["learner"].get("name") or meta["learner"]["class"], dict(meta["learner"]["args"])
        described, spec, info, target = meta["net"], meta["input"], meta["info"], meta.get("target", "classes")
    except (KeyError, TypeError) as error:
        raise FileFormatError(f"{path} has a damaged header (no {error}).") from error
    for change in changes:
        if change not in args:
            raise unknown_name(f"hyperparameter of {name}", change, args)
    if described is not None and net is None and "name" in described:
        _check_known(path, discovery.load("nets", described["name"]), described["args"])
    if chosen is None:
        if "class" in meta["learner"]:
            raise ConfigError(f"{path} is a learner of your own, {name}; pass its class as learner=.")
        chosen = discovery.load("learners", name)
    _check_known(path, chosen, args)
    try:
        expected = from_dict(spec) if spec else None
    except DataError as error:
        raise FileFormatError(
            f"{path} describes its input in words that are unknown here ({error}) Update quickstudy."
        ) from error
    if described is not None:
        args["net"] = net if net is not None else build_net(described)
    learner = chosen(**(args | dict(changes)))
    try:
        learner.load_state_dict({key: torch.from_numpy(value) for key, value in arrays.items()})
    except RuntimeError as error:
        raise FileFormatError(f"{path}: the weights do not fit {name} on {described}: {error}") from error
    return SavedLearner(learner, expected, info, target)


def _check_known(path: str | os.PathLike[str], chosen: type, args: Mapping[str, Any]) -> None:
    """A file may name only hyperparameters that its class has here."""
    strange = sorted(set(args) - set(inspect.signature(chosen).parameters))
    if strange:
        raise FileFormatError(
            f"{path} gives {chosen.__name__} a value for {', '.join(strange)}, which it does not have here: a newer quickstudy may "
            "have written the file. Update quickstudy."
        )


def check_saveable(learner: Learner) -> None:
    """A ModelError unless every constructor argument is kept as a plain value, so that the learner can be built again from a file."""
    try:
        json.dumps(hyperparameters(learner))
    except AttributeError as error:
        raise ModelError(
            f"{type(learner).__name__} does not keep a constructor argument ({error}); set self.NAME = NAME."
        ) from error
    except TypeError as error:
        raise ModelError(f"{type(learner).__name__} has a hyperparameter that is no plain value ({error}).") from error


def _described_learner(learner: Learner) -> dict[str, Any]:
    if type(learner).__module__.startswith("quickstudy.learners."):
        return {"name": discovery.name_of(learner), "args": hyperparameters(learner)}
    return {"class": f"{type(learner).__module__}.{type(learner).__qualname__}", "args": hyperparameters(learner)}


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
