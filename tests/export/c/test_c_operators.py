"""Every operation that has a C form against torch."""

from __future__ import annotations

import pathlib
import subprocess
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from quickstudy.errors import ModelError
from quickstudy.export.c import emit, layers, lower, ops, views
from quickstudy.layers.align_time import AlignTime
from quickstudy.layers.blur import Blur

from .functions import FLAGS, Compiled, built, compiled, traced
from .test_c_derivatives import CASES as DERIVATIVES
from .test_c_derivatives import SHAPES as GIVEN
from .test_c_derivatives import derivative

pytestmark = pytest.mark.xdist_group("operators in C")  # which are compiled at once
aten = torch.ops.aten
SHAPES = {
    "a": (3, 4),
    "b": (3, 4),
    "row": (4,),
    "column": (3, 1),
    "image": (1, 2, 7, 6),
    "weight": (5, 2, 3, 3),
    "bias": (5,),
    "rows": (7, 4),
}
TABLES = [ops.ELEMENTWISE, lower.RULES, layers.RULES, views.RULES]

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
    "products": lambda a, b, image, **_: (
        image[0] @ image[0].mT.exp() + (a.view(2, 3, 2) @ (b * 2).view(2, 2, 3)).sum((1, 2)).view(2, 1, 1)
    ),
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
    "further functions": lambda a, **_: torch.log1p(a.abs()) * torch.expm1(a),
    "logic": lambda a, b, **_: (
        torch.logical_or(a > 0, b > 0).float()
        + torch.logical_and(a, b > 1) * 2
        + torch.logical_not(a > b) * 4
        + (a <= b) * (b >= a)
    ),
    "whole and truth values": lambda a, b, **_: (
        a * (torch.arange(4) < 0.5)
        + ~torch.arange(4)
        + ((a > 0) + (b > 0)).float()
        + (a > 0) / (b < 9)
        + (torch.arange(4) == 2)
    ),
    "sums with numbers": lambda a, **_: aten.mul.Scalar(aten.add.Scalar(aten.sub.Scalar(aten.div.Scalar(a, 3), 1), 2.5), 2),
    "in place": lambda a, b, **_: (
        a.square().add_(1).reciprocal_().unsqueeze_(0).sub_(b).clamp_(min=-1).masked_fill_(a > 0, 0.5)
    ),
    "strides of its own": lambda a, **_: (
        a.as_strided((3, 3), (1, 4), 1) * 2
        + a.t().as_strided((3, 3), (3, 1))
        + (a + 1).t().as_strided((3,), (4,))
        + a.as_strided((), (), 7)
    ),
    "strides of a piece": lambda a, **_: (a[1:] * 1).as_strided((2, 2), (2, 1)) + a.as_strided((2, 4), (4, 1)).t()[:2],
    "made from nothing": lambda a, **_: a.new_empty((4,)).copy_(a[0]) + a,
    "pieces side by side": lambda a, b, row, column, **_: (
        torch.cat([a, b * 2, a > 0], 1)[:, 1:11:2]
        + torch.cat([row.unsqueeze(0), a, torch.empty(0), b[1:] + row])[1:4, :1]
        + torch.stack([a, b], -1).sum(-1)[:, :1]
        + torch.cat([column, a + 1], -1)
    ),
    "an axis in pieces": lambda a, b, **_: (
        torch.cat([*a.split([1, 3], 1)[::-1], *b.chunk(2, 1)[::-1]], 1)[:, 2:6] + a.unbind(0)[1]
    ),
    "number as a tensor": lambda a, **_: a * aten.scalar_tensor.default(2.5) + aten.alias.default(a),
}

STRANGE: dict[str, Callable[..., Tensor]] = {
    "relu": lambda a, **_: a.relu() + 1,
    "relu of a convolution": lambda image, weight, bias, **_: (F.conv2d(image, weight) + bias.view(1, -1, 1, 1)).relu(),
    "bounds": lambda a, **_: a.clamp(-0.5, 0.5) + a.clamp(min=0.1) + a.clamp(max=0.2),
    "maximum": lambda a, b, **_: torch.maximum(a, b) - torch.maximum(b, a),
    "minimum": lambda a, b, **_: torch.minimum(a, b) - torch.minimum(b, a),
    "largest": lambda a, **_: a.amax(1),
    "largest of all": lambda a, **_: a.amax(),
    "softmax": lambda a, **_: a.log_softmax(1),
    "pooling": lambda image, **_: F.max_pool2d(image, 3, stride=1, padding=1),
}
"""With numbers among the inputs that are not numbers."""

ROWS: dict[str, Callable[..., Tensor]] = {
    "fixed rows": lambda rows, **_: rows[(torch.arange(4) * 3 + 1) % rows.shape[0]] * torch.arange(4).unsqueeze(1),
    "rows from the end": lambda rows, **_: rows[torch.arange(-2, 1)],
    "sum of picked rows": lambda rows, **_: (rows[(torch.arange(rows.shape[0]) * 2) % 3] + rows).sum(0),
    "pairs of products": lambda rows, **_: rows.view(-1, 2, 2) @ (rows * 2).view(-1, 2, 2),
    "products over rows": lambda rows, **_: rows.t().view(2, 2, -1) @ rows.tanh().view(-1, 2, 2).permute(1, 0, 2),
    "words in time": lambda rows, **_: AlignTime(heard=0.55, floor=0.2)(rows.sigmoid().view(-1, 1, 1, 4)),
    "blurred rows": lambda rows, **_: Blur(1)(rows.view(-1, 1, 2, 2)),
    "rows themselves": lambda rows, **_: rows,
}
"""With any number of `rows`."""

WHOLE: dict[str, Callable[..., Tensor]] = {
    "whole views": lambda a, **_: (
        aten._unsafe_view.default(aten.t.default(aten.detach.default(a * 2)).contiguous(), [3, 4]) + 1
    ),
    "whole squeezing": lambda a, row, **_: aten.squeeze.dim(a.unsqueeze(1), 1) + row,
    "whole numbers made": lambda a, **_: (
        aten.arange.default(4)
        + a
        + aten.new_full.default(a, [4], 2.0)
        + aten.new_zeros.default(a, [4])
        + aten.ones.default([4])
        + aten.ones_like.default(a)
        + aten.zeros.default([4])
        + aten.zeros_like.default(a)
    ),
    "whole power, bound and sum": lambda a, **_: aten.pow.Scalar(2.0, a) + aten.clamp_min.default(a, 0.1) + aten.sum.default(a),
}
"""What today's torch takes apart before it reaches the target, and others may not."""


@pytest.fixture(scope="module")
def functions(inputs: dict[str, Tensor]) -> dict[str, Compiled]:
    """Return a function for each table of cases."""
    return {
        "cases": compiled(_all(CASES), inputs, name="cases"),
        "rows": compiled(_all(ROWS), inputs, {"rows"}, name="rows_cases"),
        "whole": compiled(_all(WHOLE), inputs, name="whole", decompositions=False),
    }


def _all(cases: dict[str, Callable[..., Tensor]]) -> Callable[..., tuple[Tensor, ...]]:
    return lambda **given: tuple(case(**given) for case in cases.values())


@pytest.fixture(scope="module")
def outcomes(
    inputs: dict[str, Tensor], functions: dict[str, Compiled], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, np.ndarray]:
    """Return what C computes for each case."""
    library = built(tmp_path_factory.mktemp("operators"), list(functions.values()))
    results = [library.run(function, list(inputs.values()), len(inputs["rows"])) for function in functions.values()]
    return dict(zip([*CASES, *ROWS, *WHOLE], [value for values in results for value in values], strict=True))


@pytest.mark.parametrize("name", [*CASES, *ROWS, *WHOLE])
def test_equal_to_torch(name: str, inputs: dict[str, Tensor], outcomes: dict[str, np.ndarray]) -> None:
    expected = (CASES | ROWS | WHOLE)[name](**inputs)
    np.testing.assert_allclose(outcomes[name], expected.numpy(), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("place", [0, 1, -1])
def test_what_is_not_a_number_is_handed_on_as_in_torch(place: int, inputs: dict[str, Tensor], tmp_path: pathlib.Path) -> None:
    given = {name: value.clone() for name, value in inputs.items()}
    for name in ("a", "image"):
        given[name].view(-1)[place] = torch.nan
    function = compiled(_all(STRANGE), inputs)
    found = built(tmp_path, [function]).run(function, list(given.values()))
    for (name, case), value in zip(STRANGE.items(), found, strict=True):
        expected = case(**given)
        assert expected.isnan().any(), name
        np.testing.assert_allclose(value, expected.numpy(), rtol=2e-5, atol=2e-6, err_msg=name)


def test_every_operation_has_a_case(functions: dict[str, Compiled]) -> None:
    """Here, or in the tests of derivatives, which go on where these end."""
    reached = {node.target for function in functions.values() for node in function.graph.nodes}
    for names, function in DERIVATIVES.values():
        missing = {key for table in TABLES for key in table} - reached
        if not missing:
            return
        given = {name: torch.zeros(GIVEN[name]) for name in names.split()}
        reached |= {node.target for node in traced(derivative(function), given, {"image", "rows", "answers"})[0].nodes}
    assert not missing


def test_an_operation_has_one_rule() -> None:
    assert sum(map(len, TABLES)) == len({key for one in TABLES for key in one})


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda a, rows: aten.add.Tensor(a, a, alpha=2), "alpha=2"),
        (lambda a, rows: a.cumsum(0), "cumsum"),
        (lambda a, rows: a[1:].as_strided((3, 4), (4, 1), 0), r"as_strided.*strides \['4', '1'\]"),
        (lambda a, rows: a[:, ::2].as_strided((3, 4), (4, 1)), "as_strided"),
        (lambda a, rows: a.expand(2, 3, 4).as_strided((2, 3), (3, 1)), "as_strided"),
        (lambda a, rows: rows.t().as_strided((rows.shape[0], 4), (4, 1)), "as_strided"),
        (lambda a, rows: rows.as_strided((rows.shape[0], 2), (4, 1)), "as_strided"),
        (lambda a, rows: aten.slice.Tensor(a, 1, rows.shape[0] - 9, rows.shape[0] - 7), "slice.*begins or ends at s"),
        (lambda a, rows: aten.slice.Tensor(a, 1, 0, rows.shape[0]), "slice.*begins or ends at s"),
        (lambda a, rows: a.select(1, rows.shape[0] - 9), "select.*begins or ends at s"),
        (lambda a, rows: a[torch.arange(2)], "index.*picks elements"),
        (lambda a, rows: (b := a * 2, c := b.t(), b.add_(1), c)[3], "add_"),
    ],
)
def test_what_has_no_c_form_is_named(function: Callable[..., Tensor], words: str) -> None:
    inputs = {"a": torch.zeros(3, 4), "rows": torch.zeros(11, 4)}
    with pytest.raises(ModelError, match=rf"(?s)operator aten.*{words}.*(Use|Write).*(ONNX|operation of its own)") as caught:
        compiled(lambda a, rows: (function(a, rows),), inputs, {"rows"}, decompositions="alpha" not in words)
    assert " in layer " in str(caught.value)


def test_both_files_of_kernels_go_together(tmp_path: pathlib.Path) -> None:
    for number, names in enumerate((("int8.h", "kernels.h"), ("kernels.h", "int8.h"))):
        (tmp_path / f"{number}.c").write_text("".join(f'#include "{name}"\n' for name in names) + "int none;\n")
        command = ["gcc", *FLAGS, "-Wno-unused-function", f"-I{emit.HERE}", "-c", f"{number}.c"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
