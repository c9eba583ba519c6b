"""Identity: the inputs themselves, flattened, as features. The baseline of every comparison, and the default for rows of numbers."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.inputs import InputSpec
from quickstudy.nets import _sizes


class Identity(nn.Module):
    """`[example, ...]` to `[example, features]`, unchanged.

    Args:
        in_features: numbers per example.
    """

    from_data: ClassVar[tuple[str, ...]] = ("in_features",)

    def __init__(self, in_features: int = 1) -> None:
        super().__init__()
        self.in_features = self.features = in_features

    def forward(self, x: Float[Tensor, " example *shape"]) -> Float[Tensor, "example feature"]:
        return x.flatten(1)

    @classmethod
    def fit_to(cls, spec: InputSpec) -> dict[str, Any]:
        """Return the hyperparameters that inputs of the spec decide."""
        return {"in_features": math.prod(_sizes.input_shape(spec, "identity", axes=0))}
