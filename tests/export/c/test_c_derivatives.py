"""The derivative of every layer and function that has a C form, captured as learners capture it, against torch in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from .functions import Compiled, Function, built, compiled

pytestmark = pytest.mark.xdist_group("derivatives in C")  # which are compiled at once
COUNT = 5
SHAPES = {
    "image": (COUNT, 3, 7, 6),
    "rows": (COUNT, 4),
    "answers": (COUNT, 4),
    "scale": (3,),
    "shift": (3,),
    "gain": (4,),
    "bias": (5,),
    "matrix": (5, 4),
    "w1": (5, 3, 1, 1),
    "w2": (5, 3, 2, 2),
    "w3": (5, 3, 3, 3),
    "w5": (5, 3, 5, 5),
    "after": (2, 5, 3, 3),
}
EXAMPLES = {"image", "rows", "answers"}
CONVOLUTIONS = {  # window: strides and paddings
    1: [(1, 0), (2, 0), (1, 1)],
    2: [(1, 0), (2, 1), (3, 0)],
    3: [(1, 1), (2, 1), (2, 0), (3, 2)],
    5: [(1, 2), (3, 1), (4, 4)],
}
POOLS = [
    (2, 2, 0, False),
    (2, 2, 1, False),
    (3, 2, 1, False),
    (3, 2, 1, True),
    (3, 1, 0, False),
    (2, 3, 0, True),
    (5, 1, 2, False),
]


def convolution(window: int, stride: int, padding: int) -> Callable[..., Tensor]:
    return lambda image, weight, bias: F.conv2d(image, weight, bias, stride, padding)


CASES: dict[str, tuple[str, Callable[..., Tensor]]] = {
    **{
        f"convolution {window}x{window}, stride {stride}, padding {padding}": (
            f"image w{window} bias",
            convolution(window, stride, padding),
        )
        for window, settings in CONVOLUTIONS.items()
        for stride, padding in settings
    },
    **{
        f"max-pooling {window}x{window}, stride {stride}, padding {padding}{', all windows' * ceil}": (
            "image",
            lambda image, pool=(window, stride, padding), ceil=ceil: F.max_pool2d(image, *pool, ceil_mode=ceil),
        )
        for window, stride, padding, ceil in POOLS
    },
    "max-pooling of equal numbers": ("image", lambda image: F.max_pool2d(image.relu(), 3, 2)),
    "convolution, ReLU, convolution": (
        "image w3 bias after",
        lambda image, w3, bias, after: F.conv2d(F.conv2d(image, w3, bias, padding=1).relu(), after, stride=2),
    ),
    "convolution, ReLU, max-pooling": (
        "image w3 bias",
        lambda image, w3, bias: F.max_pool2d(F.conv2d(image, w3, bias, padding=1).relu(), 2),
    ),
    "group norm": ("image scale shift", lambda image, scale, shift: F.group_norm(image, 1, scale, shift)),
    "group norm of single channels": ("image scale shift", lambda image, scale, shift: F.group_norm(image, 3, scale, shift)),
    "layer norm": ("rows gain", lambda rows, gain: F.layer_norm(rows, (4,), gain)),
    "layer norm of images": ("image", lambda image: F.layer_norm(image, (3, 7, 6))),
    "batch norm": (
        "image scale shift",
        lambda image, scale, shift: F.batch_norm(image, None, None, scale, shift, training=True),
    ),
    "batch norm of rows": ("rows gain", lambda rows, gain: F.batch_norm(rows, None, None, gain, gain, training=True)),
    "batch norm on given statistics": (
        "image scale shift",
        lambda image, scale, shift: F.batch_norm(
            image, torch.linspace(-1, 1, 3).to(image), torch.ones(3).to(image) / 2, scale, shift
        ),
    ),
    **{
        name: ("rows", function)
        for name, function in {
            "ReLU": F.relu,
            "ReLU6": F.relu6,
            "leaky ReLU": lambda x: F.leaky_relu(x, 0.2),
            "ELU": F.elu,
            "GELU": F.gelu,
            "GELU by tanh": lambda x: F.gelu(x, approximate="tanh"),
            "SiLU": F.silu,
            "hard sigmoid": F.hardsigmoid,
            "hard swish": F.hardswish,
            "hard tanh": F.hardtanh,
            "tanh": torch.tanh,
            "sigmoid": torch.sigmoid,
            "softplus": F.softplus,
            "exp": torch.exp,
            "expm1": torch.expm1,
            "log": lambda x: torch.log(x.abs() + 0.1),
            "log1p": lambda x: torch.log1p(x.abs()),
            "erf": torch.erf,
            "sin and cos": lambda x: torch.sin(x) + torch.cos(2 * x),
            "square root": lambda x: torch.sqrt(x.abs() + 0.1),
            "powers": lambda x: x**3 + (x.abs() + 1) ** -1.5,
            "absolute": torch.abs,
            "clamp": lambda x: x.clamp(-0.5, 0.7),
            "softmax": lambda x: x.softmax(1),
            "log softmax": lambda x: x.log_softmax(1),
            "largest": lambda x: x.amax(1),
            "variance": lambda x: x.var(1),
            "mean of rows": lambda x: x.mean(1),
        }.items()
    },
    "products": ("rows gain", lambda rows, gain: rows * gain / (rows.square() + 1)),
    "choice": ("rows gain", lambda rows, gain: torch.where(rows > gain, rows * 2, gain) + torch.maximum(rows, gain)),
    "average of an image": ("image", lambda image: image.mean((2, 3))),
    "average over examples": ("rows", lambda rows: (rows - rows.mean(0)).square()),
    "linear": ("rows matrix bias", lambda rows, matrix, bias: F.linear(rows, matrix, bias)),
    "cross entropy": ("rows answers", lambda rows, answers: F.cross_entropy(rows, answers.softmax(1), reduction="none")),
    "mean cross entropy": ("rows answers", lambda rows, answers: F.cross_entropy(rows, answers.softmax(1)).reshape(1, 1)),
    "mean squared error": ("rows answers", lambda rows, answers: F.mse_loss(rows, answers).reshape(1, 1)),
}


def derivative(function: Callable[..., Tensor]) -> Function:
    """Gradients with respect to all inputs of results that are weighted differently."""

    def weighted(*values: Tensor) -> Tensor:
        y = function(*values)
        weights = (1.0 + torch.arange(y[0].numel()).reshape(y.shape[1:])).cos().to(y.dtype)
        return (y * weights).sum()

    return lambda **given: torch.func.grad(weighted, tuple(range(len(given))))(*given.values())


@pytest.fixture(scope="module")
def functions(inputs: dict[str, Tensor]) -> dict[str, Compiled]:
    made = {}
    for number, (case, (names, function)) in enumerate(CASES.items()):
        given = {name: inputs[name] for name in names.split()}
        made[case] = compiled(derivative(function), given, EXAMPLES, name=f"case_{number}")
    return made


@pytest.fixture(scope="module")
def gradients(
    inputs: dict[str, Tensor], functions: dict[str, Compiled], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[np.ndarray]]:
    library = built(tmp_path_factory.mktemp("derivatives"), list(functions.values()))
    return {
        case: library.run(functions[case], [inputs[name] for name in names.split()], COUNT)
        for case, (names, _) in CASES.items()
    }


@pytest.mark.parametrize("case", CASES)
def test_equal_to_torch(case: str, inputs: dict[str, Tensor], gradients: dict[str, list[np.ndarray]]) -> None:
    names, function = CASES[case]
    exact = derivative(function)(**{name: inputs[name].double() for name in names.split()})
    for name, mine, expected in zip(names.split(), gradients[case], exact, strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-4, atol=2e-5, err_msg=name)
