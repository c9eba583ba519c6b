"""Checkpoints: everything that a run needs to go on bit for bit, in one atomic file."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import torch

from quickstudy import storage
from quickstudy.errors import ConfigError, FileFormatError
from quickstudy.learner import Learner
from quickstudy.training.saving import to_arrays


@dataclasses.dataclass
class Run:
    """State of a training apart from tensors: what a checkpoint holds beside them.

    Args:
        step: outer steps done.
        seconds: time that they took.
        plan: the engine's, once it is chosen.
        engine: the plan in words, and why it was chosen.
        job: name of the launch whose processes wrote the checkpoint.
        best: mean of the best validation, None before the first.
        best_step: step of the best validation.
        stale: validations since the best one.
    """

    step: int = 0
    seconds: float = 0.0
    plan: dict[str, Any] | None = None
    engine: str = ""
    job: str = ""
    best: float | None = None
    best_step: int = 0
    stale: int = 0


def save(path: pathlib.Path, learner: Learner, optimizer: torch.optim.Optimizer, facts: dict[str, Any]) -> None:
    """Write the learner, the optimizer's moments and plain facts."""
    state = optimizer.state_dict()
    tensors = {f"learner.{name}": value for name, value in learner.state_dict().items()}
    for index, moments in state["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items() if value is not None}
    storage.save(path, "checkpoint", to_arrays(tensors), facts | {"param_groups": state["param_groups"]})


def load(path: pathlib.Path, learner: Learner, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Set the learner and the optimizer to what the checkpoint holds, and return the facts beside them.

    Raises:
        FileFormatError: no, damaged or foreign checkpoint, or one of another learner.
    """
    _, arrays, facts = storage.load(path, "checkpoint")
    weights: dict[str, torch.Tensor] = {}
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in arrays.items():
        part, _, rest = name.partition(".")
        if part == "learner":
            weights[rest] = torch.from_numpy(value)
        else:
            index, _, moment = rest.partition(".")
            moments.setdefault(int(index), {})[moment] = torch.from_numpy(value)
    try:
        learner.load_state_dict(weights)
        optimizer.load_state_dict({"state": moments, "param_groups": facts.pop("param_groups")})
    except (RuntimeError, ValueError, KeyError) as error:
        raise FileFormatError(f"{path} is the checkpoint of another learner, net or optimizer: {error}") from error
    return facts


ADDED = {"class_weights": "none", "objective.character_weight": 1.0, "objective.word_weight": 0.0}
"""Settings that older runs do not name, with the value that says what these did."""


def check_same(before: dict[str, Any], now: dict[str, Any], out: pathlib.Path) -> None:
    """Raise a ConfigError unless a resumed run goes on as it began: with the same settings, on the same tasks."""
    old, new = {f"settings.{name}": value for name, value in ADDED.items()} | _flat(before), _flat(now)
    changed = [f"{_option(path)}: {old[path]} -> {value}" for path, value in new.items() if path in old and old[path] != value]
    if changed:
        raise ConfigError(f"the run in {out} began with other settings ({'; '.join(changed)}). Resume with the same ones.")


def _option(path: str) -> str:
    """Return what the setting at a path is called by those who choose it.

    >>> _option("settings.validation.every"), _option("learner.args.inner_lr"), _option("learner.modules.net.args.channels")
    ('validation.every', 'inner_lr', 'net.channels')
    """
    return ".".join(word for word in path.split(".")[1:] if word not in ("args", "modules"))


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values by their path, such as `learner.args.inner_lr`."""
    flat = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat
