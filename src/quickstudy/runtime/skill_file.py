"""Files of skills, and which engine runs what is in them."""

from __future__ import annotations

import importlib
import importlib.util
import os
from types import ModuleType
from typing import Any

import numpy as np

from quickstudy.errors import ConfigError, FileFormatError
from quickstudy.runtime import bundle as bundles
from quickstudy.runtime import manifest as manifests
from quickstudy.runtime import pretrained
from quickstudy.runtime.bundle import Bundle
from quickstudy.runtime.learner import Learner, OnnxEngine, skill_facts
from quickstudy.runtime.manifest import Manifest
from quickstudy.runtime.skill import Choices, Engine, Known, Learned, Skill


def load(path: str | os.PathLike[str], **own: Any) -> tuple[Engine, Learned]:
    """Return the engine and what it has learned; `own` are modules and classes of the user's own, for the PyTorch engine.

    Raises:
        FileFormatError: the file is damaged, foreign, newer, or holds no skill, or it needs PyTorch, which is not installed.
    """
    engine, learned = opened(path, **own)
    if learned is None:
        raise FileFormatError(f"{path} is a learner that has learned no task yet; adapt it first.")
    return engine, learned


def opened(path: str | os.PathLike[str], **own: Any) -> tuple[Engine, Learned | None]:
    """Return the engine of a learner, and what it has learned if the file is a skill's; other arguments and errors as of `load`."""
    found = pretrained.find(path)
    given = {name: value for name, value in own.items() if value is not None}
    if not bundles.is_bundle(found):
        return torch_engine(f"{path} holds a learner for PyTorch").load_engine(found, **given), None
    bundle = bundles.read(found)
    if bundle.learner is not None:
        engine: Engine = torch_engine(f"{path} holds a learner for PyTorch").engine_in(bundle, **given)
    elif given:
        raise ConfigError(f"{path} brings its learner along as graphs; leave out {', '.join(given)}.")
    else:
        engine = OnnxEngine(bundle)
    return engine, None if bundle.manifest.kind == "learner" else learned_in(bundle, engine)


def learned_in(bundle: Bundle, engine: Engine) -> Learned:
    """Return what the learner in a bundle has learned."""
    manifest, support = bundle.manifest, dict(bundle.support)
    rows = support.pop("y", np.zeros((0, 0), np.float32))
    known = Known(bundle.state, manifest.labels or (), support, rows, engine.reader_as(manifest.input))
    return Learned(
        known, Choices(manifest.reading, engine.settings(manifest.settings, {}), bool(support) and manifest.continues)
    )


def save_with_learner(path: str | os.PathLike[str], learner: bytes, learned: Learned, engine: Engine) -> None:
    """Write a skill whose learner is one for PyTorch.

    Args:
        path: of the file.
        learner: bytes of the learner's own file.
        learned: what it has learned.
        engine: that runs the learner.
    """
    known = learned.known
    facts: dict[str, Any] = {
        "format": manifests.FORMAT,
        "learner": {"name": engine.name},
        "layout": known.spec.layout(),
        "target": manifests.Target(kind=engine.target, outputs=engine.ways),
        "continues": engine.continues,
        "protocol": "",
        "temperature": engine.temperature,
        "statistics": dict(engine.statistics),
    }
    support = {**known.x, "y": known.y} if known.x else {}
    manifest = Manifest(**{**facts, **skill_facts(learned)})
    bundles.write(path, Bundle(manifest, {}, {}, known.state, support, learner))


def engine_of(other: Any, target: str | None = None) -> Engine:
    """Return the engine of a learner, however it is given.

    Args:
        other: an engine, a learner, a skill, or a path or name of one of these.
        target: kind of answer, for a learner that can learn several.

    Raises:
        ConfigError: it is no learner.
    """
    if isinstance(other, Learner | Skill):
        return other.engine
    if hasattr(other, "reader_for"):
        return other
    if isinstance(other, str | os.PathLike):
        return opened(other)[0]
    if importlib.util.find_spec("torch") is None:
        raise ConfigError(f"{type(other).__name__} is no learner; expected a Learner, a skill, or a path or name of one.")
    return torch_engine("").engine_of(other, target)


def torch_engine(why: str) -> ModuleType:
    """Return the module of the PyTorch engine, which lies further up: nothing here may need it in order to be imported.

    Raises:
        FileFormatError: PyTorch is not installed.
    """
    if importlib.util.find_spec("torch") is None:
        raise FileFormatError(f"{why}, and torch is not installed; export it first: quickstudy export RUN -o learner.qs.")
    return importlib.import_module("quickstudy.estimators._engine")
