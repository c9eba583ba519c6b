"""Checkpoints: everything that a run needs to go on bit for bit, in one atomic file."""

from __future__ import annotations

import pathlib
from typing import Any

import torch

from quickstudy import storage
from quickstudy.errors import ConfigError, ConflictError, FileFormatError, NotFoundError
from quickstudy.learner import Learner
from quickstudy.training.saving import to_arrays


def save(path: pathlib.Path, learner: Learner, optimizer: torch.optim.Optimizer, facts: dict[str, Any]) -> None:
    """Write the learner, the optimizer's moments and plain facts."""
    state = optimizer.state_dict()
    tensors = {f"learner.{name}": value for name, value in learner.state_dict().items()}
    for index, moments in state["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items() if value is not None}
    storage.save(path, "checkpoint", to_arrays(tensors), facts | {"param_groups": state["param_groups"]})


def load(path: pathlib.Path, learner: Learner, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Set the learner and the optimizer to what the checkpoint holds; the facts beside them.

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


def claim(out: pathlib.Path, resume: bool) -> bool:
    """Make sure that a run never overwrites another one, and that there is something to resume.

    Args:
        out: folder of the run.
        resume: go on from its checkpoint.

    Returns:
        Whether there is a checkpoint to go on from.
    """
    if out.exists() and not out.is_dir():
        raise ConflictError(f"{out} is a file; expected a folder for the run.")
    exists = (out / storage.CHECKPOINT).exists()
    if exists and not resume:
        raise ConflictError(
            f"{out} holds a run already. Go on with resume=True (--resume on the command line), or choose another folder."
        )
    if resume and not exists:
        raise NotFoundError(
            f"{out} holds no {storage.CHECKPOINT} to resume from. Start without resume, or name the folder of an interrupted run."
        )
    return exists


def check_same(before: dict[str, Any], now: dict[str, Any], out: pathlib.Path) -> None:
    """Raise a ConfigError unless a run goes on as it began: with the same settings, on the same tasks.

    What the run did not know when it began is left out.
    """
    was, is_now = _flat(before), _flat(now)
    changed = [
        f"{name.rpartition('.')[2]}: {was[name]} -> {value}"
        for name, value in is_now.items()
        if name in was and was[name] != value
    ]
    if changed:
        raise ConfigError(f"the run in {out} began with other settings ({'; '.join(changed)}). Resume with the same ones.")


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values as one level, with names such as `learner.args.inner_lr`."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
