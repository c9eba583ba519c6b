"""A contestant's side of the talk: one request, one answer, as JSON lines on stdin and stdout.

    {"do": "prepare", "work": {...}, "variant": ""}   -> {"setting": ..., "trials": [...], "versions": {...}} or {"unsupported": why}
    {"do": "run", "steps": 3}                         -> {"seconds": ..., "tasks": ...}
    {"do": "check", "file": "gradient.npz"}           -> {}, and the results of a step are in the file
    {"do": "check", "file": "exact.npz", "changes": {"dtype": "float64"}, "setting": {}} -> the same of a work changed so
    {"do": "rest"}                                    -> {}, and the work's memory and workers are given back

An error ends the process, with its traceback on stderr.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

Work = dict[str, Any]
Setting = dict[str, Any]

FEW = 4
"""Tasks with which settings are compared."""


class Unsupported(Exception):  # noqa: N818
    """The library does not do this work."""


class Job(Protocol):
    """A work, ready to be measured."""

    tasks: int
    """Tasks in one step."""

    def before(self) -> None:
        """Throw away what was prepared ahead, before the clock starts."""

    def step(self) -> None:
        """Do the work that is measured, and return when its results are there."""

    def check(self) -> dict[str, np.ndarray]:
        """Results to be compared with the other contestants'."""
        ...


def serve(
    settings: Callable[[Work, str], list[Setting]], build: Callable[[Work, str, Setting], Job], packages: tuple[str, ...]
) -> None:
    """Answer until stdin ends.

    Args:
        settings: ways to do a work among which the fastest is found out by trying; the names of the work and the variant given.
        build: a job from a work, a variant and a setting.
        packages: whose versions are recorded.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints must not be taken for an answer
    job: Job | None = None
    request: dict[str, Any] = {}
    prepared: tuple[Work, str, Setting] = ({}, "", {})
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any] = {}
        if request["do"] == "rest":
            job = None
        elif request["do"] == "prepare":
            try:
                job, answer = _prepare(request["work"], request["variant"], settings, build)
                answer["versions"] = _versions(packages)
                prepared = (request["work"], request["variant"], answer["setting"])
            except Unsupported as error:
                answer = {"unsupported": str(error)}
        elif job is None:
            raise SystemExit("run and check come after prepare")
        elif request["do"] == "run":
            answer = {"seconds": timed(job, request["steps"]), "tasks": job.tasks * request["steps"]}
        elif request["do"] == "check":
            checked = _changed(prepared, request, build) if "changes" in request else job
            np.savez(request["file"], **checked.check())  # pyright: ignore[reportArgumentType]
        answers.write(json.dumps(answer) + "\n")


def timed(job: Job, steps: int) -> float:
    """Seconds that `steps` steps take."""
    job.before()
    begin = time.perf_counter()
    for _ in range(steps):
        job.step()
    return time.perf_counter() - begin


def _prepare(
    work: Work,
    variant: str,
    settings: Callable[[Work, str], list[Setting]],
    build: Callable[[Work, str, Setting], Job],
) -> tuple[Job, dict[str, Any]]:
    """Return the job in its fastest setting, and the trials that say so."""
    choices = settings(work, variant)
    trials = []
    for setting in choices if len(choices) > 1 else []:
        job = build(_few(work) | {"trial": True}, variant, setting)
        job.step()
        once = timed(job, 1)
        trials.append({"setting": setting, "seconds_per_step": min(once, _mean_of(job, once))})
        del job
    best = min(trials, key=lambda trial: trial["seconds_per_step"])["setting"] if trials else choices[0]
    begin = time.perf_counter()
    job = build(work, variant, best)
    return job, {"setting": best, "trials": trials, "build_seconds": time.perf_counter() - begin}


def _changed(prepared: tuple[Work, str, Setting], request: dict[str, Any], build: Callable[[Work, str, Setting], Job]) -> Job:
    work, variant, setting = prepared
    return build(work | request["changes"], variant, setting | request["setting"])


def _few(work: Work) -> Work:
    return work | {"tasks": min(work["tasks"], FEW)}


def _mean_of(job: Job, once: float) -> float:
    """Seconds per step over about half a second."""
    steps = max(1, min(50, round(0.5 / once)))
    return timed(job, steps) / steps


def _versions(packages: tuple[str, ...]) -> dict[str, str]:
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}
