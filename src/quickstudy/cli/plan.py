"""Say how long a training will take and how much memory, before it runs: quickstudy plan --data omniglot --learner maml --memory 4GB"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import time
import warnings
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import jsonargparse

from quickstudy.cli import _output, _parser
from quickstudy.cli.train import LEARNER, build_parser, prepare
from quickstudy.data.dataset import DataWarning
from quickstudy.errors import ConfigError, TrainingError
from quickstudy.export.budget import quantity
from quickstudy.training.estimate import estimate
from quickstudy.training.memory import keep_freed_memory

PATIENCE = 180.0
"""Seconds after which no further suggestion is measured; each takes as long as the first measurement, in a process of its own."""


def run(arguments: Sequence[str]) -> None:
    """Measure the training that the options ask for and, if it does not fit, what could be changed.

    Raises:
        ConfigError: neither the training nor anything that was tried in its place fits.
    """
    words = _parser.spelled_out(arguments, LEARNER)
    options = _build(words).parse(words)
    memory = None if options.memory is None else quantity(options.memory, ("GB", "MB", "KB")) / 2**20
    found = _measured(words)
    suggestions = [] if _fits(found, memory) or not options.steps else _suggestions(words, options, found, memory)
    fitting = next((one for one in suggestions if one.get("fits")), None)
    possible = fitting is not None or _fits(found, memory)
    if options.json:
        _output.as_json({"estimate": found, "fits": _fits(found, memory), "suggestions": suggestions})
    else:
        _show(options, found, suggestions)
    if not possible:
        untried = [" ".join(one["options"]) for one in suggestions if "fits" not in one]
        also = f" Not tried, as time was up: {', '.join(untried)}." if untried else ""
        remedy = "Take a smaller net (--net.channels) or fewer queries, or allow more time and memory."
        raise ConfigError(f"nothing that was tried fits.{also} {remedy}", remedy=remedy)
    if not options.json:
        _output.following("train", *_for_train(arguments), *(fitting["options"] if fitting else ()))


def _build(words: Sequence[str]) -> _parser.Parser:
    """Return the parser of this verb: all options of `train`, among them its limit of minutes, and a limit of memory."""
    parser = build_parser(words, "plan", __doc__)
    parser.add_argument("--memory", type=str | None, default=None, help="most memory that the training may take, such as 4GB")
    return parser


def _measured(words: Sequence[str]) -> dict[str, Any]:
    """Return the estimate, as plain values, measured in a process of its own, whose memory is the training's alone.

    Raises:
        TrainingError: the process was killed, or got no more memory.
    """
    context = multiprocessing.get_context("spawn")
    try:
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            return pool.submit(_measure, list(words)).result()
    except (BrokenProcessPool, RuntimeError) as error:
        if not isinstance(error, BrokenProcessPool) and "memory" not in str(error):
            raise
        remedy = "Lower --tasks_per_step, or take --engine.mapping loop or a smaller net."
        raise TrainingError(
            f"a few steps of this training need more memory than this machine has. {remedy}", remedy=remedy
        ) from error


def _measure(words: list[str]) -> dict[str, Any]:
    """Measure in this process."""
    warnings.simplefilter("ignore", DataWarning)
    keep_freed_memory()
    options = _build(words).parse(words)
    job = prepare(options)
    found = estimate(job.learner, job.tasks, job.validation, job.settings)
    return found.to_dict() | {"wanted_steps": job.settings.steps}


def _fits(found: dict[str, Any], memory: float | None) -> bool:
    """Return whether all steps are made before the clock stops the training, in at most so many MB."""
    enough = memory is None or found["megabytes"] is None or found["megabytes"] <= memory
    return enough and found["steps"] >= found["wanted_steps"]


def _suggestions(
    words: Sequence[str], options: jsonargparse.Namespace, found: dict[str, Any], memory: float | None
) -> list[dict[str, Any]]:
    """Return what could be changed, measured one after the other until one fits or patience ends."""
    began, suggestions = time.monotonic(), []
    for why, more in _changes(options, found, memory):
        row: dict[str, Any] = {"options": more, "why": why}
        if time.monotonic() - began < PATIENCE and not any(one.get("fits") for one in suggestions):
            row |= _tried([*words, *more], memory)
        suggestions.append(row)
    return suggestions


def _tried(words: Sequence[str], memory: float | None) -> dict[str, Any]:
    """Return what a changed training takes, and whether it fits."""
    try:
        after = _measured(words)
    except TrainingError:
        return {"fits": False}
    return {name: after[name] for name in ("minutes", "megabytes", "steps")} | {"fits": _fits(after, memory)}


def _changes(options: jsonargparse.Namespace, found: dict[str, Any], memory: float | None) -> list[tuple[str, list[str]]]:
    """Return changes that save what is lacking, with their reasons: first those that leave the result as it is."""
    scarce = memory is not None and (found["megabytes"] or 0) > memory
    changes: list[tuple[str, list[str]]] = []
    if scarce and "loop" not in found["engine"]:
        changes.append(("one task at a time: the same result in less memory", ["--engine.mapping", "loop"]))
    if scarce and options.learner.get("recompute") is False:
        changes.append(("inner steps computed twice instead of kept: the same result", ["--learner.recompute", "true"]))
    if options.precision == "32-true" and not scarce:
        changes.append(("products in bfloat16, which is faster on some processors", ["--precision", "bf16-mixed"]))
    if options.tasks_per_step > 1:
        changes.append(("half as many tasks per step: noisier steps", ["--tasks_per_step", str(options.tasks_per_step // 2)]))
    if options.get("net.halving") == "pool":
        changes.append(("strides instead of max-pooling: a smaller and slightly weaker net", ["--net.halving", "stride"]))
    if options.learner.get("first_order") is False:
        changes.append(("no second derivatives: a weaker result", ["--learner.first_order", "true"]))
    if found["steps"] < options.steps:
        changes.append(("as many steps as the minutes allow", ["--steps", str(max(1, found["steps"] * 9 // 10))]))
    return changes


def _for_train(arguments: Sequence[str]) -> list[str]:
    """Return the words of the command line that `train` takes too."""
    own = {index for index, word in enumerate(arguments) if word.partition("=")[0] in ("--memory", "--json")}
    values = {index + 1 for index in own if arguments[index] == "--memory"}
    return [word for index, word in enumerate(arguments) if index not in own | values]


def _show(options: jsonargparse.Namespace, found: dict[str, Any], suggestions: list[dict[str, Any]]) -> None:
    """Print the estimate, and below it what could be changed."""
    rows = [
        ("time", f"{found['minutes']:.1f} minutes for {found['steps']} of {options.steps} steps"),
        (
            "memory",
            _megabytes(found["megabytes"]) + (f" in each of {options.processes} processes" if options.processes > 1 else ""),
        ),
        ("a step", f"{1000 * found['step_seconds']:.4g} ms"),
        ("a validation", f"{found['validation_seconds']:.3g} s"),
        *([("a measurement", f"{found['measuring_seconds']:.3g} s")] if found["measuring_seconds"] else []),
        ("before the first step", f"{found['setup_seconds']:.3g} s"),
        ("engine", found["engine"]),
    ]
    _output.table(("what", "measured"), rows, title="this training, on this machine")
    if suggestions:
        shown = [
            (
                " ".join(one["options"]),
                f"{one['minutes']:.1f}" if "minutes" in one else "not measured",
                _megabytes(one["megabytes"]) if "megabytes" in one else "not measured",
                {True: "yes", False: "no", None: ""}[one.get("fits")],
                one["why"],
            )
            for one in suggestions
        ]
        _output.table(("change", "minutes", "memory", "fits", "why"), shown, title="it does not fit; what could be changed")


def _megabytes(found: float | None) -> str:
    """Return an amount of memory for people."""
    return "unknown" if found is None else f"{found:.0f} MB"
