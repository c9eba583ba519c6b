"""Do two contestants do the same? Nobody is timed whose results are wrong."""

from __future__ import annotations

import math

import numpy as np
from works import Work

Results = dict[str, np.ndarray]

LIMIT = 1e-3
"""Relative error of a meta-gradient in float64 beyond which a contestant is excluded; see README.md for float32."""
LIMITS = {"gradient": math.inf, "evaluate": 0.01, "protonet": 0.8, "sampling": 0.5}
"""Largest `error` of what is timed. A gradient in float32 has none but must be finite: it is recorded and flagged."""


def flagged(work: Work, value: float, plain_errors: list[float]) -> bool:
    """Whether a meta-gradient in float32 is off by more than `LIMIT` and by more than plain's own in every memory format."""
    return work.kind == "gradient" and value > max([LIMIT, *plain_errors])


def error(work: Work, results: Results, reference: Results | None) -> tuple[float, str]:
    """How wrong the results are, and what the number is."""
    if work.kind in ("gradient", "evaluate"):
        if reference is None:
            raise ValueError("there is no reference: plain did not finish")
        if work.kind == "gradient":
            what = "relative L2 error of the meta-gradient in float32, to plain's in float64"
            return relative_error(results, reference), what
        difference = abs(float(results["accuracy"].mean() - reference["accuracy"].mean()))
        return difference, "difference of the mean accuracy, to plain's"
    if work.kind == "protonet":
        loss = results["loss"]
        return float(loss[-10:].mean() / loss[:5].mean()), "loss of the last 10 of 40 episodes by that of the first 5"
    return _faults(work, results), "faults of a drawn task"


def relative_error(results: Results, reference: Results) -> float:
    """L2 norm of the difference over that of the reference, all parameters together; infinite where names or shapes differ."""
    if set(results) != set(reference):
        return float("inf")
    pairs = [(results[name].astype(np.float64), reference[name].astype(np.float64)) for name in reference]
    if any(mine.shape != theirs.shape for mine, theirs in pairs):
        return float("inf")
    difference = sum(float(np.square(mine - theirs).sum()) for mine, theirs in pairs)
    return float(np.sqrt(difference / sum(float(np.square(theirs).sum()) for _, theirs in pairs)))


def _faults(work: Work, results: Results) -> float:
    """Count the properties that a drawn task lacks: shapes, balanced classes, different images, light strokes in [0, 1]."""
    faults = 0
    for part, count in (("support", work.shots), ("query", work.queries)):
        x, y = results[f"{part}_x"], results[f"{part}_y"]
        faults += x.shape != (work.ways * count, 1, 28, 28) or x.dtype != np.float32
        faults += sorted(np.unique(y)) != list(range(work.ways)) or set(np.bincount(y)) != {count}
        faults += bool(x.min() < 0 or x.max() > 1 or not 0.01 < x.mean() < 0.5)
    images = np.concatenate([results["support_x"], results["query_x"]])
    return float(faults + (len(np.unique(images, axis=0)) != len(images)))
