"""From stored examples to a network's input, in torch; the numbers are those of `TensorLayout.to_network`."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int, Num
from torch import Tensor

from quickstudy.data.dataset import Dataset
from quickstudy.errors import ConfigError, TaskError
from quickstudy.inputs import InputSpec, TensorLayout
from quickstudy.inputs.several import SeveralSpec
from quickstudy.task import Input
from quickstudy.tasks._random import uniform
from quickstudy.tasks.augment import Augmentation, augmentation, augmentations


class Inputs:
    """Inputs of the examples of a data set, each changed at random if that is wished.

    Args:
        dataset: whose examples they are.
        augment: how they are changed, a name of `quickstudy.tasks.augment` for this kind of input, or for that of some of its parts, which
            are changed then; `none` leaves them as they are.
        seed: of the changes.
    """

    def __init__(self, dataset: Dataset, augment: str, seed: int) -> None:
        self.seed, self._layout = seed, dataset.spec.layout()
        self._changes = {} if augment == "none" else _changes(dataset.spec, augment)
        self._stored = {name: torch.from_numpy(dataset.stored[name]).flatten(1) for name in self._layout}

    def __call__(self, index: Int[np.ndarray, " task"], rows: Int[Tensor, "task example"], stream: int) -> Input:
        """Return the inputs `[task, example, *shape]` of stored rows; by name if the kind has several parts.

        Args:
            index: number of each task.
            rows: stored rows of its examples.
            stream: what the random numbers are for; sets of examples that are changed differently have different streams.
        """
        flat = rows.flatten()
        parts: dict[str, Tensor] = {}
        for name, layout in self._layout.items():
            # index_select of flat rows: several times faster than indexing by a tensor, and than a gather of floats held ready
            stored = self._stored[name].index_select(0, flat).unflatten(1, layout.axes)
            x = to_input(stored, layout)
            if name in self._changes:
                change, numbers, apart = self._changes[name]
                random = uniform(self.seed, index, rows.shape[1] * numbers, stream + apart).reshape(-1, numbers)
                x = change(x, torch.from_numpy(random).to(x.dtype))
            parts[name] = x.unflatten(0, rows.shape)
        return parts if len(parts) > 1 else next(iter(parts.values()))


def _changes(spec: InputSpec, augment: str) -> dict[str, tuple[Augmentation, int, int]]:
    """Return how tensors are changed at random, by their names: the change, how many random numbers it takes, and how far its stream lies.

    Raises:
        ConfigError: the kind of input has no such change; of several parts, that of none has it.
    """
    if not isinstance(spec, SeveralSpec):
        return dict.fromkeys(spec.layout(), (*augmentation(spec.kind, augment), 0))
    able = [name for name, part in spec.parts.items() if augment in augmentations(part.kind)]
    if not able:
        known = sorted({way for part in spec.parts.values() for way in augmentations(part.kind)})
        raise ConfigError(
            f"augment is {augment!r}; expected one of {', '.join(['none', *known])}, for the parts {', '.join(spec.parts)}."
        )
    # a hundred streams of random numbers further for each part, so that parts are changed independently
    return {spec.tensor(name): (*augmentation(spec.parts[name].kind, augment), 100 * place) for place, name in enumerate(able)}


def to_input(stored: Num[Tensor, " *stored"], layout: TensorLayout) -> Num[Tensor, " *input"]:
    """Return the network's input `[..., *layout.shape]` for stored examples `[..., *layout.axes]`; int64 stays int64.

    >>> to_input(torch.tensor([[0, 255]], dtype=torch.uint8), TensorLayout(axes=(2,), order=(0,), dtype="uint8", scale=1 / 255))
    tensor([[0., 1.]])
    """
    leading = stored.ndim - len(layout.axes)
    moved = stored.permute(*range(leading), *(leading + axis for axis in layout.order))
    if layout.dtype == "int64":
        return moved
    scale, offset = layout.scale, layout.offset
    if (
        layout.dtype == "uint8" and scale < 0 and offset == -255 * scale
    ):  # a negative: inverting bytes is faster than adding floats
        moved, scale, offset = moved.bitwise_not(), -scale, 0.0
    scaled = moved.to(torch.get_default_dtype())
    if scale != 1:
        scaled = scaled.mul_(scale) if scaled is not moved else scaled * scale
    return scaled + offset if offset else scaled


def check_has_classes(dataset: Dataset) -> None:
    """Raise a TaskError for examples with values or label sets, whose classes are only what they come from."""
    if dataset.label_sets is not None:
        raise TaskError(
            f"the examples of {dataset.name} have label sets, and no classes; draw tasks of labels (LabelTasks, --tasks labels), or read "
            "it with a column of classes and without labels=."
        )
    if dataset.values is not None:
        raise TaskError(
            f"the examples of {dataset.name} have values, and its classes are only the groups that they come from; draw tasks of values "
            "(ValueTasks, --tasks values), or read it with a column of classes and without value=."
        )
