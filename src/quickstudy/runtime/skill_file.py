"""Files of skills: what a skill has learned is written beside its learner, and read again with the engine that runs the learner."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import os
from types import ModuleType
from typing import Any

import numpy as np

from quickstudy.errors import ConfigError, FileFormatError
from quickstudy.inputs import InputSpec
from quickstudy.runtime import bundle as bundles
from quickstudy.runtime import pretrained
from quickstudy.runtime import state as states
from quickstudy.runtime.bundle import Bundle
from quickstudy.runtime.engines import Choices, Engine, Known, Learned, settings_of
from quickstudy.runtime.onnx_engine import OnnxEngine
from quickstudy.storage import check_file

EXPECTED = {
    "learner": "expected a learner's file, a run's folder, a shipped learner, or a skill that `save` or quickstudy adapt wrote",
    "skill": "expected a skill, as `save` or quickstudy adapt writes it",
}
"""End of the message about a file that is not there, by what was asked for."""


def write(path: str | os.PathLike[str], learner: Bundle, learned: Learned) -> None:
    """Write a learner and what it has learned to one file.

    Args:
        path: file to write.
        learner: the learner, as its engine packs it.
        learned: what it has learned.
    """
    known, choices = learned.known, learned.choices
    facts = {
        "kind": "skill",
        "labels": known.labels,
        "reading": dict(choices.reading),
        "settings": {name: value.item() for name, value in choices.settings.items()},
    }
    y = known.y if learner.learner is not None else known.y.astype(np.float32)  # graphs take no other type
    support = {**known.x, "y": y} if known.x else {}
    manifest = learner.manifest.model_copy(update=facts)
    bundles.write(path, dataclasses.replace(learner, manifest=manifest, state=known.state, support=support))


def load(path: str | os.PathLike[str], **own: Any) -> tuple[Engine, Learned]:
    """Return the engine that runs a skill's learner, and what it has learned.

    Args:
        path: a skill's file.
        own: modules and classes of the user's own, for the PyTorch engine.

    Raises:
        NotFoundError: there is no such file.
        FileFormatError: the file is damaged, foreign, newer, or holds no skill, or it needs PyTorch, which is not installed.
    """
    engine, learned = opened(path, EXPECTED["skill"], **own)
    if learned is None:
        raise FileFormatError(f"{path} is a learner that has learned no task yet; adapt it first.")
    return engine, learned


def opened(path: str | os.PathLike[str], expected: str = EXPECTED["learner"], **own: Any) -> tuple[Engine, Learned | None]:
    """Return the engine that runs a learner, and what it has learned if the file is a skill's.

    Args:
        path: a file, the folder of a run, or the name of a shipped learner.
        expected: the end of the message if there is no such file.
        own: modules and classes of the user's own, for the PyTorch engine.

    Raises:
        NotFoundError: there is no such file.
        FileFormatError: the file is damaged, foreign or newer, or it needs PyTorch, which is not installed.
    """
    found = pretrained.find(path)
    check_file(found, expected)
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
    return engine, None if bundle.manifest.kind == "learner" else _learned(bundle, engine)


def _learned(bundle: Bundle, engine: Engine) -> Learned:
    """Return what the learner in a bundle has learned."""
    manifest, support = bundle.manifest, dict(bundle.support)
    labels = manifest.labels or ()
    outputs = len(labels) or states.ways_of(bundle.state, manifest.state) or 0
    rows = support.pop("y", np.zeros((0, outputs), np.float32))
    known = Known(bundle.state, labels, support, rows, engine.reader_as(manifest.input))
    kept = bool(support) and manifest.continues
    return Learned(known, Choices(manifest.reading, settings_of(engine, manifest.settings, {}), kept))


def engine_of(other: Any, target: str | None = None) -> Engine:
    """Return the engine of a learner, however it is given.

    Args:
        other: an engine, what has one (a learner of the runtime, a skill), a learner for PyTorch, or a path or name of one of these.
        target: kind of answer, for a learner that can learn several.

    Raises:
        ConfigError: it is no learner.
    """
    found = getattr(other, "engine", other)
    if isinstance(found, Engine):
        return found
    if isinstance(other, str | os.PathLike):
        return opened(other)[0]
    if importlib.util.find_spec("torch") is None:
        raise ConfigError(f"{type(other).__name__} is no learner; expected a Learner, a skill, or a path or name of one.")
    return torch_engine("").engine_of(other, target)


def input_of(other: Any) -> InputSpec | None:
    """Return the spec of a learner's input, without starting what runs the learner; None if it has none.

    Args:
        other: what `engine_of` takes.

    Raises:
        QuickstudyError: its file is not there, or cannot be read.
    """
    found = getattr(other, "engine", other)
    if isinstance(found, Engine):
        return found.reader_for(None)
    if not isinstance(found, str | os.PathLike):
        return getattr(found, "spec", None)
    path = pretrained.find(found)
    return bundles.read(path).manifest.input if bundles.is_bundle(path) else opened(found)[0].reader_for(None)


def torch_engine(why: str) -> ModuleType:
    """Return the module of the PyTorch engine. It lies further up and is found by its name, so that no import here needs it.

    Args:
        why: what PyTorch is needed for: the beginning of the message if it is not installed.

    Raises:
        FileFormatError: PyTorch is not installed.
    """
    if importlib.util.find_spec("torch") is None:
        raise FileFormatError(f"{why}, and torch is not installed; export it first: quickstudy export RUN -o learner.qs.")
    return importlib.import_module("quickstudy.estimators._engine")
