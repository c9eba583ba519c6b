"""Write a folder of C that adapts and predicts: `quickstudy export --target c`."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np

from quickstudy import discovery, storage, targets
from quickstudy.errors import ConfigError, ModelError, check_at_least, check_choice
from quickstudy.export.c.emit import HERE, filled
from quickstudy.export.c.float32 import compile_float
from quickstudy.export.c.int8 import compile_integer
from quickstudy.export.c.program import Code, Request
from quickstudy.export.c.quantize import IntegerError
from quickstudy.export.input import input_of
from quickstudy.objectives.labels import MultiHot
from quickstudy.objectives.values import Values
from quickstudy.training.saving import SavedLearner

Precision = Literal["auto", "float32", "int8"]


@dataclasses.dataclass(frozen=True)
class FirmwareSettings:
    """Settings of a folder of C: sizes of a task, precision and names.

    Args:
        ways: classes of a task, at most (outputs, for regression).
        examples: support examples of a task, at most.
        precision: `float32`; `int8`, integers only, for a learner of prototypes on a chain of convolutions (net `conv4`) over inputs of
            bytes; `auto` is int8 for a learner that has an integer form, and float32 for every other.
        prefix: beginning of all C names, so that several learners link into one program.

    Raises:
        ConfigError: a value is out of range.
    """

    ways: int = 5
    examples: int = 25
    precision: Precision = "auto"
    prefix: str = "qs"

    def __post_init__(self) -> None:
        check_at_least("ways", self.ways, 1)
        check_at_least("examples", self.examples, 1)
        check_choice("precision", self.precision, get_args(Precision))
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.prefix):
            raise ConfigError(
                f"prefix is {self.prefix!r}; expected a C name of small letters, digits and underscores, such as 'doors'."
            )


@dataclasses.dataclass(frozen=True)
class Firmware:
    """A folder of C that was written, and the memory that it takes.

    Args:
        folder: where the files are.
        precision: `float32` or `int8`.
        files: names of the files.
        weights: bytes of constants (flash).
        arena: bytes of working memory (RAM), once for all tasks.
        state: bytes of one adapted task (RAM).
        grows: True if the working memory is for `examples` support examples and would be less for fewer, because the learner needs all
            of them at once (batch norm on support statistics). Without batch norm it holds one example at a time.
    """

    folder: pathlib.Path
    precision: Literal["float32", "int8"]
    files: tuple[str, ...]
    weights: int
    arena: int
    state: int
    grows: bool


def write_firmware(
    folder: str | os.PathLike[str],
    saved: SavedLearner,
    settings: FirmwareSettings = FirmwareSettings(),
    *,
    calibration: np.ndarray | None = None,
    features: int | None = None,
) -> Firmware:
    """Write a learner as C99: `learner.h` (`qs_adapt`, `qs_predict`), `learner.c`, `weights.h`, kernels, an example and a README.

    Args:
        folder: where to write; files of the same names are replaced.
        saved: the learner, from `load_learner`.
        settings: sizes of a task, precision and names.
        calibration: examples as they are stored, `[example, row, column, channel]`, for int8: a few hundred such as the device will see,
            to measure the ranges of activations with. None draws letters, for a learner whose inputs can be letters.
        features: numbers per row, for a learner on rows whose net does not say.

    Raises:
        ModelError: the learner does something that has no C form; the message names the operator and the layer, and what to use instead.
        ConfigError: the learner's inputs have several parts or are rows of tables, it scales values, nobody says how long its rows are,
            or int8 lacks examples.

    >>> import tempfile
    >>> from quickstudy.learners.maml import MAML
    >>> from quickstudy.nets.mlp import MLP
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_firmware(folder, SavedLearner(MAML(MLP(in_features=4, hidden=(8,)))), FirmwareSettings(ways=2)).state
    248
    """
    _check_answerable(saved)
    spec = input_of(saved, features)
    if len(spec.layout()) > 1:
        raise ConfigError(
            f"the learner takes {spec}, which are {len(spec.layout())} tensors; C takes one. Export without --target c."
        )
    if spec.tabular:
        raise ConfigError(
            f"the learner takes {spec}, which the device cannot turn into numbers as training did; export without --target c, or train on "
            "rows of numbers (an .npz file)."
        )
    if saved.scale is not None:
        raise ConfigError(
            f"the learner sees {', '.join(saved.scale.names)} at a scale of its training, which C does not apply; export without "
            "--target c, or train on values that were scaled before."
        )
    request = Request(settings.ways, settings.examples, spec, discovery.load("objectives", saved.target))
    source, chosen = _compiled(saved, request, settings.precision, calibration)
    return _write(pathlib.Path(folder), settings.prefix, _files(saved, request, source, chosen), (source, chosen))


def _compiled(
    saved: SavedLearner, request: Request, precision: Precision, calibration: np.ndarray | None
) -> tuple[Code, Literal["float32", "int8"]]:
    """Return the C and its precision: for `auto` float32 if int8 cannot do the learner."""
    if precision != "float32":
        try:
            examples = (lambda: _letters(request)) if calibration is None else (lambda: calibration)
            return compile_integer(saved.learner, request, examples), "int8"
        except IntegerError:
            if precision == "int8":
                raise
    return compile_float(saved.learner, request), "float32"


def _check_answerable(saved: SavedLearner) -> None:
    """Raise a ModelError for a learner that needs a batch of queries, or answers with sequences."""
    if saved.target == MultiHot.name:
        raise ModelError("the learner answers with sets of labels, which C does not take yet; export without --target c.")
    if targets.axes(saved.target):
        raise ModelError(f"the learner answers with {saved.target}, which C does not decode; export without --target c.")
    if saved.learner.transductive and saved.learner.statistics == "query":
        raise ModelError(
            f"{type(saved.learner).__name__} has statistics='query', which normalises by a batch of queries; a device predicts one at a "
            "time. Load it with statistics='support' (or 'population', if the learner keeps them)."
        )
    if saved.learner.transductive:
        raise ModelError(
            f"{type(saved.learner).__name__} answers a batch of queries together, but a device predicts one at a time; load it with "
            "hyperparameters that make it inductive."
        )


def _letters(request: Request) -> np.ndarray:
    """Return some 300 drawn letters, as the learner's inputs are stored.

    Raises:
        ConfigError: the learner's inputs are of another kind than letters, or have other channels.
    """
    from quickstudy.data.glyphs import load_glyphs
    from quickstudy.data.known.glyphs import SPEC

    (layout,) = SPEC.layout().values()
    if not isinstance(request.spec, type(SPEC)) or request.layout.axes[2:] != layout.axes[2:]:
        raise ConfigError(
            f"int8 needs examples to measure the ranges of activations with, and this learner takes {request.spec}, which drawn letters "
            "cannot stand for: give calibration, a few hundred examples (on the command line --data NAME), or precision='float32'."
        )
    letters = load_glyphs("val", copies=4)
    (drawn,) = letters.examples.values()
    return request.spec.read_all(drawn[:: max(1, len(drawn) // 300)], **letters.spec.as_read())[request.input]


def _files(saved: SavedLearner, request: Request, source: Code, precision: Literal["float32", "int8"]) -> dict[str, str]:
    """Return the text of each file by its name."""
    kernels = "int8.h" if precision == "int8" else "kernels.h"
    of_values = request.answers is Values
    origins = {kernels: kernels, "hot.h": "hot.h", "example.c": "example_values.c" if of_values else "example.c"}
    copied = {name: (HERE / origin).read_text(encoding="utf-8") for name, origin in origins.items()}
    facts = {
        "learner": type(saved.learner).__name__,
        "precision": precision,
        "task": f"of {request.ways} values per example" if of_values else f"of up to {request.ways} ways",
        "examples": request.examples,
        "weights": source.weights,
        "arena": source.arena,
        "state": source.state,
        "kernels": kernels,
        "grows": _GROWS if source.grows else "It holds one support example at a time, however many there are.",
    }
    return {**source.files, **copied, "README.md": filled("README", **facts)}


def _write(
    folder: pathlib.Path, prefix: str, files: Mapping[str, str], compiled: tuple[Code, Literal["float32", "int8"]]
) -> Firmware:
    """Write the files, with the prefix at the beginning of all names."""
    source, precision = compiled
    for name, text in files.items():
        named = re.sub(r"\bqs_", f"{prefix}_", re.sub(r"(?<![A-Za-z0-9_])(-D)?QS_", rf"\g<1>{prefix.upper()}_", text))
        storage.write_atomically(folder / name, named.encode())
    return Firmware(folder, precision, tuple(files), source.weights, source.arena, source.state, source.grows)


_GROWS = (
    "It grows with the number of support examples, since this learner looks at all of them at once (batch norm on their statistics); "
    "train with `--net.norm group` or `none` for memory that does not."
)
