"""Compile a learner of prototypes to integers: a state of sums, to which examples are added one at a time, and squared distances."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from quickstudy.export.c import emit
from quickstudy.export.c.header import header, input_facts, state_size, weights_text
from quickstudy.export.c.program import Code, Request
from quickstudy.export.c.quantize import IntegerError, IntegerLayer, layers_of, quantized
from quickstudy.export.c.table import table
from quickstudy.export.facts import having
from quickstudy.export.trace.capture import Backend, Sizes, capture
from quickstudy.functional.distances import squared_distances
from quickstudy.inputs import TensorLayout
from quickstudy.learner import Learner
from quickstudy.objectives.classes import one_hot
from quickstudy.task import Examples
from quickstudy.tasks._inputs import to_input

INSTEAD = "Export in float32 (precision='float32'; on the command line without --int8)."
"""The remedy for a learner that has no integer form."""


def compile_integer(learner: Learner, request: Request, calibration: Callable[[], np.ndarray]) -> Code:
    """Compile the learner to C that uses integers only.

    Args:
        learner: one of prototypes (`Learner.prototypes`) whose net is a chain of convolutions, with `statistics="population"` or without
            batch norm.
        request: what to build for.
        calibration: gives examples as they are stored, uint8 `[example, row, column, channel]`, to measure ranges with: a few hundred
            of the kind to be seen. It is called only for a net that has an integer form.

    Raises:
        IntegerError: the learner, its input or its net has no integer form.
    """
    return integer_source(type(learner).__name__, integer_layers(learner, request, calibration), request)


def integer_layers(learner: Learner, request: Request, calibration: Callable[[], np.ndarray]) -> list[IntegerLayer]:
    """Return the integer layers of a learner of prototypes."""
    unit, _ = byte_unit(learner, request)
    programs = capture(learner, request.spec.layout(), Backend(table(), Sizes(way=request.ways, query=1)))
    if set(programs.state) != {"sums", "counts"}:
        raise IntegerError(
            f"{type(learner).__name__} keeps {', '.join(programs.state)} of a task; int8 firmware keeps sums and counts, as learners of "
            f"prototypes do with statistics='population'. {INSTEAD}"
        )
    with torch.no_grad():
        layers = layers_of(programs.adapt, dict(programs.weights))
        x = to_input(torch.from_numpy(np.ascontiguousarray(calibration())), request.layout)
        _check_ranking(learner, x[:64])
        return quantized(layers, x, unit)[0]


def _check_ranking(learner: Learner, x: Float[Tensor, "example ..."]) -> None:
    """Raise an IntegerError unless the learner prefers the classes whose means are nearer by squared distance, as the firmware does."""
    ways = min(8, len(x))
    every, some = torch.arange(len(x)), torch.arange(len(x)) % ways
    features = learner.adapt(Examples(x, one_hot(every, len(x))))["sums"]
    state = learner.adapt(Examples(x, one_hot(some, ways)))
    apart = squared_distances(features, state["sums"] / state["counts"].unsqueeze(-1))
    logits = learner.predict(state, x).gather(1, apart.argsort(1))
    if (logits.diff(dim=1) > 1e-4 * logits.abs().amax(1, keepdim=True)).any():  # rounding may turn ties around
        raise IntegerError(
            f"{type(learner).__name__} does not prefer the class whose mean is nearest by squared distance, which int8 firmware compares "
            f"by. {INSTEAD}"
        )


def byte_unit(learner: Learner, request: Request) -> tuple[float, bool]:
    """Return how much one unit of a stored byte is to the net, and whether the net sees 255 minus the byte.

    Raises:
        IntegerError: the learner's state holds no prototypes, or the net does not see an input's bytes from 0 on, channels last.
    """
    layout = request.layout
    bytes_of_grid = layout.dtype == "uint8" and layout.order == (2, 0, 1)
    turned = layout.scale < 0
    from_zero = math.isclose(layout.offset, -255 * layout.scale if turned else 0.0, abs_tol=1e-6)
    if learner.prototypes and bytes_of_grid and from_zero:
        return abs(layout.scale), turned
    raise IntegerError(
        f"{type(learner).__name__} on {request.spec} has no int8 firmware, which is for a learner whose state holds prototypes "
        f"({having('prototypes')}) on inputs of bytes [row][column][channel]. {INSTEAD}"
    )


def fraction_bits(features: int) -> int:
    """Return the bits after the point of a prototype with which a squared distance of that many features fits 31 bits.

    >>> fraction_bits(64)
    4

    Raises:
        IntegerError: it does not fit even without such bits.
    """
    most = (2**31 - 1) // 255**2
    if features > most:
        raise IntegerError(
            f"the net gives {features:,} features; squared distances of more than {most:,} bytes do not fit the 32 bits of int8 firmware. "
            f"Pool more or use fewer channels. {INSTEAD}"
        )
    return max(0, int(math.log2(math.sqrt(2**31 / features) / 256)))


def integer_source(name: str, layers: Sequence[IntegerLayer], request: Request) -> Code:
    """Return the C files of a learner of prototypes with these layers."""
    sizes = _sizes(layers, request.layout)
    features, turned = math.prod(sizes[-1]), request.layout.scale < 0
    arrays, table, patch = _tables(layers, sizes)
    first = _largest(sizes[1::2])
    second = _largest([*sizes[2::2], *([sizes[0]] if turned else [])])
    code = emit.filled(
        "int8",
        layers=len(layers),
        table="\n".join(table),
        features=features,
        fraction=fraction_bits(features),
        patch=patch,
        first=first,
        second=second,
        turn=_TURN if turned else "",
        start="b" if turned else "input",
    )
    weights = weights_text(arrays)
    interface = header(
        weights,
        learner=name,
        ways=request.ways,
        examples=request.examples,
        **input_facts(request),
        target="int32_t",
        target_note="class of each example, 0 to QS_WAYS - 1",
        state=f"    int32_t sums[{request.ways * features}]; /* [way][feature] */\n    int32_t counts[{request.ways}];",
        settings="    int unused;",
        score="int32_t",
        score_note="minus a squared distance; INT32_MIN for a class without examples",
        returns="the class with the largest score",
        more=_MORE,
    )
    flash = sum(array.nbytes for layer in layers for array in (layer.weight, layer.bias, layer.multiplier, layer.shift))
    files = {"learner.h": interface, "weights.h": weights, "learner.c": code}
    return Code(files, state_size(request.ways * (features + 1)), first + second + 2 * patch, flash, False)


def _tables(layers: Sequence[IntegerLayer], sizes: Sequence[tuple[int, int, int]]) -> tuple[list[str], list[str], int]:
    """Return constant arrays, the rows of the table of layers, and how many numbers the patches of four outputs hold."""
    arrays, table, patch = [], [], 4
    for number, (layer, before, after) in enumerate(zip(layers, sizes[:-1], sizes[1:], strict=True)):
        weight = layer.weight.reshape(len(layer.weight), -1)
        taps = -(-weight.shape[1] // 4) * 4
        patch = max(patch, 4 * taps)
        values = {
            "weights": ("int8_t", np.pad(weight, ((0, 0), (0, taps - weight.shape[1])))),
            "bias": ("int32_t", layer.bias),
            "multiplier": ("int32_t", layer.multiplier),
            "shift": ("int8_t", layer.shift),
        }
        arrays += [emit.array(kind, f"{name}_{number}", array) for name, (kind, array) in values.items()]
        numbers = (*before, *after, layer.weight.shape[1], layer.stride, layer.padding, layer.pool, taps)
        table.append(f"    {{{', '.join(map(str, numbers))}, {', '.join(f'{name}_{number}' for name in values)}}},")
    return arrays, table, patch


def _largest(sizes: Sequence[tuple[int, int, int]]) -> int:
    """Return the bytes of the largest of some arrays of bytes, in whole words."""
    return max((-(-math.prod(size) // 4) * 4 for size in sizes), default=4)


def _sizes(layers: Sequence[IntegerLayer], layout: TensorLayout) -> list[tuple[int, int, int]]:
    """Return rows, columns and channels before, between and after the layers."""
    rows, columns, channels = layout.axes
    sizes = [(rows, columns, channels)]
    for layer in layers:
        window = layer.weight.shape[1]
        rows, columns = (((side + 2 * layer.padding - window) // layer.stride + 1) // layer.pool for side in (rows, columns))
        sizes.append((rows, columns, len(layer.weight)))
    return sizes


_MORE = """
/* Learn from one more example; a state of zeros knows nothing yet. Examples need not be kept. QS_OK, or an error: the state stays. */
int qs_add(qs_state *state, const qs_input *example, qs_target target);
"""

_TURN = """    for (int i = 0; i < QS_VALUES; i++)
        b[i] = 255 - input[i]; /* as the net sees it */
"""
