"""The options that name a data set, shared by the verbs."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jsonargparse

from quickstudy import data, inputs
from quickstudy.cli._parser import Parser
from quickstudy.data import known, readers
from quickstudy.data.dataset import Dataset
from quickstudy.data.loading import SPLIT_BY
from quickstudy.data.splits import SplitBy
from quickstudy.inputs import InputSpec
from quickstudy.targets import ValueScale


def add_arguments(parser: Parser, split: str, own: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Add `--data` and what goes with it.

    Args:
        parser: the parser that gets the options.
        split: split that is read if the command line names none.
        own: what is taken if the command line names nothing else, by the names of the options; without `data` it must name some.
    """
    words = f"{', '.join(known.names())}; or a folder, zip, npz or idx file of yours, or a table of texts, molecules, numbers or categories"
    needed = {"default": own["data"]} if "data" in own else {"required": True}
    parser.add_argument("--data", type=str, help=words, **needed)  # pyright: ignore[reportArgumentType]
    parser.add_argument("--split", type=str, default=split, help="train, val, test or all; known sets may have more")
    parser.add_argument(
        "--split_by",
        "--split-by",
        type=SplitBy | None,
        default=own.get(SPLIT_BY),
        help="what of your own data is shared out among splits: classes, whole groups, or the rows of every class; null: classes",
    )
    parser.add_argument(
        "--data_dir",
        "--data-dir",
        type=str | None,
        default=own.get("data_dir"),
        help="where known sets are, or are downloaded to",
    )
    for name, hint in inputs.wishes().items():
        words = f"{inputs.explained(name)}; null: as the data or the learner has it"
        parser.add_argument(f"--{name}", type=hint, default=None, help=words)
    add_columns(parser, own)
    parser.add_argument(
        "--strict", type=bool, default=False, help="stop at the first unreadable file instead of leaving it out"
    )


def add_columns(parser: Parser, own: Mapping[str, Any] = MappingProxyType({}), leave_out: Sequence[str] = ()) -> None:
    """Add the options that are for tables alone, with the defaults in `own`."""
    for name, words in readers.wishes().items():
        if name not in leave_out:
            several: dict[str, Any] = {"nargs": "+", "type": str} if name in readers.several() else {"type": str | None}
            parser.add_argument(f"--{name}", default=own.get(name), help=words, **several)


def own_names() -> tuple[str, ...]:
    """Return the names of the options that only somebody's own data has: what is shared out among splits, and the columns of tables."""
    return (SPLIT_BY, *readers.wishes())


def columns(options: jsonargparse.Namespace) -> dict[str, Any]:
    """Return what the options say of somebody's own data."""
    found = {name: options[name] for name in own_names() if options.get(name) is not None}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}


def add_readings(parser: Parser) -> None:
    """Add the options that say how examples are read."""
    for name, hint in inputs.readings().items():
        words = f"{inputs.explained(name)}; null: as the learner has it"
        parser.add_argument(f"--{name}", type=hint, default=None, help=words)


def readings(options: jsonargparse.Namespace) -> dict[str, Any]:
    """Return what the options say of how examples are read."""
    return {name: options[name] for name in inputs.readings() if options[name] is not None}


@functools.cache
def _load(name: str, split: str, spec: InputSpec | None, how: tuple[tuple[str, Any], ...]) -> Dataset:
    return data.load(name, split, spec=spec, **dict(how))


def load(
    options: jsonargparse.Namespace, split: str, spec: InputSpec | None = None, scale: ValueScale | None = None
) -> Dataset:
    """Return the split of the data set that the options name.

    Args:
        options: of the command line.
        split: which split.
        spec: what examples must become, such as a learner's; None: what the data itself is.
        scale: scale at which a learner sees values; None: that of the data itself.
    """
    wishes = (*((name, options[name]) for name in inputs.wishes() if options[name] is not None), *columns(options).items())
    how = (("data_dir", options.data_dir), ("strict", options.strict), *wishes)
    found = _load(options.data, split, spec, how)
    return found if scale is None else found.in_scale(scale)


def forget() -> None:
    """Free the memory of the data sets that were loaded."""
    _load.cache_clear()
