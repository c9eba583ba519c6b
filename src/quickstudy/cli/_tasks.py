"""The options that name a source of tasks, shared by the verbs: `--tasks NAME`, and what its constructor takes."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import itertools
import warnings
from collections.abc import Sequence
from typing import Any

import jsonargparse

from quickstudy import discovery, inputs
from quickstudy.cli import _data, _parser
from quickstudy.data import readers
from quickstudy.data.dataset import DataWarning
from quickstudy.data.loading import kind_of, target_of
from quickstudy.errors import DataError, QuickstudyError, TaskError
from quickstudy.tasks._draw import Draw
from quickstudy.tasks.source import TaskSource
from quickstudy.training.saving import SavedLearner

SOURCE = "classes"
"""Source of tasks if the command line chooses none."""
VALIDATION_SEED = 1_000_003
"""Seed of the validation tasks, added to the run's own, so that they come from another stream."""
USUAL = {"ways": 5, "queries": 15, "shots": (1, 5)}
"""Tasks that a learner is usually evaluated on: classes, default number of queries of each, and numbers of examples of each."""


def chosen(arguments: Sequence[str], learner: str) -> tuple[str, str]:
    """Return the names of two sources of tasks: the one that a command line chooses to train on, and the one to judge on.

    They are one, unless the learner is trained on something else than the few-shot tasks that it is for.

    Args:
        arguments: of the command line.
        learner: name of the learner if the command line chooses none.
    """
    draws = _draws(_parser.chosen_name(arguments, "learner", learner))
    answers = target_of(_parser.chosen_name(arguments, "data", ""), _said(arguments))
    of_answers = "" if answers in (None, discovery.load("tasks", SOURCE).target) else _of_answers(answers)  # pyright: ignore[reportAttributeAccessIssue]
    name = _parser.chosen_name(arguments, "tasks", of_answers or draws or SOURCE)
    return name, SOURCE if name == draws else name


def _said(arguments: Sequence[str]) -> list[str]:
    """Return what a command line says of tables alone, by the names of the options."""
    return [name for name in readers.wishes() if _parser.chosen_name(arguments, name, "")]


def _of_answers(kind: str) -> str:
    """Return the name of the source of tasks that draws tasks with answers of this kind from data."""
    sources = {name: discovery.load("tasks", name) for name in discovery.names("tasks")}
    return next((name for name, source in sources.items() if takes_data(source) and source.target == kind), "")  # pyright: ignore[reportAttributeAccessIssue]


def _draws(learner: str) -> str:
    """Return the source of tasks that trains a learner of this name; empty for few-shot tasks."""
    return discovery.load("learners", learner).draws  # pyright: ignore[reportAttributeAccessIssue]


def judging(options: jsonargparse.Namespace) -> str:
    """Return the name of the source of tasks that learners are judged on."""
    return SOURCE if options.tasks == _draws(options.learner.name) else options.tasks


def few_shot_source(saved: SavedLearner) -> str:
    """Return the name of the source of tasks that a learner was trained on; the usual one if these were no few-shot tasks."""
    source = dict(saved.info.get("trained_on") or {}).get("source", SOURCE)
    return SOURCE if source == saved.learner.draws else source


def add_arguments(parser: _parser.Parser, arguments: Sequence[str], learner: str) -> None:
    """Add the options of the sources that a command line chooses, and of their data.

    Args:
        parser: to add them to.
        arguments: of the command line.
        learner: name of the learner if the command line chooses none.
    """
    name, judged = chosen(arguments, learner)
    source, few_shot = discovery.load("tasks", name), discovery.load("tasks", judged)
    parser.add_argument("--tasks", type=str, default=name, help=f"where tasks come from: {', '.join(discovery.names('tasks'))}")
    if takes_data(source):
        _data.add_arguments(parser, split="train")
        parser.add_argument("--validation.split", type=str | None, default="val", help="split to validate on; null for none")
    _parser.add_settings(parser, source, f"options of the tasks {name}", skip={"dataset"})
    if few_shot is not source:
        title = f"options of the tasks {judged} to validate on"
        _parser.add_settings(parser, few_shot, title, skip={"dataset", *argument_names(source)})
    for size in _sizes_of_validation(few_shot):
        parser.add_argument(
            f"--validation.{size}", type=int | None, default=None, help=f"{size} of validation tasks; null: as in training"
        )


def _sizes_of_validation(source: type) -> list[str]:
    """Return the sizes that validation tasks may have of their own: a training may see more ways, or more shots, than are asked for."""
    return [size for size in ("ways", "shots") if size in argument_names(source)]


def takes_data(source: type) -> bool:
    """Return whether a source of tasks draws them from a data set."""
    return "dataset" in inspect.signature(source).parameters


def usual_net(arguments: Sequence[str], learner: str) -> str:
    """Return the net for the inputs of the tasks that a command line chooses, by a quick look at its data; in doubt, for the first kind.

    Args:
        arguments: of the command line.
        learner: name of the learner if the command line chooses none.
    """
    source = discovery.load("tasks", chosen(arguments, learner)[0])
    if hasattr(source, "usual_net"):
        return source.usual_net
    spec = inspect.getattr_static(source, "input", None)
    data = _parser.chosen_name(arguments, "data", "")
    kind = getattr(spec, "kind", None) or readers.settled(_said(arguments)) or (kind_of(data) if data else None)
    kinds = inputs.kinds()
    return kinds.get(kind or "", next(iter(kinds.values()))).usual_net


def make(options: jsonargparse.Namespace) -> TaskSource:
    """Return the training tasks that the options ask for."""
    return _make(options, getattr(options, "split", None), {}, name=options.tasks)


def make_judging(options: jsonargparse.Namespace) -> TaskSource:
    """Return tasks of the training's own classes that a learner can be judged on: those of the training, if they are few-shot tasks."""
    return _make(options, getattr(options, "split", None), {})


def make_validation(options: jsonargparse.Namespace) -> TaskSource | None:
    """Return validation tasks: as in training, but of other classes or another stream, and with examples as they are."""
    split, source = options.get("validation.split"), discovery.load("tasks", judging(options))
    if takes_data(source) and split is None:
        return None
    changes: dict[str, Any] = {"seed": options.seed + VALIDATION_SEED}
    if "draw" in argument_names(source):
        changes["draw"] = Draw(**vars(options.draw) | {"augment": "none"})
    sizes = {size: options.get(f"validation.{size}") for size in _sizes_of_validation(source)}
    changes |= {size: number for size, number in sizes.items() if number is not None}
    try:
        return _make(options, split, changes)
    except (DataError, TaskError) as error:
        sizes = _sizes_of_validation(source) if isinstance(error, TaskError) else []
        others = "".join(f"--validation.{size} or " for size in sizes)
        remedy = f"Choose another {others}--validation.split, or --validation.split null to train without validation."
        reason = str(error).removesuffix(error.remedy).strip()  # that remedy is for the training's own tasks
        raise type(error)(f"there are no validation tasks: {reason} {remedy}", subject=str(split), remedy=remedy) from error


def unseen(
    options: jsonargparse.Namespace, split: str | None, changes: dict[str, Any], saved: SavedLearner | None = None
) -> TaskSource:
    """Return tasks that a run with these options has not seen, with some options changed; a warning says where there are none.

    Args:
        options: of the run.
        split: split of the data; None: the test split, else the one that was validated on, else the one of the training, whichever is
            the first that has such tasks.
        changes: other values of the source's arguments.
        saved: learner that the examples and their answers must suit.

    Raises:
        DataError, TaskError: no split has such tasks; the error is that of the last one.
    """
    if not takes_data(discovery.load("tasks", judging(options))):
        return _make(options, None, {"seed": options.seed + 2 * VALIDATION_SEED} | changes)
    candidates = [split] if split else _candidates(options)
    for name in candidates[:-1]:
        with contextlib.suppress(DataError, TaskError):
            return _told(_make(options, name, changes, saved), name, split, options)
    return _told(_make(options, candidates[-1], changes, saved), candidates[-1], split, options)


def _told(tasks: TaskSource, name: str, wished: str | None, options: jsonargparse.Namespace) -> TaskSource:
    """Return tasks of a split, after a warning if nobody wished for it and the run was trained on it."""
    if wished is None and options.split in (name, "all"):
        warnings.warn(
            f"the tasks are drawn from {name}, and the run was trained on {options.split}: if that was of the same data, figures will be "
            "too high. Name what it has not seen, with --data or --split.",
            DataWarning,
            stacklevel=2,
        )
    return tasks


def _make(
    options: jsonargparse.Namespace,
    split: str | None,
    changes: dict[str, Any],
    saved: SavedLearner | None = None,
    name: str | None = None,
) -> TaskSource:
    """Return tasks of one split, with some options changed, from the source of this name; None for the one to judge on."""
    source = discovery.load("tasks", name or judging(options))
    given = _parser.given(source, options) | changes
    if not takes_data(source) or split is None:
        return source(**given)
    data = _data.load(options, split) if saved is None else _data.load(options, split, saved.spec, saved.scale)
    return source(data, **given)


def argument_names(source: type) -> list[str]:
    """Return the options of a source."""
    return [name for name in inspect.signature(source).parameters if name != "dataset"]


def evaluation(options: jsonargparse.Namespace, saved: SavedLearner) -> list[object]:
    """Return the words of the command that evaluates what was trained, on tasks that can be made from the data.

    Classes that were not trained on come first: the test split, else the one that was validated on, else the one of the training.
    """
    words: list[object] = ["evaluate", options.out]
    source = discovery.load("tasks", judging(options))
    if not takes_data(source):
        return words
    named = [name for name in ("data", "data_dir", *_data.own_names()) if options[name]]
    for name in named:
        words += [f"--{name}", *(options[name] if isinstance(options[name], list) else [options[name]])]
    for split in _candidates(options):
        counts, together = _counts(options, split, saved)
        if "ways" not in argument_names(source):
            if counts:
                return [*words, "--split", split, *_chosen_of(source, options)]
            continue
        ways = saved.learner.ways or min(USUAL["ways"], together)
        if source.target == "labels":  # pyright: ignore[reportAttributeAccessIssue]
            if (sizes := _of_labels(source, options, split, saved, ways)) is not None:
                return [*words, "--split", split, *sizes]
            continue
        if together >= max(2, ways) and min(counts) >= 2:
            return [*words, "--split", split, "--ways", ways, *_examples(min(counts))]
    return ["info", options.out]


def _of_labels(
    source: type, options: jsonargparse.Namespace, split: str, saved: SavedLearner, ways: int
) -> list[object] | None:
    """Return the words that choose tasks of labels from a split, of the size of the run's, or with fewer ways; None if there are none."""
    with warnings.catch_warnings(), contextlib.suppress(QuickstudyError):
        warnings.simplefilter("ignore", DataWarning)
        source(_data.load(options, split, saved.spec), ways, options.shots, options.queries)
        return ["--ways", ways, "--shots", options.shots, "--queries", options.queries]
    return None


def _candidates(options: jsonargparse.Namespace) -> list[str]:
    """Return the splits whose tasks a run may not have seen, the best one first: test, or the one beside a split such as `train_voices`."""
    test = options.split.replace("train", "test", 1) if options.split.startswith("train") else "test"
    return [split for split in dict.fromkeys((test, options.validation.split, options.split)) if split]


def _chosen_of(source: type, options: jsonargparse.Namespace) -> list[object]:
    """Return the words that choose a source's tasks as a run chose them: queries, and parts such as `--strings.length`."""
    usual = {name: parameter.default for name, parameter in inspect.signature(source).parameters.items()}
    chosen = {"queries": (options.get("queries"), usual.get("queries"))}
    for name, default in usual.items():
        if name != "draw" and dataclasses.is_dataclass(default):
            parts = vars(options[name])
            chosen |= {f"{name}.{part}": (value, getattr(default, part)) for part, value in parts.items()}
    given = {name: value for name, (value, default) in chosen.items() if value is not None and value != default}
    words = [
        (f"--{name}", "-".join(map(str, value)) if isinstance(value, tuple | list) else value) for name, value in given.items()
    ]
    return [*itertools.chain.from_iterable(words)]


def _counts(options: jsonargparse.Namespace, split: str | None, saved: SavedLearner) -> tuple[list[int], int]:
    """Return the number of examples of each class of a split, and the most classes of a task; none if there is no such split."""
    if split is None:
        return [], 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        try:
            found = _data.load(options, split, saved.spec)
        except QuickstudyError:  # the data cannot be split in this way
            return [], 0
    return found.sizes.tolist(), found.most_ways()


def _examples(least: int) -> list[object]:
    """Return the options for shots and queries if the smallest class has `least` examples.

    >>> _examples(100), _examples(8)
    (['--shots', 1, 5], ['--shots', 1, 5, '--queries', 3])
    """
    shots = [count for count in USUAL["shots"] if count < least]
    queries = least - shots[-1]
    return ["--shots", *shots, *(() if queries >= USUAL["queries"] else ("--queries", queries))]
