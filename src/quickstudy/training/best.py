"""Best: the best learner by validation, on the disk or in memory, until the training ends."""

from __future__ import annotations

import dataclasses

import torch

from quickstudy import storage
from quickstudy.learner import Learner
from quickstudy.training.folder import RunFolder
from quickstudy.training.saving import SavedLearner, save_learner


class Best:
    """Keeps the best learner so far.

    Args:
        folder: where its file is kept; None keeps it in memory.
        snapshots: keep every learner that was validated, too.
    """

    def __init__(self, folder: RunFolder | None, snapshots: bool) -> None:
        self._folder, self._snapshots = folder, snapshots
        self._weights: dict[str, torch.Tensor] | None = None
        self._saved: SavedLearner | None = None

    def keep(self, saved: SavedLearner, step: int, best: bool) -> None:
        """Keep a learner that was validated after a step as the best one, if it is."""
        if self._folder is not None and self._snapshots:
            save_learner(self._folder.path / "snapshots" / f"step-{step:07d}.safetensors", saved)
        if best and self._folder is not None:
            save_learner(self._folder.learner, saved)
        elif best:
            self._weights = {name: value.clone() for name, value in saved.learner.state_dict().items()}
            self._saved = saved

    def set_in(self, learner: Learner, last: SavedLearner) -> SavedLearner:
        """Set a learner to the best one, and return it with where it comes from; `last` if none was validated."""
        if self._folder is not None and self._folder.learner.exists():
            _, arrays, meta = storage.load(self._folder.learner, "learner")
            learner.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
            return dataclasses.replace(last, info=meta["info"])
        if self._weights is None or self._saved is None:
            return last
        learner.load_state_dict(self._weights)
        return self._saved

    def save(self, saved: SavedLearner) -> None:
        """Write the file of the learner with which the training ends."""
        if self._folder is not None:
            save_learner(self._folder.learner, saved)
