"""Identity: the inputs themselves, flattened, as features. The baseline of every comparison, and the default for rows of numbers."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class Identity(nn.Module):
    """`[example, ...]` to `[example, features]`, unchanged.

    Args:
        in_features: numbers per example.
    """

    def __init__(self, in_features: int = 1) -> None:
        super().__init__()
        self.in_features = self.features = in_features

    def forward(self, x: Float[Tensor, " example *shape"]) -> Float[Tensor, "example feature"]:
        return x.flatten(1)
