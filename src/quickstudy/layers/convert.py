"""Replace torch's BatchNorm layers by ours."""

from __future__ import annotations

import torch
from torch import nn

from quickstudy.layers.batch_norm import BatchNorm


def convert(net: nn.Module) -> nn.Module:
    """Replace every BatchNorm of torch in the net, in place, by ours, with its weights and its running averages; return the net."""
    if isinstance(net, nn.modules.batchnorm._BatchNorm):
        return _converted(net)
    for name, child in net.named_children():
        setattr(net, name, convert(child))
    return net


@torch.no_grad()
def _converted(old: nn.modules.batchnorm._BatchNorm) -> BatchNorm:
    new = BatchNorm(old.num_features, old.eps)
    given = [value for value in (old.weight, old.running_mean) if value is not None]
    new = new.to(given[0]) if given else new  # on the same device, in the same type
    for mine, theirs in (
        (new.weight, old.weight),
        (new.bias, old.bias),
        (new.mean, old.running_mean),
        (new.var, old.running_var),
    ):
        if theirs is not None:
            mine.copy_(theirs)
    return new
