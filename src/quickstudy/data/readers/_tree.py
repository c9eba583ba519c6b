"""Functions that the readers of folders and of zips share: they turn a tree of files into a dataset."""

from __future__ import annotations

import pathlib

from quickstudy.data.decoding import dataset_of, job_of
from quickstudy.data.readers import Found, Wanted
from quickstudy.data.splits import own_splits
from quickstudy.data.tree import Tree, classes_of, kind_of
from quickstudy.errors import TooLargeError

LARGEST = 256 * 2**20
"""Bytes that a file may have, or a member of a zip unpack to: far more than an example has, and less than a machine's memory."""


def read_tree(tree: Tree, wanted: Wanted) -> Found:
    """Return the classes of a tree; folders such as `train` and `test` around them are their splits."""
    spec, how = wanted.of_kind(kind_of(tree))
    classes, splits = own_splits(classes_of(tree, type(spec), wanted.strict), tree.label)
    return Found(dataset_of(job_of(tree, classes, spec, **how), classes, tree.name, wanted.strict), splits)


def content_of(file: pathlib.Path) -> bytes:
    """Return the content of a file.

    Raises:
        TooLargeError: it is far larger than an example.
    """
    size = file.stat().st_size
    if size > LARGEST:
        raise TooLargeError(f"{str(file)!r} has {size} bytes; expected a file of at most {LARGEST}.")
    return file.read_bytes()
