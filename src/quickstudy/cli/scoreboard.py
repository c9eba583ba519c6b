"""Compare runs on the same tasks, with what they cost: quickstudy scoreboard runs/first runs/second --ways 5 20 --shots 1"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import jsonargparse

from quickstudy import discovery
from quickstudy.cli import _data, _output, _parser, _runs, _tasks
from quickstudy.errors import ConfigError
from quickstudy.report import figures
from quickstudy.report.scoreboard import Entry, behind, columns, ordered, rows, size_of, write
from quickstudy.tasks.source import TaskSource
from quickstudy.training.evaluate import Result, evaluate
from quickstudy.training.folder import METRICS
from quickstudy.training.memory import keep_freed_memory
from quickstudy.training.progress import counted
from quickstudy.training.saving import SavedLearner, load_learner
from quickstudy.training.tracking import read_metrics


def run(arguments: Sequence[str]) -> None:
    """Measure every run, print a table, and write it as a page with plots."""
    options = _build_parser().parse(arguments)
    page = pathlib.Path(options.out)
    if not page.suffix or page.is_dir():
        expected = f"{options.out.rstrip('/')}.md"
        raise ConfigError(
            f"--out is {options.out!r}; expected a page such as {expected}: plots go into the folder of its name."
        )
    saved = {name: load_learner(name) for name in options.runs}
    sources = _sources(options, saved)
    keep_freed_memory()
    results: dict[str, list[Result]] = {}
    with counted("measuring", sum(map(len, sources.values())) * options.tasks) as advance:
        for name, tasks in sources.items():
            results[name] = [evaluate(saved[name], source, options.tasks, advance) for source in tasks]
    entries = [_entry(name, saved[name], sources[name], found) for name, found in results.items()]
    lost = behind({name: found[0] for name, found in results.items()})
    title, about = "Scoreboard", _about(results, options.tasks)
    written = write(page, entries, title, about)
    if options.json:
        shown = [entry.to_dict() | {"behind_best": lost[entry.name]} for entry in ordered(entries)]
        _output.as_json({"runs": shown, "files": [str(file) for file in written]})
        return
    cells = [[*row, _behind(lost[row[0]])] for row in rows(entries)]
    _output.table((*columns(entries), "behind the best"), cells, title=about)
    _output.text(f"written: {page} and {len(written) - 1} plots beside it")


def _build_parser() -> _parser.Parser:
    """Return the parser of this verb."""
    parser = _parser.make_parser("scoreboard", __doc__)
    parser.add_argument(
        "runs", type=str, nargs="+", help="folders of runs; or learners' files and shipped learners, with --data"
    )
    parser.add_argument("--data", type=str | None, default=None, help="data to compare on; null: that of the first run")
    _data.add_columns(parser)
    _runs.add_places(parser)
    parser.add_argument("--ways", type=int, nargs="+", default=[], help="classes per task; nothing: as in the first run")
    parser.add_argument(
        "--shots", type=int, nargs="+", default=[], help="support examples per class; nothing: as in the first run"
    )
    parser.add_argument("--queries", type=int | None, default=None, help="query examples per class; null: as in the first run")
    parser.add_argument("--tasks", type=int, default=1000, help="number of tasks of each size")
    parser.add_argument("--out", type=str, default="scoreboard.md", help="page to write; plots go into the folder of its name")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _sources(options: jsonargparse.Namespace, saved: dict[str, SavedLearner]) -> dict[str, list[TaskSource]]:
    """Return the tasks of each run: the same for all, of each size that its head fits.

    Raises:
        ConfigError: a run predicts another kind of answer than the first one, or its head fits none of the sizes.
    """
    first, one = next(iter(saved.items()))
    trained = _runs.trained_with(first, one, options.data, options.data_dir, _data.columns(options))
    found: dict[str, list[TaskSource]] = {}
    for name, learner in saved.items():
        if learner.target != one.target:
            raise ConfigError(
                f"{name} predicts {learner.target}, but {first} {one.target}; compare runs of one kind of answer."
            )
        sizes = [
            {"ways": ways, "shots": shots, "queries": options.queries}
            for ways in options.ways or [None]
            for shots in options.shots or [None]
        ]
        chosen = [_runs.sizes(trained, one, size) for size in sizes]
        fitting = [size for size in chosen if learner.learner.ways in (None, size.get("ways", learner.learner.ways))]
        if not fitting:
            ways = dict.fromkeys(
                [*(size["ways"] for size in chosen if isinstance(size.get("ways"), int)), learner.learner.ways]
            )
            raise ConfigError(
                f"{name} has a head of {learner.learner.ways} ways, which none of the tasks has; give --ways "
                f"{' '.join(map(str, ways))}, so that each run meets tasks that fit it."
            )
        found[name] = [_tasks.unseen(trained, options.split, size, learner) for size in fitting]
    return found


def _entry(name: str, saved: SavedLearner, tasks: Sequence[TaskSource], results: Sequence[Result]) -> Entry:
    """Return a run's line: its results, and what it costs."""
    metrics = pathlib.Path(name) / METRICS
    seconds = [float(row["seconds"]) for row in read_metrics(metrics)[-1:]] if metrics.is_file() else []
    return Entry(
        name,
        discovery.name_of(saved.learner),
        [result.to_dict() for result in results],
        figures.measure(saved, tasks[0]).to_dict(),
        sum(value.numel() for value in saved.learner.parameters()),
        seconds[0] if seconds else None,
        saved.info.get("megabytes"),
    )


def _about(results: dict[str, list[Result]], count: int) -> str:
    """Return on which tasks the runs were measured, with their hashes."""
    sizes: dict[str, dict[str, None]] = {}
    for result in (result for found in results.values() for result in found):
        sizes.setdefault(size_of(result.tasks), {})[result.tasks_hash] = None
    first = next(iter(results.values()))[0].tasks
    hashes = "; ".join(f"{size}: {', '.join(found)}" for size, found in sizes.items())
    return f"{count} tasks of {first.get('dataset', 'no data')} of each size (tasks hash {hashes})"


def _behind(lost: tuple[float, float] | None) -> str:
    """Return how far a run is behind the best one, for people."""
    return "other tasks" if lost is None else "-" if lost[0] == 0 and lost[1] == 0 else f"{lost[0]:.2f} ± {lost[1]:.2f}"
