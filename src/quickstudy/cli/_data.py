"""The options that name a data set, shared by the verbs."""

from __future__ import annotations

import functools
from typing import Any

import jsonargparse

from quickstudy import data, inputs
from quickstudy.cli._parser import Parser
from quickstudy.data import known, readers
from quickstudy.data.dataset import Dataset
from quickstudy.inputs import InputSpec


def add_arguments(parser: Parser, split: str, data: str | None = None, data_dir: str | None = None) -> None:
    """Add `--data` and what goes with it.

    Args:
        parser: the parser that gets the options.
        split: split that is read if the command line names none.
        data: data set that is read if the command line names none; None if it must name one.
        data_dir: place of known sets if the command line names none; None for the usual places.
    """
    words = f"{', '.join(known.names())}; or a folder, zip, npz or idx file of yours, or a table of texts"
    needed = {"required": True} if data is None else {"default": data}
    parser.add_argument("--data", type=str, help=words, **needed)  # pyright: ignore[reportArgumentType]
    parser.add_argument("--split", type=str, default=split, help="train, val, test or all; known sets may have more")
    parser.add_argument(
        "--data_dir", "--data-dir", type=str | None, default=data_dir, help="where known sets are, or are downloaded to"
    )
    for name, hint in inputs.wishes().items():
        words = f"{inputs.explained(name)}; null: as the data or the learner has it"
        parser.add_argument(f"--{name}", type=hint, default=None, help=words)
    for name, words in readers.wishes().items():
        parser.add_argument(f"--{name}", type=str | None, default=None, help=words)
    parser.add_argument(
        "--strict", type=bool, default=False, help="stop at the first unreadable file instead of leaving it out"
    )


def add_readings(parser: Parser) -> None:
    """Add the options that say how examples are read."""
    for name, hint in inputs.readings().items():
        words = f"{inputs.explained(name)}; null: as the learner has it"
        parser.add_argument(f"--{name}", type=hint, default=None, help=words)


def readings(options: jsonargparse.Namespace) -> dict[str, Any]:
    """Return what the options say of how examples are read."""
    return {name: options[name] for name in inputs.readings() if options[name] is not None}


@functools.cache
def _load(
    name: str, split: str, spec: InputSpec | None, data_dir: str | None, strict: bool, wishes: tuple[tuple[str, Any], ...]
) -> Dataset:
    return data.load(name, split, spec=spec, data_dir=data_dir, strict=strict, **dict(wishes))


def load(options: jsonargparse.Namespace, split: str, spec: InputSpec | None = None) -> Dataset:
    """Return the split of the data set that the options name, as `spec` says if one is given, such as a learner's."""
    names = (*inputs.wishes(), *readers.wishes())
    wishes = tuple((name, options[name]) for name in names if options[name] is not None)
    return _load(options.data, split, spec, options.data_dir, options.strict, wishes)


def forget() -> None:
    """Free the memory of the data sets that were loaded."""
    _load.cache_clear()
