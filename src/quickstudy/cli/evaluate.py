"""Measure a learner on tasks that it has never seen: quickstudy evaluate runs/first --data omniglot --ways 5 20 --shots 1 5"""

from __future__ import annotations

import dataclasses
import itertools
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import jsonargparse

from quickstudy import discovery
from quickstudy.cli import _data, _output, _parser, _runs, _tasks
from quickstudy.data.dataset import DataWarning
from quickstudy.errors import ConfigError
from quickstudy.learner import hyperparameters
from quickstudy.tasks.source import TaskSource
from quickstudy.training.describing import module_arguments
from quickstudy.training.evaluate import Result, evaluate
from quickstudy.training.exported import ExportedLearner, load_measurable
from quickstudy.training.measures import Measure
from quickstudy.training.memory import keep_freed_memory
from quickstudy.training.progress import counted
from quickstudy.training.protocols import under_each_protocol
from quickstudy.training.saving import SavedLearner, load_learner


def run(arguments: Sequence[str]) -> None:
    """Evaluate for every combination of ways and shots, and print a table."""
    if any(not word.startswith("-") for word in arguments) and arguments[0].startswith("-"):
        raise ConfigError("name the learner first: quickstudy evaluate LEARNER --data ... See 'quickstudy evaluate --help'.")
    saved = load_measurable(arguments[0]) if arguments and not arguments[0].startswith("-") else None
    parser = _build_parser(saved, {} if saved is None else _runs.own_data(arguments[0], arguments))
    options = parser.parse(arguments)
    assert saved is not None  # the parser insists on a learner
    before = {} if isinstance(saved.learner, ExportedLearner) else hyperparameters(saved.learner)
    changes = {name: options.learner[name] for name in before if options.learner[name] != before[name]}
    if changes:
        saved = dataclasses.replace(load_learner(options.saved, **changes), info=saved.info)
    sources = _sources(options, saved)
    keep_freed_memory()
    learners = under_each_protocol(saved.learner) if options.both_protocols else [saved.learner]
    with counted("evaluating", len(sources) * len(learners) * options.tasks) as advance:
        results = [
            evaluate(dataclasses.replace(saved, learner=learner), source, options.tasks, advance)
            for source in sources
            for learner in learners
        ]
    show(results, options.saved, options.json)


def show(results: Sequence[Result], title: str, as_json: bool) -> None:
    """Print results as a table, or as JSON."""
    plain: list[dict[str, Any]] = [result.to_dict() for result in results]
    if as_json:
        _output.as_json({"learner": title, "results": plain})
        return
    scores = _scores(results[0].measure, plain)  # of one learner
    sizes = [name for name in ("ways", "shots", "queries") if name in plain[0]]
    columns = ("data", *sizes, *(name for name, _, _ in scores), "tasks", "protocol", "tasks hash")
    rows = [
        (
            row["dataset"],
            *(row[name] for name in sizes),
            *("-" if row.get(key) is None else float(format(row[key], rounding)) for _, key, rounding in scores),
            row["test_tasks"],
            row["protocol"],
            row["tasks_hash"],
        )
        for row in plain
    ]
    _output.table(columns, rows, title=title)


def _scores(measure: Measure, results: Sequence[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Return headline, key and rounding of each score that some plain result has."""
    scores = [("calibration error, %", "ece", ".1f")]
    for one in reversed(measure.measures):
        interval = "ci95" if one is measure else f"{one.key}_ci95"
        scores = [(one.name, one.key, one.short), ("± 95 % CI", interval, one.short), *scores]
    return [score for score in scores if any(score[1] in result for result in results)]


def _sources(options: jsonargparse.Namespace, saved: SavedLearner) -> list[TaskSource]:
    """Return the tasks that the options ask for, for every combination of ways and shots."""
    source = discovery.load("tasks", _source(saved))
    if not _tasks.takes_data(source):
        return [source(**_parser.given(source, options))]
    dataset = _data.load(options, options.split, saved.spec, saved.scale)
    _warn_of_known_data(dataset.name, saved)
    given = _parser.given(source, options)
    names = _sizes(source)
    several = itertools.product(*([_range(name, size) for size in options[name]] for name in names))
    return [source(dataset, **given | dict(zip(names, sizes, strict=True))) for sizes in several]


def _trained_shots(saved: SavedLearner | None) -> int | str:
    """Return the number or range of shots that a learner was trained with; 5 if nothing is known of it."""
    found = {} if saved is None else dict(saved.info.get("trained_on") or {})
    return found.get("shots", 5)


def _hidden(saved: SavedLearner | None) -> str:
    """Return the parts that the queries of a learner's training lacked, as queries that have them may tell their answers."""
    return "" if saved is None else str(dict(saved.info.get("trained_on") or {}).get("hide_from_queries", ""))


def _warn_of_known_data(name: str, saved: SavedLearner) -> None:
    """Warn if a learner was trained on the split that it is evaluated on, or if either is all of the data."""
    trained = str(dict(saved.info.get("trained_on") or {}).get("dataset"))
    (data, _, split), (trained_data, _, trained_split) = name.rpartition("/"), trained.rpartition("/")
    if data == trained_data and (split == trained_split or "all" in (split, trained_split)):
        warnings.warn(
            f"this learner was trained on {trained}, and the tasks are drawn from {name}: if that is the same data, figures will be too "
            "high. Name what it has not seen, with --data or --split.",
            DataWarning,
            stacklevel=2,
        )


def _source(saved: SavedLearner | None) -> str:
    """Return the name of the source of tasks that a learner was trained on; the usual one if these were no few-shot tasks."""
    return _tasks.SOURCE if saved is None else _tasks.few_shot_source(saved)


def _range(name: str, value: int | str) -> int | tuple[int, int]:
    """Return `5`, `"5-20"` or `"[5,20]"` as a source of tasks takes it."""
    if isinstance(value, int):
        return value
    found = re.fullmatch(r"(\d+)-(\d+)|\[(\d+), *(\d+)\]", value)
    if found is None:
        raise ConfigError(f"{name} is {value!r}; expected a number such as 5, or a range such as 1-5.")
    least, most = (int(number) for number in found.groups() if number)
    return least, most


def _build_parser(saved: SavedLearner | None, data: Mapping[str, str]) -> _parser.Parser:
    """Return the parser of this verb: its options depend on the learner, and on the tasks and the data that it was trained on."""
    parser = _parser.make_parser("evaluate", __doc__)
    parser.add_argument(
        "saved", metavar="learner", type=str, help="a learner's file, the folder of a run, or the name of a shipped learner"
    )
    source = discovery.load("tasks", _source(saved))
    if _tasks.takes_data(source):
        _data.add_arguments(parser, split="test", own=data)
        _add_sizes(parser, _sizes(source), _trained_shots(saved))
    skip = {"dataset", *_sizes(source)} if _tasks.takes_data(source) else set()
    _parser.add_settings(parser, source, f"options of the tasks {_source(saved)}", skip=skip)
    if saved is not None and saved.symbols:  # to which the learner's head is fixed
        parser.set_defaults({"strings.alphabet": "".join(saved.symbols)})
    if hidden := _hidden(saved):
        parser.set_defaults({"draw.hide_from_queries": hidden})
    parser.add_argument("--tasks", type=int, default=1000, help="number of tasks")
    parser.add_argument(
        "--both_protocols",
        "--both-protocols",
        type=bool,
        default=False,
        help="with batch norm: each query normalised on its own (inductive), and all together (transductive)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    if saved is not None and not isinstance(saved.learner, ExportedLearner):  # whose settings are fixed
        name = discovery.name_of(saved.learner)
        chosen, modules = discovery.load("learners", name), module_arguments(saved.learner)
        _parser.add_settings(
            parser, chosen, f"options of the learner {name}, if other than trained with", "learner", [*modules]
        )
        parser.set_defaults({f"learner.{name}": value for name, value in hyperparameters(saved.learner).items()})
    return parser


def _sizes(source: type) -> list[str]:
    """Return the sizes of a source's tasks of which several may be given: ways and shots, as far as it has them."""
    return [name for name in ("ways", "shots") if name in _tasks.argument_names(source)]


def _add_sizes(parser: _parser.Parser, names: Sequence[str], usual: int | str) -> None:
    """Add the options of these sizes of tasks: several numbers, for a row of results each.

    Args:
        parser: to add them to.
        names: names of the sizes.
        usual: shots if tasks have no ways.
    """
    default = {"ways": 5, "shots": 1 if "ways" in names else usual}
    words = {
        "ways": "classes per task: numbers, or ranges such as 5-20",
        "shots": "support examples per class: numbers, or ranges such as 1-5",
    }
    if "ways" not in names:
        words["shots"] = "support examples of a task: numbers, or ranges such as 1-5"
    for name in names:
        parser.add_argument(f"--{name}", type=int | str, nargs="+", default=[default[name]], help=words[name])
