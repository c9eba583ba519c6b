"""Every operation that has a C form against torch, all in one program."""

from __future__ import annotations

import ctypes
import pathlib
import subprocess
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from quickstudy.errors import ModelError
from quickstudy.export.c import emit, firmware, layers, lower, ops, views
from quickstudy.export.c.context import Bind, Context, Frame
from quickstudy.export.c.ir import Buffer, stored
from quickstudy.export.c.plan import planned, without_unread
from quickstudy.export.c.schedule import scheduled
from quickstudy.export.c.sections import cut
from quickstudy.export.c.table import table

aten = torch.ops.aten
SHAPES = {"a": (3, 4), "b": (3, 4), "row": (4,), "column": (3, 1), "image": (1, 2, 7, 6), "weight": (5, 2, 3, 3), "bias": (5,)}

CASES: dict[str, Callable[..., Tensor]] = {
    "add and scalar": lambda a, b, **_: a + b * 2 - 3,
    "scaled sums": lambda a, b, **_: (
        torch.add(a, b, alpha=2) + torch.sub(a, b, alpha=0.5) + torch.add(a, 3, alpha=0.25) + torch.rsub(a, b, alpha=3)
    ),
    "broadcast": lambda a, row, column, **_: (a / (row.abs() + 1)).sub(column) * row,
    "expensive broadcast": lambda a, row, **_: a * torch.exp(row).rsqrt(),
    "comparisons": lambda a, b, **_: torch.where((a > b) & ~(a <= 0.1) | (a == b), a, b),
    "more comparisons": lambda a, b, **_: (
        (a >= 0).float() + (b < 0).float() + (a != 0).float() + (a < b).float() + (a <= b).float()
    ),
    "maximum": lambda a, b, **_: torch.maximum(a, b) - torch.minimum(a, b),
    "powers": lambda a, **_: a**2 + (a.abs() + 1) ** -2 + (a.abs() + 1) ** 0.5 + (a.abs() + 1) ** -1 + (a.abs() + 1) ** 1.7,
    "power of a number": lambda a, **_: 0.9**a,
    "functions": lambda a, **_: (
        a.exp() + (a.abs() + 1).log() + a.abs().sqrt() + a.tanh() + a.sigmoid() + a.sign() + a.neg().relu() + a.sin() * a.cos()
    ),
    "reciprocal": lambda a, **_: (a.abs() + 1).reciprocal() + (a.square() + 1).rsqrt() + torch.erf(a),
    "clamp": lambda a, **_: a.clamp(-0.5, 0.5) + a.clamp(min=0.1) + a.clamp(max=0.2),
    "activations": lambda a, **_: F.leaky_relu(a) + F.gelu(a) + F.silu(a) + F.elu(a) + F.hardtanh(a) + F.hardswish(a),
    "softmax": lambda a, **_: a.softmax(1) + a.log_softmax(-1) + a.softmax(0),
    "sums": lambda a, **_: a.sum() + a.sum(0) + a.sum(1, keepdim=True) + a.mean(1, keepdim=True) + a.mean(),
    "largest": lambda a, **_: a.amax(1, keepdim=True) + a.amax(0),
    "variance": lambda a, **_: a.var(1, keepdim=True) + a.var(0, correction=0),
    "product": lambda a, b, **_: a @ b.t() @ (a * 2 + 1),
    "linear": lambda a, b, column, **_: F.linear(a, b, column.flatten()),
    "views": lambda a, **_: (
        a.reshape(2, 6).t().reshape(3, 4) + a.unsqueeze(1).expand(3, 2, 4)[:, 1] + a.view(4, 3).permute(1, 0)
    ),
    "view of an expression": lambda a, **_: (a * 3 + 1).t().reshape(3, 4).squeeze(),
    "slices": lambda a, **_: a[1:, ::2] * a[:2, 1:3] + a.select(0, 2)[-2:] + a[-1, 0],
    "slices from far away": lambda a, **_: aten.slice.Tensor(a, 0, -9)[:, 1:9] * a[:9, -3:] + aten.slice.Tensor(a, -1, -9, 1),
    "ranges": lambda a, **_: (
        a
        + torch.arange(0, 8, 2) / torch.arange(9, 1, -2)
        + torch.arange(0.5, 2.5, 0.5) / torch.arange(1.0, 5.0)
        + torch.arange(2, 6)
    ),
    "made": lambda a, **_: a + torch.arange(4) + torch.ones(3, 1) * torch.full((4,), 0.5) - torch.zeros_like(a),
    "whole numbers": lambda a, **_: a + (torch.arange(4) * 3 + 1) % 3 + torch.arange(4) / 2,
    "remainders": lambda a, b, row, **_: (
        a % 0.3 + a % -0.3 + a % b + (torch.arange(-4, 4, 2) % 3) * row + torch.arange(-3, 5, 2) % torch.full((4,), -3)
    ),
    "convolution": lambda image, weight, bias, **_: F.conv2d(image, weight, bias, padding=1),
    "strided convolution": lambda image, weight, **_: F.conv2d(image, weight, stride=2, padding=2),
    "fused convolution": lambda image, weight, bias, **_: (F.conv2d(image, weight, padding=1) + bias.view(1, -1, 1, 1)).relu(),
    "convolution with a scale": lambda image, weight, bias, **_: F.conv2d(image, weight) * bias.view(1, -1, 1, 1) + 1,
    "pooling": lambda image, **_: F.max_pool2d(image, 2),
    "overlapping pooling": lambda image, **_: F.max_pool2d(image * 2, 3, stride=2, padding=1, ceil_mode=True),
    "average": lambda image, **_: image.mean((2, 3)),
    "group norm": lambda image, **_: F.group_norm(image, 2),
    "layer norm": lambda a, row, **_: F.layer_norm(a, (4,), row),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[np.ndarray, Tensor]]:
    """What C and torch compute for each case."""
    folder = tmp_path_factory.mktemp("operators")
    torch.manual_seed(0)
    inputs = {name: torch.randn(shape) for name, shape in SHAPES.items()}
    expected = {name: case(**inputs) for name, case in CASES.items()}

    def every(*values: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(inputs, values, strict=True))
        return tuple(case(**given) for case in CASES.values())

    graph = make_fx(every, decomposition_table=dict(table()), tracing_mode="fake")(*inputs.values()).graph
    binds: dict[str, Bind] = {name: _bound(name, shape) for name, shape in SHAPES.items()}
    outputs = {name: Buffer(f"out{number}", expected[name].numel(), outside=True) for number, name in enumerate(CASES)}
    context = Context(graph, cut(graph), list(inputs), Frame(binds, outputs), list(CASES))
    items = scheduled(without_unread(lower.lowered(context)))
    arena = planned(items)
    arguments = [f"const float *{name}" for name in SHAPES] + [f"float *{buffer.name}" for buffer in outputs.values()]
    body = emit.function(f"void run({', '.join(arguments)})", items, arena)
    (folder / "run.c").write_text(
        '#include "kernels.h"\n'
        f"static union {{ float f; int32_t i; uint8_t b; }} arena[{arena.size // 4 + 1}];\n{emit.constants(context.constants)}\n{body}\n"
    )
    (folder / "kernels.h").write_text((firmware.HERE / "kernels.h").read_text())
    _built(folder)
    results = {name: np.full(tuple(value.shape), np.nan, np.float32) for name, value in expected.items()}
    arrays = [value.numpy() for value in inputs.values()] + list(results.values())
    ctypes.CDLL(str(folder / "run.so")).run(*(array.ctypes.data_as(ctypes.c_void_p) for array in arrays))
    return {name: (results[name], expected[name]) for name in CASES}


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda a: (aten.add.Tensor(a, a, alpha=2),), "alpha=2"),
        (lambda a: (a.cumsum(0),), "cumsum"),
    ],
)
def test_what_would_be_left_out_is_named(function: Callable[[Tensor], tuple[Tensor]], words: str) -> None:
    graph = make_fx(function, tracing_mode="fake")(torch.zeros(3, 4)).graph
    frame = Frame({"a": _bound("a", (3, 4))}, {"out": Buffer("out", 12, outside=True)})
    with pytest.raises(ModelError, match=rf"(?s){words}.*(Use|Write)"):
        lower.lowered(Context(graph, cut(graph), ["a"], frame, ["out"]))


def _bound(name: str, shape: tuple[int, ...]) -> Bind:
    buffer = Buffer(name, int(np.prod(shape)), outside=True)
    return lambda row: stored(buffer, shape)


def _built(folder: pathlib.Path) -> None:
    command = "gcc -std=c99 -Wall -Wextra -Werror -O1 -shared -fPIC -o run.so run.c -lm"
    done = subprocess.run(command.split(), capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", CASES)
def test_equal_to_torch(name: str, outcomes: dict[str, tuple[np.ndarray, Tensor]]) -> None:
    mine, expected = outcomes[name]
    np.testing.assert_allclose(mine, expected.numpy(), rtol=2e-5, atol=2e-6)


def test_an_operation_has_one_rule() -> None:
    tables = [ops.ELEMENTWISE, lower.RULES, layers.RULES, views.RULES]
    assert sum(map(len, tables)) == len({key for one in tables for key in one})
