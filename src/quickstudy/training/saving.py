"""A learner as one file: its tensors, the hyperparameters to build it again, what its inputs are, and where it comes from."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from quickstudy import discovery, storage
from quickstudy.errors import ConfigError, DataError, FileFormatError, ModelError
from quickstudy.inputs import InputSpec, from_dict
from quickstudy.inputs.image import Ink
from quickstudy.learner import Learner, State
from quickstudy.objectives.classes import OneHot
from quickstudy.runtime import bundle as bundles
from quickstudy.runtime import pretrained
from quickstudy.runtime.bundle import Bundle
from quickstudy.task import Examples
from quickstudy.training.describing import build_module, check_header, describe_module, plain


@dataclasses.dataclass(frozen=True)
class SavedLearner:
    """A learner and what travels with it.

    Args:
        learner: ready to adapt.
        spec: what an example's input must be; None for rows of numbers of any kind.
        info: data set, protocol, training and results, as plain values.
        target: kind of answers, a name of `quickstudy.objectives`.
        temperature: number by which logits are divided to become probabilities: `softmax(logits / temperature)`.
        statistics: simple statistics of the training inputs, as `spec.statistics` returns them; empty if they were not measured.
    """

    learner: Learner
    spec: InputSpec | None = None
    info: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    target: str = "classes"
    temperature: float = 1.0
    statistics: Mapping[str, float] = dataclasses.field(default_factory=dict)


def save_learner(path: str | os.PathLike[str], saved: SavedLearner) -> None:
    """Write a learner to one safetensors file, whole or not at all.

    Raises:
        ConfigError, ModelError: something of it cannot be kept in a file.
        StorageError: the file cannot be written.
    """
    storage.save(path, "learner", to_arrays(saved.learner.eval().state_dict()), describe(saved))


def load_learner(
    path: str | os.PathLike[str], net: nn.Module | None = None, learner: type[Learner] | None = None, **changes: Any
) -> SavedLearner:
    """Read a learner.

    Args:
        path: a file that `save_learner` wrote, the folder of a run, or the name of a learner that ships with quickstudy.
        net: the net, if it is your own and not one of `quickstudy.nets`.
        learner: the class, if it is your own and not one of `quickstudy.learners`.
        changes: hyperparameters to change, such as `inner_steps=3`, and modules of your own by the name of their argument. What the
            file does not know has its default.

    Raises:
        FileFormatError: damaged, foreign or newer file, or weights that do not fit the net.
        ConfigError: unknown hyperparameter, or a net of your own that was not given.
    """
    found = pretrained.find(path)
    arrays, meta = _opened(bundles.read(found), path) if bundles.is_bundle(found) else storage.load(found, "learner")[1:]
    return _build(path, arrays, meta, learner, changes if net is None else changes | {"net": net})


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
    saved = _build(path, parts["learner"], meta, learner, {} if net is None else {"net": net})
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
    return weights, {
        "learner": manifest.learner,
        "input": manifest.input.model_dump(),
        "info": manifest.results,
        "target": manifest.target.kind,
        "temperature": manifest.temperature,
        "statistics": manifest.statistics,
    }


def _task_in(bundle: Bundle, path: str | os.PathLike[str], own: tuple[nn.Module | None, type[Learner] | None]) -> SavedTask:
    """Return the skill in a bundle."""
    manifest = bundle.manifest
    if manifest.kind != "skill" or manifest.labels is None:
        raise FileFormatError(f"{path} is a saved learner; expected a saved task.")
    saved = _build(path, *_opened(bundle, path), own[1], {} if own[0] is None else {"net": own[0]})
    state = {name: torch.from_numpy(value) for name, value in bundle.state.items()}
    stored = {name: value for name, value in bundle.support.items() if name != "y"}
    support = None
    if stored:
        x = next(iter(manifest.input.to_network(stored).values()))
        support = Examples(torch.from_numpy(x), OneHot(torch.from_numpy(bundle.support["y"])))
    features = getattr(manifest.input, "features", None)
    return SavedTask(saved, state, manifest.labels, support, manifest.reading.get("ink"), features)  # pyright: ignore[reportArgumentType]


def describe(saved: SavedLearner) -> dict[str, Any]:
    """Return what a file says about a learner, as plain values.

    Raises:
        ConfigError, ModelError: something of it cannot be kept in a file.
    """
    return {
        "learner": describe_module(saved.learner),
        "input": saved.spec.model_dump() if saved.spec else None,
        "info": plain(saved.info, "info"),
        "target": saved.target,
        "temperature": float(saved.temperature),
        "statistics": plain(saved.statistics, "statistics"),
    }


def _build(
    path: str | os.PathLike[str],
    arrays: Mapping[str, np.ndarray],
    meta: Mapping[str, Any],
    chosen: type[Learner] | None,
    changes: Mapping[str, Any],
) -> SavedLearner:
    """Build the learner that a file describes, with these weights and changed arguments."""
    check_header(path, meta)
    described = meta["learner"]
    name = described.get("name") or described["class"]
    if chosen is None and "class" in described:
        raise ConfigError(f"{path} is a learner of your own, {name}; pass its class as learner=.")
    try:
        spec = from_dict(meta["input"]) if meta["input"] else None
        learner = build_module(chosen or discovery.load("learners", name), described, changes)
        learner.load_state_dict({key: torch.from_numpy(value) for key, value in arrays.items()})
        for parameter, value in learner.named_parameters():
            value.requires_grad_(parameter not in described.get("frozen", ()))
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from error
    except DataError as error:
        raise FileFormatError(
            f"{path} describes its input in words that are unknown here ({error}) Update quickstudy."
        ) from error
    except RuntimeError as error:
        modules = described["modules"]
        raise FileFormatError(f"{path}: the weights do not fit {name} on {modules}: {error}") from error
    return SavedLearner(learner, spec, meta["info"], meta["target"], meta["temperature"], meta["statistics"])


def to_arrays(tensors: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Return the tensors as NumPy arrays.

    Raises:
        ModelError: a tensor has a type that NumPy lacks, such as bfloat16.
    """
    try:
        return {name: value.detach().cpu().contiguous().numpy() for name, value in tensors.items()}
    except TypeError as error:
        kinds = sorted({str(value.dtype).removeprefix("torch.") for value in tensors.values()})
        raise ModelError(
            f"weights of type {' and '.join(kinds)} cannot all be saved ({error}); convert the learner with learner.float() first."
        ) from error
