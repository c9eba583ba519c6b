"""learn a task from a folder of examples: quickstudy adapt omniglot my-classes/ -o mine.task"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from quickstudy import storage
from quickstudy.cli import _output, _parser
from quickstudy.data.readers.folder import examples_in
from quickstudy.errors import ConfigError
from quickstudy.inputs.image import Ink
from quickstudy.inputs.rows import RowsSpec
from quickstudy.runtime import bundle as bundles
from quickstudy.runtime import classifier as runtime
from quickstudy.runtime import pretrained
from quickstudy.runtime.learner import Learner

_NOT_IMAGES = "{} learns from rows of numbers, not from images; use FewShotClassifier in Python for it."


class Classifier(Protocol):
    """What this verb and `predict` need of a classifier, with PyTorch or without."""

    def partial_fit(self, X: Any, y: Any) -> Any: ...

    def predict_proba(self, X: Any) -> np.ndarray: ...

    def save(self, path: str) -> None: ...

    @property
    def classes_(self) -> np.ndarray: ...


def run(arguments: Sequence[str]) -> None:
    """Adapt a learner (or go on from an adapted task) to a folder with one sub-folder of images per class."""
    parser = _parser.make_parser("adapt", __doc__)
    parser.add_argument(
        "learner", type=str, help="a learner's file, a run's folder, a shipped learner, or a task to go on from"
    )
    parser.add_argument("support", type=str, help="folder with one sub-folder of images (PNG, JPEG, ...) per class")
    parser.add_argument("-o", "--out", type=str, required=True, help="file to write the adapted task to")
    parser.add_argument(
        "--ink", type=str | None, default=None, help="your images are drawn dark on light (dark) or light on dark (light)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse(arguments)
    paths, labels = examples_in(pathlib.Path(options.support))
    classifier = open_classifier(options.learner, options.ink)
    classifier.partial_fit(paths, labels)
    classifier.save(options.out)
    counts = [(label, labels.count(label)) for label in dict.fromkeys(labels)]
    if options.json:
        _output.as_json(
            {"task": options.out, "examples": dict(counts), "classes": [str(label) for label in classifier.classes_]}
        )
        return
    _output.table(("class", "examples"), counts, title=f"learned: {options.out}")
    _output.following("predict", options.out, paths[0])


def open_classifier(path: str, ink: str | None) -> Classifier:
    """A classifier on a learner, or on a task that was learned before."""
    found = pretrained.find(path)
    if bundles.is_bundle(found):
        bundle = bundles.read(found)
        if isinstance(bundle.manifest.input, RowsSpec):
            raise ConfigError(_NOT_IMAGES.format(path))
        if bundle.manifest.kind == "skill":
            return open_task(found, ink)
        return runtime.FewShotClassifier(Learner(bundle), checked_ink(ink))
    if storage.load(found, "learner", "task").kind == "task":
        return open_task(found, ink)
    from quickstudy.estimators.classifier import FewShotClassifier  # imports torch, for files that need it
    from quickstudy.training.saving import load_learner

    saved = load_learner(found)
    if saved.spec is None:
        raise ConfigError(_NOT_IMAGES.format(path))
    return FewShotClassifier(saved, checked_ink(ink))


def open_task(path: str | pathlib.Path, ink: str | None) -> Classifier:
    """A classifier that learned a task before."""
    if bundles.is_bundle(path):
        return runtime.FewShotClassifier.load(path, checked_ink(ink))
    from quickstudy.estimators.classifier import FewShotClassifier

    return FewShotClassifier.load(path, checked_ink(ink))


def checked_ink(ink: str | None) -> Ink | None:
    """The value of `--ink`, or a ConfigError."""
    if ink in (None, "dark", "light"):
        return ink
    raise ConfigError(f"ink is {ink!r}; expected dark (drawn dark on light) or light (light on dark, and photos).")
