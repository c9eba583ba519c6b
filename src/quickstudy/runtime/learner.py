"""Learner: a bundle that adapts and predicts, with numpy and onnxruntime alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from quickstudy.errors import ConfigError
from quickstudy.runtime import bundle as bundles
from quickstudy.runtime import pretrained
from quickstudy.runtime.bundle import Arrays, Bundle
from quickstudy.runtime.engines import Choices, Engine, settings_of
from quickstudy.runtime.manifest import Manifest, ProgramName
from quickstudy.runtime.onnx_engine import OnnxEngine
from quickstudy.runtime.skill import Skill


class Learner:
    """A learner from a bundle. Several threads may adapt and predict at the same time.

    Args:
        bundle: content of the file, as `bundle.read` returns it.
        threads: number of threads that one operation may use.

    >>> learner = Learner.load("omniglot")
    >>> bar, dash = np.ones((2, 28, 28))  # white paper
    >>> bar[4:24, 13:15] = dash[13:15, 4:24] = 0.0
    >>> learner.adapt([bar, dash], ["bar", "dash"]).predict([dash])
    ['dash']
    """

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self.engine = OnnxEngine(bundle, threads)

    def __repr__(self) -> str:
        return f"<Learner {self.engine.facts.name}>"

    @classmethod
    def load(cls, path: str | os.PathLike[str], threads: int = 1) -> Learner:
        """Read the learner in a bundle (a skill's bundle holds one too), or one that ships with quickstudy, by its name.

        Raises:
            NotFoundError: there is no such file.
            FileFormatError: the file is damaged, foreign, newer or made to harm.
        """
        return cls(bundles.read(pretrained.find(path)), threads)

    @property
    def bundle(self) -> Bundle:
        """Return what the file holds."""
        return self.engine.bundle

    @property
    def manifest(self) -> Manifest:
        """Return what the bundle says about itself."""
        return self.engine.bundle.manifest

    def adapt(self, x: Any, y: Any, skill: Skill | None = None, *, keep: bool = False, **options: Any) -> Skill:
        """Learn a task from a few labelled examples.

        Args:
            x: a list of images (paths, encoded bytes, Pillow images, arrays) or of texts, or rows of numbers `[example, feature]`.
            y: one label per example; or one value, or row of values.
            skill: earlier skill to go on from, with its own options if no others are given; it stays as it is.
            keep: keep the examples, so that `skill.examples` gives them back and `skill.moved_to` teaches them to another learner.
            options: how examples are read (`ink="dark"` for images drawn dark on light, `"light"` for light on dark), and other
                values of the learner's settings, such as `inner_steps=10` (see `manifest.settings`).

        Raises:
            DataError: examples or labels cannot be used.
            TaskError: there is a single class, or more ways than the learner's head has.
            ConfigError: the learner has no such option, or diverges with its `inner_lr`.
        """
        return begun(self.engine, skill, keep, options).add(x, y)

    def run(self, name: ProgramName, values: Arrays) -> dict[str, np.ndarray]:
        """Return the outputs of `adapt`, `update` or `predict` for inputs by name.

        Raises:
            ConfigError: `update` of a learner that would forget, or a bundle for PyTorch, which has no graphs.
        """
        return self.engine.run(name, values)


def begun(engine: Engine, earlier: Skill | None, keep: bool, options: Mapping[str, Any]) -> Skill:
    """Return a skill that has learned nothing yet, or what an earlier one has.

    Args:
        engine: runs the learner.
        earlier: skill to go on from.
        keep: keep the examples.
        options: how examples are read, and settings of the learner.

    Raises:
        ConfigError: the earlier skill is one of another learner, or the learner has no such option.
    """
    if earlier is not None and not engine.same_as(earlier.engine):
        raise ConfigError(
            "the skill is one of another learner; use the learner that it came from, or teach it: skill.moved_to."
        )
    before = Choices() if earlier is None else earlier.choices
    said = [name for name in engine.reader_for(None).readings() if name in options]
    reading = {**before.reading, **{name: options[name] for name in said if options[name] is not None}}
    settings = {name: value for name, value in options.items() if name not in said}
    choices = Choices(reading, settings_of(engine, settings, before.settings), keep or before.keep, before.expected)
    return Skill(engine, choices, None if earlier is None else earlier.known)
