"""Say what may be wrong with a trained learner, and what to do about it: quickstudy doctor runs/first"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import jsonargparse

from quickstudy.cli import _data, _output, _parser, _runs, _tasks
from quickstudy.data.dataset import Dataset
from quickstudy.errors import DataError
from quickstudy.tasks.classes import ClassTasks
from quickstudy.tasks.source import TaskSource
from quickstudy.tasks.values import ValueTasks
from quickstudy.training.doctor import Finding, Patient, examine, questions
from quickstudy.training.exported import load_measurable
from quickstudy.training.saving import SavedLearner

ORDER = ("bad", "look", "good", "does not apply")
"""Verdicts, the worst first."""


def run(arguments: Sequence[str]) -> None:
    """Make every check and print what it finds, the worst first."""
    options = _build_parser().parse(arguments)
    saved = load_measurable(options.run)
    trained = _runs.trained_with(options.run, saved, options.data, options.data_dir, _data.columns(options))
    chosen = {name: options[name] for name in ("ways", "shots", "queries")}
    tasks = _tasks.unseen(trained, options.split, _runs.sizes(trained, saved, chosen), saved)
    findings = examine(Patient(saved, tasks, options.tasks, _splits(trained, saved, tasks)))
    worst = min((finding.verdict for finding in findings.values()), key=ORDER.index)
    if options.json:
        checks = {name: {"question": questions()[name], **_plain(finding)} for name, finding in findings.items()}
        about = {**tasks.describe(), "count": options.tasks, "tasks_hash": tasks.fingerprint(options.tasks)}
        _output.as_json({"run": options.run, "verdict": worst, "tasks": about, "checks": checks})
        return
    ordered = sorted(findings.items(), key=lambda item: ORDER.index(item[1].verdict))
    rows = [(questions()[name], finding.verdict, finding.found, finding.advice) for name, finding in ordered]
    _output.table(
        ("question", "verdict", "found", "advice"), rows, title=f"{options.run} on {options.tasks} tasks of {_name(tasks)}"
    )
    _output.following("info", options.run)


def _build_parser() -> _parser.Parser:
    """Return the parser of this verb."""
    parser = _parser.make_parser("doctor", __doc__)
    parser.add_argument("run", type=str, help="folder of a run; or a learner's file or a shipped learner, with --data")
    parser.add_argument("--data", type=str | None, default=None, help="data to look at it with; null: the run's own")
    _data.add_columns(parser)
    _runs.add_places(parser)
    parser.add_argument("--ways", type=int | None, default=None, help="classes per task; null: as in the run")
    parser.add_argument("--shots", type=int | None, default=None, help="support examples per class; null: as in the run")
    parser.add_argument("--queries", type=int | None, default=None, help="query examples per class; null: as in the run")
    parser.add_argument("--tasks", type=int, default=100, help="number of tasks")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _splits(trained: jsonargparse.Namespace, saved: SavedLearner, tasks: TaskSource) -> dict[str, Dataset]:
    """Return the data of each split that the run uses, by what it is for.

    There are none if the tasks are drawn from no data, or from another data set than the run's: then nothing of its splits is known. A
    split that the data lacks is left out, and so is that of the validation if the tasks are drawn from it.
    """
    if not isinstance(tasks, ClassTasks | ValueTasks):
        return {}
    data, _, drawn = tasks.dataset.name.rpartition("/")
    if str(dict(saved.info.get("trained_on") or {}).get("dataset", data)).partition("/")[0] != data:
        return {}
    roles, used = {"training": trained.split, "validation": trained.get("validation.split")}, {}
    for role, split in roles.items():
        if split is not None and (role, split) != ("validation", drawn):
            with contextlib.suppress(DataError):
                used[f"{role} ({split})"] = _data.load(trained, split)
    return used | {f"these tasks ({drawn})": tasks.dataset}


def _plain(finding: Finding) -> dict[str, Any]:
    """Return a finding as plain values."""
    return {"verdict": finding.verdict, "found": finding.found, "advice": finding.advice, "figures": dict(finding.figures)}


def _name(tasks: TaskSource) -> str:
    """Return what tasks are in a few words."""
    about = tasks.describe()
    return ", ".join(
        str(about[name]) + f" {name}" * (name != "dataset") for name in ("dataset", "ways", "shots") if name in about
    )
