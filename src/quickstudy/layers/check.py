"""Refuse nets that a learner cannot use, and name the layer that is the reason."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from quickstudy.errors import ModelError


def check_net(net: nn.Module) -> nn.Module:
    """`net`, if every layer can be used by a learner; a ModelError that names the first layer that cannot."""
    for name, layer in net.named_modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) or getattr(layer, "track_running_stats", False):
            raise ModelError(
                f"layer {name!r} is {type(layer).__name__}, whose running or batch statistics would mix between tasks and queries. Use "
                "quickstudy.normalization.BatchNorm, or let quickstudy.normalization.convert(net) replace it."
            )
        if isinstance(layer, nn.modules.dropout._DropoutNd) and layer.p > 0:
            raise ModelError(
                f"layer {name!r} is {type(layer).__name__}(p={layer.p}), whose randomness is no argument of adapt, so that the same "
                "support set would give different states. Set p=0 or remove it."
            )
        dropout = getattr(layer, "dropout", None)
        if isinstance(layer, nn.RReLU) or (isinstance(dropout, float) and dropout > 0):
            raise ModelError(
                f"layer {name!r} is {type(layer).__name__}, whose randomness is no argument of adapt, so that the same support set would "
                "give different states. Set its dropout to 0, or use another layer."
            )
        if isinstance(layer, nn.RNNBase | LazyModuleMixin):
            raise ModelError(
                f"layer {name!r} is {type(layer).__name__}, which has no second derivative or no shape yet. Use a net from "
                "quickstudy.nets, or write the layer with plain operations (and run a lazy module once)."
            )
    return net
