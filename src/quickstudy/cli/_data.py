"""The options that name a data set, shared by the verbs."""

from __future__ import annotations

import functools

import jsonargparse

from quickstudy import data
from quickstudy.cli._parser import Parser
from quickstudy.data import known
from quickstudy.data.dataset import ImageDataset
from quickstudy.data.loading import OwnData


def add_arguments(parser: Parser, split: str) -> None:
    """`--data` and what goes with it."""
    parser.add_argument(
        "--data", type=str, required=True, help=f"{', '.join(known.names())}; or a folder, zip, npz or idx file of yours"
    )
    parser.add_argument("--split", type=str, default=split, help="train, val, test or all; known sets may have more")
    parser.add_argument(
        "--data_dir", "--data-dir", type=str | None, default=None, help="where known sets are, or are downloaded to"
    )
    parser.add_argument(
        "--size", type=int | None, default=None, help="height and width of images, in pixels; null: the set's own"
    )
    parser.add_argument("--channels", type=int | None, default=None, help="your own images: 1 (grey) or 3 (colour)")
    parser.add_argument("--ink", type=str, default="light", help="your own images: dark (drawn dark on light) or light")
    parser.add_argument(
        "--strict", type=bool, default=False, help="stop at the first unreadable image instead of leaving it out"
    )


@functools.cache
def _load(name: str, split: str, size: int | None, data_dir: str | None, strict: bool, own: OwnData | None) -> ImageDataset:
    return data.load(name, split, size=size, data_dir=data_dir, strict=strict, own=own)


def load(options: jsonargparse.Namespace, split: str) -> ImageDataset:
    """The split of the data set that the options name."""
    is_known = known.module_name(options.data) in known.names()
    own = None if is_known else OwnData(channels=options.channels, ink=options.ink)
    return _load(options.data, split, options.size, options.data_dir, options.strict, own)


def forget() -> None:
    """Free the memory of the data sets that were loaded."""
    _load.cache_clear()
