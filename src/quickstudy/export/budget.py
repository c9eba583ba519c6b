"""Find the best learner within a budget of bytes or of time: in float32, in 8 bits, or as a smaller student that the learner teaches."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence

import numpy as np

from quickstudy import discovery
from quickstudy.errors import ConfigError, ModelError
from quickstudy.export.bundle import to_bundle
from quickstudy.export.pack import Packed, Packing, in_8_bits, measured
from quickstudy.export.source import Source
from quickstudy.learner import Learner, hyperparameters
from quickstudy.nets import _sizes
from quickstudy.runtime import bundle as bundles
from quickstudy.runtime.bundle import Bundle
from quickstudy.runtime.learner import Learner as Runnable
from quickstudy.tasks._draw import Draw
from quickstudy.tasks.classes import ClassTasks
from quickstudy.training.describing import module_arguments
from quickstudy.training.progress import Progress, silent
from quickstudy.training.saving import SavedLearner
from quickstudy.training.settings import TrainingSettings
from quickstudy.transfer.distil import distil

UNITS = {"b": 1.0, "kb": 1024.0, "mb": 1024.0**2, "gb": 1024.0**3, "us": 1e-6, "ms": 1e-3, "s": 1.0}
"""Bytes or seconds of each unit."""


@dataclasses.dataclass(frozen=True)
class Limit:
    """The most that a bundle may take.

    Args:
        bytes: size of its file.
        seconds: time to predict one example, on one thread of this machine.
        results: bytes that are kept free for measured results, while a student is untrained and has none.
    """

    bytes: float = float("inf")
    seconds: float = float("inf")
    results: float = 1024

    @property
    def untrained(self) -> Limit:
        """Return the limit for the bundle of an untrained student, which has no results yet."""
        return dataclasses.replace(self, bytes=self.bytes - self.results)


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A bundle that was tried.

    Args:
        name: net and precision.
        packed: the bundle.
        bytes: size of its file.
        seconds: time to predict one example, the median.
        accuracy: mean of its measured results, in percent; None where it was not measured.
    """

    name: str
    packed: Packed
    bytes: int
    seconds: float
    accuracy: float | None

    def fits(self, limit: Limit) -> bool:
        """Say whether it is within the limit."""
        return self.bytes <= limit.bytes and self.seconds <= limit.seconds


def quantity(text: str, units: Sequence[str]) -> float:
    """Return a number with its unit, in bytes or seconds.

    >>> quantity("256KB", ("KB", "MB")), quantity("5 ms", ("ms", "s"))
    (262144.0, 0.005)

    Raises:
        ConfigError: no such quantity.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", text, re.IGNORECASE)
    if not found or found[2].lower() not in {unit.lower() for unit in units} or float(found[1]) <= 0:
        raise ConfigError(
            f"{text!r} is no size or time; expected a number and a unit ({', '.join(units)}), such as 200{units[0]}."
        )
    return float(found[1]) * UNITS[found[2].lower()]


def search(
    source: Source,
    limit: Limit,
    settings: TrainingSettings,
    packing: Packing,
    progress: Progress = silent,
) -> list[Candidate]:
    """Try the learner itself, then the widest student that fits, and return all that were tried.

    No tasks can be loaded for rows of numbers. So for a learner on rows, nothing is tried but itself in float32, and it is not measured.

    Args:
        source: the learner, and the data to measure on and to teach students with.
        limit: the most that a bundle may take.
        settings: how a student is trained.
        packing: facts to put into each candidate, and how many tasks to measure on.
        progress: is told how far the training is.

    Raises:
        ConfigError: nothing fits; says what the smallest would be.
    """
    if source.saved.spec is None:
        return _float32_only(source.saved, limit, packing)
    progress.note("exporting and measuring the learner itself, in float32 and in 8 bits")
    tried = list(_told(_forms(source, packing), progress))
    if any(one.fits(limit) for one in tried):
        return tried
    smallest = list(tried)
    progress.note("it does not fit; looking for the widest student that does")
    for width, student in _students(source.saved.learner):
        untrained = SavedLearner(student, source.saved.spec, {"trained_on": source.saved.info.get("trained_on")})
        forms = list(_forms(dataclasses.replace(source, saved=untrained), dataclasses.replace(packing, count=0)))
        smallest += forms
        if not any(one.fits(limit.untrained) for one in forms):
            continue
        progress.note(f"teaching a student of {width}")
        saved = distil(student, source.saved, _training_tasks(source), settings, progress=progress)
        tried += _told(_forms(dataclasses.replace(source, saved=saved), packing), progress)
        if any(one.fits(limit) for one in tried):
            return tried
    least = min(smallest, key=lambda one: one.bytes)
    fastest = min(smallest, key=lambda one: one.seconds)
    why = "" if len(smallest) > len(tried) else " This net has no narrower ones, of which a student could be made."
    raise ConfigError(
        f"nothing fits the budget. The smallest that is possible is {least.name}, with {_kilobytes(least.bytes + limit.results)}; the "
        f"fastest is {fastest.name}, with {1e3 * fastest.seconds:.3g} ms.{why} Raise the budget to one of these, or train a smaller net."
    )


def _float32_only(saved: SavedLearner, limit: Limit, packing: Packing) -> list[Candidate]:
    """Return the candidate of a learner on rows of numbers, or raise a ConfigError if it does not fit as it is."""
    note = "accuracy is not measured: a learner on rows of numbers has no data set that can be loaded"
    only = _candidate(Packed(to_bundle(saved, packing.features, packing.licence), (note,)))
    if not only.fits(limit):
        raise ConfigError(
            f"the learner does not fit the budget: {only.name} takes {_kilobytes(only.bytes)} and {1e3 * only.seconds:.3g} ms. It is on "
            "rows of numbers, for which no data can be loaded to make 8 bits or students from. Raise the budget to that, train a smaller "
            "net, or in Python teach one (quickstudy.transfer.distil) or quantise it (quickstudy.export.onnx.int8.to_int8) on tasks of "
            "your own."
        )
    return [only]


def best(tried: Sequence[Candidate], limit: Limit) -> Candidate:
    """Return the most accurate candidate that fits; of equals, the smallest."""
    return max((one for one in tried if one.fits(limit)), key=lambda one: (one.accuracy or 0.0, -one.bytes))


def _forms(source: Source, packing: Packing) -> Iterator[Candidate]:
    """Yield the learner in float32 and, if its net stays as it is, in 8 bits."""
    bundle = to_bundle(source.saved, packing.features, packing.licence)
    yield _candidate(measured(bundle, source.saved, source, packing.count))
    try:
        bundle = in_8_bits(bundle, source)
    except ModelError:  # every weight adapts: float32 is its only form
        return
    yield _candidate(measured(bundle, source.saved, source, packing.count))


def _told(candidates: Iterator[Candidate], progress: Progress) -> Iterator[Candidate]:
    """Yield candidates, each after its figures were shown; measuring one may take a minute."""
    for one in candidates:
        accuracy = "" if one.accuracy is None else f", {one.accuracy:.1f} % of answers right"
        progress.note(f"{one.name}: {_kilobytes(one.bytes)}, {1e3 * one.seconds:.3g} ms for one example{accuracy}")
        yield one


def _candidate(packed: Packed) -> Candidate:
    """Return a bundle with its name, its size, its latency and its mean accuracy."""
    manifest = packed.bundle.manifest
    net, rows = manifest.learner["modules"].get("net") or {}, manifest.results.get("measured", [])
    own = [row["accuracy"] for row in rows if row["protocol"] == manifest.protocol]
    width = _sizes.width_of(discovery.load("nets", net["name"])) if "name" in net else ""
    widths = _in_words(net["args"][width]) if width else ""
    name = " ".join(part for part in (net.get("name"), widths, manifest.precision) if part)
    return Candidate(name, packed, _size(packed.bundle), _latency(packed.bundle), statistics.mean(own) if own else None)


def _size(bundle: Bundle) -> int:
    """Return the bytes of the bundle's file."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "bundle.qs"
        bundles.write(file, bundle)
        return file.stat().st_size


def _latency(bundle: Bundle, repeats: int = 50) -> float:
    """Return the seconds to predict one example, the median of some repeats."""
    learner, ways = Runnable(bundle), bundle.manifest.target.outputs or 5
    settings = {
        name: np.array(value, np.int64 if isinstance(value, int) else np.float32)
        for name, value in bundle.manifest.settings.items()
    }
    examples = {name: np.zeros((ways, *one.shape), np.float32) for name, one in bundle.manifest.layout.items()}
    support = {f"support.{name}": value for name, value in examples.items()} | {"support.y": np.eye(ways, dtype=np.float32)}
    query = {f"query.{name}": value[:1] for name, value in examples.items()}
    state = {f"state.{name}": value for name, value in learner.run("adapt", support | settings).items()}
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        learner.run("predict", {**query, **state})
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _students(teacher: Learner) -> Iterator[tuple[str, Learner]]:
    """Yield untrained learners like the teacher, on narrower nets, the widest first, with their widths in words."""
    net = module_arguments(teacher).get("net")
    if net is None:
        return
    for change in _sizes.narrower(net):
        ((name, width),) = change.items()
        other = type(net)(**(hyperparameters(net) | change))
        yield f"{name} {_in_words(width)}", type(teacher)(other, **hyperparameters(teacher))  # pyright: ignore[reportCallIssue]


def _in_words(width: int | Sequence[int]) -> str:
    """Write the width of one layer as `16`, and the widths of several as `32-16`."""
    return str(width) if isinstance(width, int) else "-".join(map(str, width))


def _training_tasks(source: Source) -> ClassTasks:
    """Return tasks as the teacher was trained on, if it says so and the data has as many classes and examples; else the usual ones."""
    about = dict(source.saved.info.get("trained_on") or {})
    like, dataset = source.tasks("train", 1, 5), source.split("train")
    ways, shots, queries = (about.get(name) for name in ("ways", "shots", "queries"))
    if not (isinstance(ways, int) and isinstance(shots, int) and isinstance(queries, int)):
        return like
    if ways > len(dataset.classes) or shots + queries > int(dataset.counts.min()):
        return like
    return ClassTasks(dataset, ways, shots, queries, Draw(augment=about.get("augment", "none")), int(about.get("seed", 0)))


def _kilobytes(size: float) -> str:
    return f"{size / 1024:.0f} KB"
