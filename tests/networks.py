"""Small nets for images of 1x16x16, made of layers that the package's own convolutional net lacks."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from quickstudy.layers.conv2d import Conv2d
from quickstudy.layers.norm import NormKind, make_norm
from quickstudy.nets.resnet12 import ResNet12


class Separable(nn.Module):
    """Depthwise-separable convolutions with what mobile nets are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=2, padding=1), make_norm("group", 8), nn.Hardswish(),
            nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU6(), nn.Conv2d(8, 12, 1), nn.SiLU(),
            nn.AvgPool2d(2), nn.Conv2d(12, 12, 3, stride=2, padding=1, groups=12), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        )  # fmt: skip
        self.features = 12

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Attentive(nn.Module):
    """A small vision transformer: patches, layer norm, attention."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = Conv2d(1, 16, 4, stride=4)
        self.block = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True, activation="gelu")
        self.features = 16

    def forward(self, x: Tensor) -> Tensor:
        return self.block(self.patches(x).flatten(2).transpose(1, 2)).mean(1)


def one_layer(norm: NormKind) -> nn.Module:
    """Return a convolution, a norm and ReLU: the least that has derivatives of all three."""
    net = nn.Sequential(Conv2d(1, 4, 3, stride=4), make_norm(norm, 4), nn.ReLU(), nn.Flatten())
    net.features = 4 * 4 * 4  # type: ignore[assignment]
    return net


NETS: dict[str, Callable[[], nn.Module]] = {
    "residual": lambda: ResNet12(1, (4, 8)),
    "separable": Separable,
    "transformer": Attentive,
}
"""Makers of the nets, by name."""
