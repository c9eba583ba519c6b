"""Train a learner on many tasks: quickstudy train --learner protonet --data omniglot --ways 5 --out runs/first"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import pathlib
import warnings
from collections.abc import Sequence
from typing import Any

import jsonargparse
import rich.console
import torch

from quickstudy import discovery, storage
from quickstudy.cli import _data, _output, _parser, _tasks
from quickstudy.data.dataset import DataWarning
from quickstudy.errors import ConfigError, NotFoundError, StorageError
from quickstudy.inputs import InputSpec
from quickstudy.learner import Learner
from quickstudy.nets import _sizes
from quickstudy.tasks.source import TaskSource
from quickstudy.training.begin import begin_with
from quickstudy.training.evaluate import evaluate
from quickstudy.training.fit import fit
from quickstudy.training.folder import CONFIG, RunFolder
from quickstudy.training.measures import measure_in
from quickstudy.training.memory import keep_freed_memory
from quickstudy.training.processes.group import is_first, launched
from quickstudy.training.processes.launch import launch
from quickstudy.training.progress import Line, progress_line, silent
from quickstudy.training.saving import SavedLearner, load_learner
from quickstudy.training.settings import TrainingSettings

LEARNER = "protonet"
"""Learner if the command line chooses none."""

OUT = "runs/latest"
"""Folder of a run if the command line names none."""
PRINTED = "print all options and their values as YAML, and do nothing else; skip_default leaves out what is not changed"
"""Help of the option `--print_config`."""


def build_parser(arguments: Sequence[str], verb: str = "train", about: str | None = __doc__) -> _parser.Parser:
    """Return the parser for these arguments, spelled out: the options depend on which learner, modules and tasks were chosen.

    Args:
        arguments: words behind the verb.
        verb: name of a verb with the options of `train`.
        about: its help.
    """
    parser = _parser.make_parser(verb, about)
    parser.add_argument("--config", action="config", help="YAML file with options, as --print_config prints them")
    next(action for action in parser._actions if "--print_config" in action.option_strings).help = PRINTED
    parser.add_argument("--out", type=str, default=OUT, help="folder of the run")
    parser.add_argument("--resume", type=bool, default=False, help="go on with the run in --out")
    parser.add_argument("--processes", type=int, default=1, help="processes on this machine that share the tasks of every step")
    restarts = inspect.signature(launch).parameters["restarts"].default
    parser.add_argument(
        "--max_restarts", type=int, default=restarts, help="how often all processes start again when one was killed"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument(
        "--begin", type=str | None, default=None, help="run, file or shipped learner whose network the training begins with"
    )
    _tasks.add_arguments(parser, arguments, LEARNER)
    _parser.add_learner(parser, arguments, LEARNER, _tasks.usual_net(arguments, LEARNER))
    _parser.add_settings(parser, TrainingSettings, "settings of the training")
    return parser


@dataclasses.dataclass(frozen=True)
class Job:
    """Learner, tasks and settings that the options ask for."""

    learner: Learner
    tasks: TaskSource
    validation: TaskSource | None
    settings: TrainingSettings


def run(arguments: Sequence[str]) -> None:
    """Train, save, and print the result on the validation tasks."""
    arguments = _parser.spelled_out(_resumed(list(arguments)), LEARNER)
    options = build_parser(arguments).parse(arguments)
    if launched():
        _train(options)
        return
    RunFolder(options.out).check(options.resume)
    if options.processes == 1:
        _train_and_say_how_to_go_on(options)
        return
    prepare(options)  # what is wrong is said here, once
    _data.forget()
    console = rich.console.Console(stderr=True)
    launch(_train_quietly, options.processes, options, restarts=options.max_restarts, progress=Line(console, None))


def prepare(options: jsonargparse.Namespace) -> Job:
    """Return the learner, the tasks and the settings; every process that prepares the same options gets the same ones."""
    settings = TrainingSettings(**_parser.given(TrainingSettings, options))
    tasks = _tasks.make(options)
    torch.manual_seed(options.seed)
    learner = make_learner(options, tasks.input)
    if options.begin is not None and not options.resume:  # a run that goes on has its own weights
        _begin(learner, options.begin, tasks)
    return Job(learner, tasks, _tasks.make_validation(options), settings)


def _begin(learner: Learner, name: str, tasks: TaskSource) -> None:
    """Begin with the networks of a trained learner, and warn if it was trained on inputs of another kind or size."""
    saved, spec, about = load_learner(name), tasks.input, tasks.describe()
    same = bool(saved.symbols) and tuple(about.get("symbols", ())) == saved.symbols and not about.get("shuffled")
    begin_with(learner, saved.learner, name, same_symbols=same)
    if saved.spec is not None and saved.spec != spec:
        warnings.warn(
            f"{name} was trained on {saved.spec}, and this training is on {spec}, of which its network may make little.",
            DataWarning,
            stacklevel=2,
        )


def _train_and_say_how_to_go_on(options: jsonargparse.Namespace) -> None:
    """Train; if a file could not be written, say how to go on from what was saved before."""
    try:
        _train(options)
    except StorageError as error:
        folder = RunFolder(options.out)
        if not folder.checkpoint.exists():
            raise
        raise StorageError(f"{error} Then go on with: {folder.way_on}", subject=error.subject, remedy=folder.way_on) from error


def _train_quietly(options: jsonargparse.Namespace) -> None:
    """Train in one of the processes that `run` launched, which has given the warnings already."""
    warnings.simplefilter("ignore", DataWarning)
    with _output.streams():
        _train(options)


def _train(options: jsonargparse.Namespace) -> None:
    """Train, alone or as one of several processes, of which the first one writes and speaks."""
    folder, first = RunFolder(options.out, _config(options), resume=options.resume), is_first()
    keep_freed_memory()
    job = prepare(options)
    with progress_line() if first else contextlib.nullcontext(silent) as progress:
        saved = fit(job.learner, job.tasks, job.validation, job.settings, folder, progress=progress)
    if first:
        result = (
            saved.info.get("validation")
            or evaluate(saved, _tasks.make_judging(options), job.settings.validation.tasks).to_dict()
        )
        _show(options, saved, result)


def make_learner(options: jsonargparse.Namespace, spec: InputSpec) -> Learner:
    """Build the learner with the modules that the options choose for it."""
    modules = _parser.module_arguments(options.learner.name)
    made = {argument: make_net(options[key], spec) for argument, key in modules.items()}
    given = {name: value for name, value in _arguments(options.learner).items() if name not in modules}
    return discovery.load("learners", options.learner.name)(**made, **given)


def make_net(options: jsonargparse.Namespace, spec: InputSpec) -> torch.nn.Module:
    """Return the net of that name, made for inputs of the spec."""
    chosen = discovery.load("nets", options.name)
    try:
        sizes = _sizes.fit_to(chosen, spec)
    except ConfigError as error:
        fitting = " or ".join(f"--net {name}" for name in discovery.names("nets") if _fits(name, spec))
        raise ConfigError(f"{error} Nets that fit: {fitting}.", subject=options.name, remedy=fitting) from error
    return chosen(**sizes, **_arguments(options))


def _fits(net: str, spec: InputSpec) -> bool:
    """Return whether a net can take inputs of the spec."""
    try:
        _sizes.fit_to(discovery.load("nets", net), spec)
    except ConfigError:
        return False
    return True


def _resumed(arguments: list[str]) -> list[str]:
    """Return `--resume runs/x` as `--config runs/x/config.yaml --out runs/x --resume true`."""
    arguments = [part for word in arguments for part in (word.split("=", 1) if word.startswith("--resume=") else [word])]
    if "--resume" not in arguments:
        return arguments
    if arguments == ["--resume"]:
        arguments = ["--resume", OUT]
    index = arguments.index("--resume")
    following = arguments[index + 1] if index + 1 < len(arguments) else ""
    if following in ("true", "false"):
        return arguments
    if not following or following.startswith("--"):
        return [*arguments[: index + 1], "true", *arguments[index + 1 :]]
    config = pathlib.Path(following) / CONFIG
    if not config.is_file():
        raise NotFoundError(f"{following} holds no run to resume (no {CONFIG}). Name the folder of an interrupted run.")
    rest = arguments[:index] + arguments[index + 2 :]
    return ["--config", str(config), *rest, "--out", following, "--resume", "true"]


def _arguments(options: jsonargparse.Namespace) -> dict[str, Any]:
    """Return the hyperparameters among the options of a learner or net."""
    return {name: value for name, value in vars(options).items() if name != "name"}


def _config(options: jsonargparse.Namespace) -> str:
    """Return the options as the text of a config that repeats the run."""
    values = options.as_dict()
    for transient in ("config", "resume", "json"):
        values.pop(transient, None)
    return _parser.plain_yaml(values)


def _show(options: jsonargparse.Namespace, saved: SavedLearner, result: dict[str, Any]) -> None:
    """Print where the learner is, how good it is, and how to evaluate it."""
    file = pathlib.Path(options.out) / storage.LEARNER
    which = "validation" if "validation" in saved.info else "training"
    if options.json:
        _output.as_json({"learner": str(file), "steps": saved.info["steps"], which: result})
        return
    measure = measure_in(result)
    shown = [format(result[key], measure.short) for key in (measure.key, "ci95") if result[key] is not None]
    sizes = [name for name in ("ways", "shots") if name in result]
    columns = (f"{which} tasks", *sizes, measure.name, "protocol", "tasks hash")
    row = (result["test_tasks"], *(result[name] for name in sizes), " ± ".join(shown), result["protocol"], result["tasks_hash"])
    _output.table(columns, [row], title=f"saved: {file}")
    _output.following(*_tasks.evaluation(options, saved))
