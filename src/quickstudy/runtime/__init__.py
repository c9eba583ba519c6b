"""A bundle adapts and predicts: numpy and onnxruntime, no torch. `Learner` and `Task` are loaded when they are first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quickstudy.runtime.learner import Learner, Task

__all__ = ["Learner", "Task"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'quickstudy.runtime' has no attribute {name!r}")
    return getattr(importlib.import_module("quickstudy.runtime.learner"), name)
