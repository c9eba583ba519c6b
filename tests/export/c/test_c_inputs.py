"""However the numbers of an input are stored, C sees them as the net does: axes in its order, scaled and shifted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from builders import Prototypes
from torch import Tensor, nn

from quickstudy.inputs import TensorLayout
from quickstudy.inputs.rows import RowsSpec
from quickstudy.objectives.classes import one_hot
from quickstudy.task import Examples
from quickstudy.training.saving import SavedLearner

LAYOUTS = {
    "bytes, channels last, turned": TensorLayout(axes=(4, 5, 2), order=(2, 0, 1), dtype="uint8", scale=-1 / 255, offset=1.0),
    "bytes in three orders": TensorLayout(axes=(4, 5, 2), order=(1, 2, 0), dtype="uint8", scale=0.5, offset=-3.0),
    "numbers as they are": TensorLayout(axes=(6,), order=(0,), dtype="float32"),
    "numbers in another order": TensorLayout(axes=(3, 4), order=(1, 0), dtype="float32"),
    "scaled numbers": TensorLayout(axes=(3, 4), order=(0, 1), dtype="float32", scale=2.0, offset=-0.5),
    "whole numbers": TensorLayout(axes=(5,), order=(0,), dtype="int64"),
}


class Weighted(nn.Module):
    """Sums of an example's numbers, each with weights of its own, so that their order counts."""

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.layer, self.features = nn.Linear(numbers, 4), 4

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(1).to(self.layer.weight.dtype))


@pytest.mark.parametrize("name", LAYOUTS)
def test_c_sees_what_the_net_sees(name: str, build: Callable) -> None:
    layout = LAYOUTS[name]

    class Stored(RowsSpec, frozen=True):
        def layout(self) -> dict[str, TensorLayout]:
            return {"numbers": layout}

    size = int(np.prod(layout.axes))
    torch.manual_seed(0)
    learner = Prototypes(Weighted(size))
    stored = np.random.default_rng(0).integers(0, 256, (9, *layout.axes)).astype(layout.dtype)
    classes = np.arange(6) % 3
    host = build(SavedLearner(learner, Stored(size)), ways=3, examples=6, precision="float32")
    given = stored.astype(np.int32) if layout.dtype == "int64" else stored
    assert host.adapt(given[:6], classes) == 0
    _, scores = host.predict(given[6:])
    x = torch.from_numpy(layout.to_network(stored))
    with torch.no_grad():
        expected = learner.predict(learner.adapt(Examples(x[:6], one_hot(torch.from_numpy(classes), 3))), x[6:])
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-3)
    said = (host.folder / "learner.h").read_text()
    axes = "".join(f"[{axis}]" for axis in layout.axes)
    assert f"#define QS_VALUES {size} " in said
    assert f"the numbers of one example, {axes}" in said
