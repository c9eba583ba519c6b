"""A finished run, as verbs that look at it need it: its own options, its learner, and tasks that it has not seen."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jsonargparse

from quickstudy import discovery
from quickstudy.cli import _data, _parser, _tasks
from quickstudy.cli.train import LEARNER, build_parser
from quickstudy.errors import ConfigError
from quickstudy.tasks._draw import Draw
from quickstudy.training.folder import CONFIG
from quickstudy.training.saving import SavedLearner


def add_places(parser: _parser.Parser) -> None:
    """Add the options that say where the data is, and which split of it tasks are drawn from."""
    parser.add_argument(
        "--data_dir", "--data-dir", type=str | None, default=None, help="where known sets are, or are downloaded to"
    )
    parser.add_argument(
        "--split",
        type=str | None,
        default=None,
        help="split of the tasks; null: test, or else what the data has of unseen classes",
    )


def own_data(run: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Return the options that name the data with which a run was trained; nothing for a file, or for tasks without data.

    Args:
        run: its folder.
        arguments: of the command line. If they name other data, its columns have nothing to do with those of the run's.
    """
    config = pathlib.Path(run) / CONFIG
    values = _parser.read_config(config) if config.is_file() else {}
    named = any(word.partition("=")[0] == "--data" for word in arguments)
    names = ("data", "data_dir", *(() if named else _data.own_names()))
    return {name: values[name] for name in names if isinstance(values.get(name), str | list)}


def trained_with(
    run: str, saved: SavedLearner, data: str | None, data_dir: str | None, columns: Mapping[str, Any] = MappingProxyType({})
) -> jsonargparse.Namespace:
    """Return the options of `quickstudy train` with which a run was made, or would be on the data that is named.

    Args:
        run: folder of the run, or a learner's file, which has no options of its own.
        saved: its learner.
        data: data set in place of the run's own.
        data_dir: where known sets are.
        columns: what is said of tables alone, such as the names of their columns.

    Raises:
        ConfigError: neither the run nor the caller names data, which its tasks need.
    """
    config, about = pathlib.Path(run) / CONFIG, dict(saved.info.get("trained_on") or {})
    source = _tasks.few_shot_source(saved)
    if config.is_file():
        words = ["--config", str(config)]
    elif data is None and _tasks.takes_data(discovery.load("tasks", source)):
        remedy = f"--data {str(about.get('dataset', 'MY-DATA')).partition('/')[0]}"
        raise ConfigError(
            f"{run} holds no {CONFIG}, which says what it was trained on. Name the data: {remedy}.", remedy=remedy
        )
    else:
        sizes = [f"--{name}={about[name]}" for name in ("ways", "shots", "queries") if isinstance(about.get(name), int)]
        words = ["--tasks", source, *sizes, *(("--data", data) if data else ())]
    if data is not None and config.is_file():  # what is said of the run's own data has nothing to do with other data
        said = _parser.read_config(config)
        words += [f"--{name}=null" for name in _data.own_names() if said.get(name) is not None and name not in columns]
    words += [*(("--data", data) if data else ()), *(("--data_dir", data_dir) if data_dir else ())]
    for name, value in columns.items():
        words += [f"--{name}", *(value if isinstance(value, tuple) else (value,))]
    words = _parser.spelled_out(words, LEARNER)
    return build_parser(words).parse(words)


def sizes(options: jsonargparse.Namespace, saved: SavedLearner, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sizes of tasks that a learner is looked at with: those that were chosen, else those that it was trained for.

    Examples are not augmented. Tasks that are drawn from no data are those of the run, except for what is chosen.

    Raises:
        ConfigError: a size is chosen that such tasks do not have.
    """
    name, given = _tasks.judging(options), {name: value for name, value in chosen.items() if value is not None}
    source = discovery.load("tasks", name)
    known = _tasks.argument_names(source)
    for size in given:
        if size not in known:
            raise ConfigError(f"--{size} is given, but the tasks {name} have no {size}; leave it out.", subject=size)
    if not _tasks.takes_data(source):
        return given
    usual: dict[str, Any] = {"shots": options.get("validation.shots") or options.shots, "queries": options.queries, "seed": 0}
    if "ways" in known:
        usual["ways"] = saved.learner.ways or options.get("validation.ways") or options.get("ways")
    if "draw" in known:
        usual["draw"] = Draw(**vars(options.draw) | {"augment": "none"})
    return usual | given
