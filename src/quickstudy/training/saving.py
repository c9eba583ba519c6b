"""A learner as one file: its tensors, the hyperparameters to build it again, what its inputs are, and where it comes from."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pydantic
import torch
from torch import nn

from quickstudy import discovery, storage
from quickstudy.errors import ConfigError, DataError, FileFormatError, ModelError
from quickstudy.inputs import InputSpec, from_dict
from quickstudy.learner import Learner
from quickstudy.runtime import bundle as bundles
from quickstudy.runtime import pretrained
from quickstudy.runtime.bundle import Bundle
from quickstudy.targets import ValueScale
from quickstudy.training.describing import build_module, check_header, describe_module, plain


@dataclasses.dataclass(frozen=True)
class SavedLearner:
    """A learner and what travels with it.

    Args:
        learner: ready to adapt.
        spec: what an example's input must be; None for rows of numbers of any kind.
        info: data set, protocol, training and results, as plain values.
        target: kind of answers, a name of `quickstudy.objectives`.
        temperature: number by which logits are divided to become probabilities: `softmax(logits / temperature)`, for a learner whose
            logits do not follow the number of ways.
        temperature_power: how the temperature follows the number of ways: it is `temperature * ways ** temperature_power`.
        statistics: simple statistics of the training inputs, as `spec.statistics` returns them; empty if they were not measured.
        threshold: largest logit below which an example belongs to no class; None if it was not measured.
        symbols: alphabet of sequences, the space first, if a learned head is fixed to it; empty if each task has its own.
        scale: names of the values that it predicts, and the scale at which it sees them; None: as they are.
    """

    learner: Learner
    spec: InputSpec | None = None
    info: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    target: str = "classes"
    temperature: float = 1.0
    statistics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    threshold: float | None = None
    temperature_power: float = 0.0
    symbols: tuple[str, ...] = ()
    scale: ValueScale | None = None

    def temperature_of(self, ways: int) -> float:
        """Return the number by which the logits of so many ways are divided to become probabilities."""
        return self.temperature * max(ways, 1) ** self.temperature_power


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


def _opened(bundle: Bundle, path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the weights and the description of the learner in a bundle."""
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
        "temperature_power": manifest.temperature_power or 0.0,
        "statistics": manifest.statistics,
        "threshold": None if manifest.unknown is None else manifest.unknown.threshold,
        "symbols": manifest.target.symbols or (),
        "scale": None if manifest.target.scale is None else manifest.target.scale.model_dump(),
    }


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
        "temperature_power": float(saved.temperature_power),
        "statistics": plain(saved.statistics, "statistics"),
        "threshold": saved.threshold,
        **({"symbols": list(saved.symbols)} if saved.symbols else {}),
        **({} if saved.scale is None else {"scale": plain(saved.scale.model_dump(), "scale")}),
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
        # only exported graphs take rows of any length
        spec = from_dict(meta["input"]).with_padding(True) if meta["input"] else None
        learner = build_module(chosen or discovery.load("learners", name), described, changes)
        weights = {key: torch.from_numpy(value) for key, value in arrays.items()}
        for key, value in {**dict(learner.named_parameters()), **dict(learner.named_buffers())}.items():
            saved = weights[key].dtype if key in weights else value.dtype
            value.data = value.data.to(torch.bfloat16 if key in described.get("bfloat16", ()) else saved)
        for key, value in learner.named_parameters():
            value.requires_grad_(key not in described.get("frozen", ()))
        learner.load_state_dict(weights)
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from error
    except DataError as error:
        raise FileFormatError(
            f"{path} describes its input in words that are unknown here ({error}) Update quickstudy."
        ) from error
    except RuntimeError as error:
        modules = described["modules"]
        raise FileFormatError(f"{path}: the weights do not fit {name} on {modules}: {error}") from error
    later = {
        name: meta[name] for name in ("threshold", "temperature_power") if name in meta
    }  # version 0.2.0 did not write them
    later |= {"symbols": tuple(meta.get("symbols", ())), "scale": _scale(path, meta)}
    return SavedLearner(learner, spec, meta["info"], meta["target"], meta["temperature"], meta["statistics"], **later)


def _scale(path: str | os.PathLike[str], meta: Mapping[str, Any]) -> ValueScale | None:
    """Return the scale of the values that a described learner predicts; None if it sees them as they are."""
    try:
        return None if meta.get("scale") is None else ValueScale.model_validate(meta["scale"])
    except pydantic.ValidationError as error:
        raise FileFormatError(f"{path} has a damaged header (scale: {error.errors()[0]['msg']}).") from error


def to_arrays(tensors: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Return the tensors as NumPy arrays; bfloat16, which NumPy lacks, as float32, which holds it exactly.

    Raises:
        ModelError: a tensor has another type that NumPy lacks.
    """
    try:
        wide = {name: value.float() if value.dtype == torch.bfloat16 else value for name, value in tensors.items()}
        return {name: value.detach().cpu().contiguous().numpy() for name, value in wide.items()}
    except TypeError as error:
        kinds = sorted({str(value.dtype).removeprefix("torch.") for value in tensors.values()})
        raise ModelError(
            f"weights of type {' and '.join(kinds)} cannot all be saved ({error}); convert the learner with learner.float() first."
        ) from error
