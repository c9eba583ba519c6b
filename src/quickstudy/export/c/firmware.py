"""A folder of C that adapts and predicts: what `quickstudy export --target c` writes."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np

from quickstudy import discovery, storage
from quickstudy.errors import ConfigError, ModelError, check_at_least, check_choice
from quickstudy.export.c.emit import HERE, filled
from quickstudy.export.c.float32 import compile_float
from quickstudy.export.c.int8 import compile_integer
from quickstudy.export.c.program import Request, Source
from quickstudy.export.c.quantize import IntegerError
from quickstudy.inputs.image import ImageSpec
from quickstudy.training.saving import SavedLearner

Precision = Literal["auto", "float32", "int8"]


@dataclasses.dataclass(frozen=True)
class Firmware:
    """What was written.

    Args:
        folder: where.
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
    *,
    ways: int = 5,
    examples: int = 25,
    precision: Precision = "auto",
    images: np.ndarray | None = None,
    features: int | None = None,
    prefix: str = "qs",
) -> Firmware:
    """Write a learner as C99: `learner.h` (`qs_adapt`, `qs_predict`), `learner.c`, `weights.h`, kernels, an example and a README.

    Args:
        folder: where to write; files of the same names are replaced.
        saved: the learner, from `load_learner`.
        ways: classes of a task, at most (outputs, for regression).
        examples: support examples of a task, at most.
        precision: `float32`; `int8`, integers only, for ProtoNet on a chain of convolutions (conv4); `auto` is int8 for a ProtoNet on
            images, where its net has an integer form, and float32 for everything else.
        images: uint8 `[image, row, column, channel]`, for int8: a few hundred images such as the device will see, to measure ranges
            with. None draws glyphs, for learners on grey images.
        features: length of a row, for a learner on rows whose net does not say.
        prefix: beginning of all C names, so that several learners link into one firmware.

    Raises:
        ModelError: the learner does something that has no C form; the message names the operator and the layer, and what to use instead.
        ConfigError: arguments out of range.

    >>> import tempfile
    >>> from quickstudy.learners.maml import MAML
    >>> from quickstudy.nets.mlp import MLP
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_firmware(folder, SavedLearner(MAML(MLP(in_features=4, hidden=(8,)))), ways=2).state
    248
    """
    check_at_least("ways", ways, 1)
    check_at_least("examples", examples, 1)
    check_choice("precision", precision, get_args(Precision))
    if not re.fullmatch(r"[a-z][a-z0-9_]*", prefix):
        raise ConfigError(f"prefix is {prefix!r}; expected a C name of small letters, digits and underscores, such as 'doors'.")
    _check_answerable(saved)
    request = Request(
        ways, examples, _input_shape(saved, features), _image_spec(saved), discovery.load("objectives", saved.target)
    )
    source, chosen = _compiled(saved, request, precision, images)
    return _write(pathlib.Path(folder), prefix, _files(saved, request, source, chosen), (source, chosen))


def _compiled(
    saved: SavedLearner, request: Request, precision: Precision, images: np.ndarray | None
) -> tuple[Source, Literal["float32", "int8"]]:
    """Return the C and its precision: for `auto` float32 if int8 cannot do the learner."""
    prototypes = saved.learner.prototypes and request.spec is not None
    if precision == "int8" and not prototypes:
        raise ConfigError(
            f"precision is 'int8' and the learner is {type(saved.learner).__name__}"
            f"{'' if request.spec else ' on rows of numbers'}; int8 is for protonet on images. Use precision='float32'."
        )
    if precision != "float32" and prototypes:
        try:
            return compile_integer(saved.learner, request, lambda: _calibration(request) if images is None else images), "int8"
        except IntegerError:
            if precision == "int8":
                raise
    return compile_float(saved.learner, request), "float32"


def _check_answerable(saved: SavedLearner) -> None:
    """Raise a ModelError for a learner that needs a batch of queries."""
    if saved.learner.protocol == "transductive":
        raise ModelError(
            f"{type(saved.learner).__name__} has statistics='query', which normalises by a batch of queries; a device predicts one at a "
            "time. Load it with statistics='support' (or 'population' for protonet)."
        )


def _image_spec(saved: SavedLearner) -> ImageSpec | None:
    """Return what the learner's images are, so that C takes their bytes; None for inputs that are float32."""
    return saved.spec if isinstance(saved.spec, ImageSpec) else None


def _input_shape(saved: SavedLearner, features: int | None) -> tuple[int, ...]:
    """Return the shape of one example as the net sees it.

    Raises:
        ConfigError: the input has several parts, or nobody says how long its rows are.
    """
    if saved.spec is not None:
        parts = list(saved.spec.layout().values())
        if len(parts) > 1:
            raise ConfigError(
                f"the learner takes {saved.spec}, an input of {len(parts)} parts; C takes one. Export without --target c."
            )
        return parts[0].shape
    length = features or getattr(getattr(saved.learner, "net", None), "in_features", None)
    if not isinstance(length, int):
        raise ConfigError("the learner does not say how long its rows are; give features.")
    return (length,)


def _calibration(request: Request) -> np.ndarray:
    """Return drawn letters as the learner's images are stored."""
    from quickstudy.data.glyphs import load_glyphs

    spec = request.spec
    if spec is None or spec.channels != 1:
        raise ConfigError(
            "int8 needs images to measure the ranges of activations with: give images, a few hundred (on the command line --data NAME), or "
            "precision='float32'."
        )
    glyphs = load_glyphs("val", copies=4)
    drawn = glyphs.examples["image"]
    return spec.read_all(drawn[:: max(1, len(drawn) // 300)], **glyphs.spec.as_read())["image"]


def _files(saved: SavedLearner, request: Request, source: Source, precision: Literal["float32", "int8"]) -> dict[str, str]:
    """Return the text of each file by its name."""
    kernels = "int8.h" if precision == "int8" else "kernels.h"
    copied = {name: (HERE / name).read_text(encoding="utf-8") for name in (kernels, "hot.h", "example.c")}
    facts = {
        "learner": type(saved.learner).__name__,
        "precision": precision,
        "ways": request.ways,
        "examples": request.examples,
        "weights": source.weights,
        "arena": source.arena,
        "state": source.state,
        "kernels": kernels,
        "grows": _GROWS if source.grows else "It holds one support example at a time, however many there are.",
    }
    return {**source.files, **copied, "README.md": filled("README", **facts)}


def _write(
    folder: pathlib.Path, prefix: str, files: Mapping[str, str], compiled: tuple[Source, Literal["float32", "int8"]]
) -> Firmware:
    """Write the files, in which all names begin with the prefix."""
    source, precision = compiled
    for name, text in files.items():
        named = re.sub(r"\bqs_", f"{prefix}_", re.sub(r"(?<![A-Za-z0-9_])(-D)?QS_", rf"\g<1>{prefix.upper()}_", text))
        storage.write_atomically(folder / name, named.encode())
    return Firmware(folder, precision, tuple(files), source.weights, source.arena, source.state, source.grows)


_GROWS = (
    "It grows with the number of support examples, since this learner looks at all of them at once (batch norm on their statistics); "
    "train with `--net.norm group` or `none` for memory that does not."
)
