"""MLP: fully connected layers, for rows of numbers and for curves (Finn et al. 2017, section 5.1: two hidden layers of 40)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import ConfigError
from quickstudy.inputs import InputSpec
from quickstudy.layers.norm import NormKind, make_norm
from quickstudy.nets import _sizes


class MLP(nn.Module):
    """Hidden layers of linear, normalisation and ReLU; `[example, ...]` (flattened to `in_features`) to `[example, features]`.

    Args:
        in_features: numbers per example.
        hidden: width of each hidden layer; the last one is the number of features.
        norm: normalisation of each layer; `instance` is not defined on rows.

    >>> import torch
    >>> MLP(in_features=3, hidden=(8, 4))(torch.zeros(2, 3)).shape
    torch.Size([2, 4])
    """

    from_data: ClassVar[tuple[str, ...]] = ("in_features",)
    width: ClassVar[str] = "hidden"

    def __init__(self, in_features: int = 1, hidden: Sequence[int] = (40, 40), norm: NormKind = "none") -> None:
        super().__init__()
        if norm == "instance":
            raise ConfigError(
                "norm is 'instance', which is not defined on rows of numbers; expected batch, group, layer or none."
            )
        self.in_features, self.hidden, self.norm = in_features, tuple(hidden), norm
        layers = [
            nn.Sequential(nn.Linear(before, after), make_norm(norm, after), nn.ReLU())
            for before, after in itertools.pairwise((in_features, *hidden))
        ]
        self.layers = nn.Sequential(nn.Flatten(), *layers)
        self.features = self.hidden[-1] if self.hidden else in_features
        """Length of the output."""

    def forward(self, x: Float[Tensor, " example *shape"]) -> Float[Tensor, "example feature"]:
        return self.layers(x)

    def stages(self) -> list[nn.Module]:
        """Return the layers one after the other, so that frozen ones are run once."""
        return list(self.layers)

    @classmethod
    def fit_to(cls, spec: InputSpec) -> dict[str, Any]:
        """Return the hyperparameters that inputs of the spec decide."""
        return {"in_features": math.prod(_sizes.input_shape(spec, "mlp", axes=0))}
