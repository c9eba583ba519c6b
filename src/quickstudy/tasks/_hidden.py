"""Parts of examples that queries lack: tasks whose examples to learn from say more than those that are asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quickstudy.data.dataset import Dataset
from quickstudy.errors import ConfigError, TaskError
from quickstudy.inputs.several import SeveralSpec
from quickstudy.task import Input


def tensors_of(said: str, dataset: Dataset) -> tuple[str, ...]:
    """Return the names of the tensors that become zero in queries: those of each hidden part, and those that say whether it is there.

    Args:
        said: names of the hidden parts, separated by commas; empty for none.
        dataset: whose examples become queries.

    Raises:
        ConfigError: examples have no parts, or no part of this name.
        TaskError: some query would have no part left.
    """
    if not said:
        return ()
    spec, about = dataset.spec, f"hide_from_queries is {said!r}"
    if not isinstance(spec, SeveralSpec):
        raise ConfigError(f"{about}, but {dataset.name} holds {spec.nouns}, which have no parts; leave it out.")
    hidden = (said,) if said in spec.parts else tuple(name.strip() for name in said.split(","))
    strange = [name for name in hidden if name not in spec.parts]
    if strange:
        raise ConfigError(
            f"{about}, but examples of {dataset.name} have no part {strange[0]!r}; they have {', '.join(spec.parts)}."
        )
    left = [name for name in spec.parts if name not in hidden]
    if not left:
        raise TaskError(f"{about}, which are all parts of an example; leave queries at least one of them.")
    _check_left(left, dataset, about)
    return tuple(tensor for name in hidden for tensor in (spec.tensor(name), spec.mask(name)))


def without(x: Input, tensors: Sequence[str]) -> Input:
    """Return inputs by name in which some tensors are full of zeros.

    >>> import torch
    >>> without({"name": torch.ones(1, 2), "size": torch.ones(1, 1)}, ["name"])
    {'name': tensor([[0., 0.]]), 'size': tensor([[1.]])}
    """
    if not isinstance(x, dict):
        return x
    return {name: part.new_zeros(part.shape) if name in tensors else part for name, part in x.items()}


def _check_left(left: Sequence[str], dataset: Dataset, about: str) -> None:
    """Raise a TaskError if some example has none of the parts that queries keep."""
    rows = dataset.rows
    there = np.any([dataset.stored[SeveralSpec.mask(name)][rows, 0] for name in left], axis=0)
    if not there.all():
        raise TaskError(
            f"{about}, but {int((~there).sum())} of {len(there)} examples of {dataset.name} have no {' and no '.join(left)}, so that "
            "nothing would be left of them as queries; leave these examples out, or hide another part."
        )
