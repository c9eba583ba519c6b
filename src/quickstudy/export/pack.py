"""Pack a saved learner as a finished bundle: exported, quantised if that is wished, calibrated and measured if there is data."""

from __future__ import annotations

import dataclasses

from quickstudy.errors import ModelError, TaskError
from quickstudy.export import calibrate as unknown
from quickstudy.export import measure
from quickstudy.export.bundle import UNSTATED, to_bundle
from quickstudy.export.onnx.int8 import to_int8
from quickstudy.export.source import Source
from quickstudy.runtime.bundle import Bundle
from quickstudy.runtime.learner import Learner
from quickstudy.training.saving import SavedLearner

UNFINISHED = (
    "its training did not end, or it was made by hand: probabilities have no temperature, and inputs unlike those of training are not "
    "noticed; finish it with quickstudy train --resume RUN, and export it again"
)
"""Note on a learner that brings along none of what the end of a training measures."""


@dataclasses.dataclass(frozen=True)
class Packed:
    """A bundle, and notes on what its manifest lacks."""

    bundle: Bundle
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Packing:
    """Facts and measurements to put into the bundle of a learner.

    Args:
        features: numbers per row, for a learner on rows whose net does not say.
        licence: licence of the weights, as an SPDX name.
        count: number of tasks to measure on; 0 measures nothing.
    """

    features: int | None = None
    licence: str = UNSTATED
    count: int = 200


def pack(saved: SavedLearner, source: Source | None = None, packing: Packing = Packing(), *, int8: bool = False) -> Packed:
    """Export a learner.

    Args:
        saved: the learner.
        source: what to calibrate and measure on: 8 bits on its split `train`, the threshold for unknown classes on `val`, accuracy on
            `test`. None: the manifest holds what the saved learner says.
        packing: further facts, and how many tasks to measure on.
        int8: whether the net is written in 8 bits; without a source, they are calibrated on what the learner was trained on.

    Raises:
        ModelError: the learner cannot be exported, or not in 8 bits.
        ConfigError: the data cannot be loaded, or does not suit the learner.
    """
    bundle = to_bundle(saved, packing.features, packing.licence)
    if int8:
        source = source or Source(saved)
        bundle = in_8_bits(bundle, source)
    return measured(bundle, saved, source, packing.count)


def in_8_bits(bundle: Bundle, source: Source) -> Bundle:
    """Return the bundle in 8 bits, calibrated on the split `train`; raises as `to_int8` and `Source.tasks`.

    Raises:
        ModelError: the learner predicts something else than classes.
    """
    if bundle.manifest.target.kind != "classes":
        raise ModelError(
            f"8 bits are calibrated on tasks of classes, but this learner predicts {bundle.manifest.target.kind}; export without --int8."
        )
    tasks = source.tasks("train", shots=5, queries=5, seed=source.seed)
    return to_int8(bundle, (tasks[index] for index in range(20)))  # about 1,000 examples


def measured(bundle: Bundle, saved: SavedLearner, source: Source | None, count: int) -> Packed:
    """Return the bundle with its accuracy on the split `test` and its threshold for unknown classes from `val`, over `count` tasks."""
    notes = (UNFINISHED,) if saved.spec is not None and not saved.statistics else ()
    if not count:
        return Packed(bundle, notes)
    if saved.target != "classes":
        said = f"accuracy and the threshold for unknown classes are of classes; this learner predicts {saved.target}"
        return Packed(bundle, (*notes, said))
    if source is None:
        said = "accuracy and the threshold for unknown classes are not measured, as no data was named: --data"
        return Packed(bundle, (*notes, said))
    learner, threshold = Learner(bundle), None
    rows = [row for shots in (1, 5) for row in measure.results(saved, learner, source.tasks("test", shots, 15), count)]
    try:
        tasks, known = source.tasks_with_others("val")
        threshold = unknown.calibrate(learner, tasks, known, count)
    except TaskError as error:
        notes = (*notes, f"no threshold for unknown classes: {error}")
    about = {"results": {**bundle.manifest.results, "measured": rows}, "unknown": threshold}
    return Packed(dataclasses.replace(bundle, manifest=bundle.manifest.model_copy(update=about)), notes)
