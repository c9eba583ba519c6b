"""A prototype learner in integers: a state of integer sums, streamed one example at a time, and squared distances."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from quickstudy.export.c import emit
from quickstudy.export.c.header import HEAD, header, weights_text
from quickstudy.export.c.program import Request, Source
from quickstudy.export.c.quantize import IntegerError, IntegerLayer, layers_of, quantized
from quickstudy.export.c.table import table
from quickstudy.export.trace.capture import Sizes, capture
from quickstudy.inputs.image import ImageSpec
from quickstudy.learner import Learner
from quickstudy.tasks._inputs import to_input


def compile_integer(learner: Learner, request: Request, images: Callable[[], np.ndarray]) -> Source:
    """Compile the learner to C that uses integers only.

    Args:
        learner: a ProtoNet whose net is a chain of convolutions, with `statistics="population"` or without batch norm.
        request: what to build for; needs an image spec.
        images: gives uint8 `[example, row, column, channel]`, as stored by the spec, to measure ranges with: a few hundred of the
            kind to be seen. It is called only for a net that has an integer form.

    Raises:
        IntegerError: the learner or its net has no integer form.
    """
    return integer_source(type(learner).__name__, integer_layers(learner, request, images), request)


def integer_layers(learner: Learner, request: Request, images: Callable[[], np.ndarray]) -> list[IntegerLayer]:
    """Return the integer layers of a prototype learner."""
    assert request.spec is not None
    programs = capture(learner, request.layout, table(), Sizes(way=request.ways, query=1))
    if set(programs.state) != {"sums", "counts"}:
        raise IntegerError(
            f"{type(learner).__name__} keeps {', '.join(programs.state)} of a task; int8 firmware is for ProtoNet with "
            "statistics='population', whose state is sums and counts. Export in float32 (precision='float32'; on the command line "
            "without --int8)."
        )
    with torch.no_grad():
        layers = layers_of(programs.adapt, dict(programs.weights))
        x = to_input(torch.from_numpy(np.ascontiguousarray(images())), request.spec.layout()["image"])
        return quantized(layers, x)[0]


def fraction_bits(features: int) -> int:
    """Bits after the point of a prototype, so that a squared distance of that many features fits 31 bits.

    >>> fraction_bits(64)
    4

    Raises:
        IntegerError: it does not fit even without such bits.
    """
    most = (2**31 - 1) // 255**2
    if features > most:
        raise IntegerError(
            f"the net gives {features:,} features; squared distances of more than {most:,} bytes do not fit the 32 bits of int8 firmware. "
            "Pool more, use fewer channels, or export in float32 (precision='float32'; on the command line without --int8)."
        )
    return max(0, int(math.log2(math.sqrt(2**31 / features) / 256)))


def integer_source(name: str, layers: Sequence[IntegerLayer], request: Request) -> Source:
    """C files of a prototype learner with these layers."""
    spec = request.spec
    assert spec is not None
    sizes = _sizes(layers, spec)
    features, dark = math.prod(sizes[-1]), spec.ink == "dark"
    arrays, table, patch = _tables(layers, sizes)
    first = _largest(sizes[1::2])
    second = _largest([*sizes[2::2], *([sizes[0]] if dark else [])])
    code = emit.filled(
        "int8",
        layers=len(layers),
        table="\n".join(table),
        features=features,
        fraction=fraction_bits(features),
        patch=patch,
        first=first,
        second=second,
        invert=_INVERT if dark else "",
        start="b" if dark else "pixels",
    )
    weights = weights_text(arrays)
    interface = header(
        weights,
        learner=name,
        ways=request.ways,
        values=math.prod(spec.shape),
        examples=request.examples,
        input="uint8_t",
        input_note="bytes [row][column][channel] as in an image file",
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
    return Source(files, HEAD + 4 * request.ways * (features + 1), first + second + 2 * patch, flash, False)


def _tables(layers: Sequence[IntegerLayer], sizes: Sequence[tuple[int, int, int]]) -> tuple[list[str], list[str], int]:
    """Constant arrays, rows of the table of layers, and the numbers in the patches of four outputs."""
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
    """Bytes of the largest image of a list, in whole words."""
    return max((-(-math.prod(size) // 4) * 4 for size in sizes), default=4)


def _sizes(layers: Sequence[IntegerLayer], spec: ImageSpec) -> list[tuple[int, int, int]]:
    """Rows, columns and channels before, between and after the layers."""
    rows, columns, channels = spec.shape
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

_INVERT = """    for (int i = 0; i < QS_VALUES; i++)
        b[i] = 255 - pixels[i]; /* dark strokes on a light ground */
"""
