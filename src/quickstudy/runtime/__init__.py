"""Bundles adapt and predict with numpy and onnxruntime, without torch. `Learner` and `Skill` are loaded when they are first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quickstudy.runtime.learner import Learner
    from quickstudy.runtime.skill import Skill

__all__ = ["Learner", "Skill"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'quickstudy.runtime' has no attribute {name!r}")
    return getattr(importlib.import_module(f"quickstudy.runtime.{name.lower()}"), name)
