"""Normalisation that works inside an inner loop: batch statistics are values that flow, never state that is changed in place."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

from quickstudy.errors import ConfigError, ModelError
from quickstudy.standardize import standardize

NormKind = Literal["batch", "group", "layer", "instance", "none"]
Statistics = dict[str, Tensor]


@dataclasses.dataclass
class Recording:
    """What one pass through a net with `batch_statistics` saw: mean and variance `[channel]` of the input of each BatchNorm."""

    mask: Tensor | None
    keep: bool
    seen: dict[BatchNorm, tuple[Tensor, Tensor]] = dataclasses.field(default_factory=dict)

    def of(self, net: nn.Module) -> Statistics:
        """The statistics under the names of the buffers of `net` that hold them."""
        found: Statistics = {}
        for name, layer in net.named_modules():
            if isinstance(layer, BatchNorm) and layer in self.seen:
                mean, var = self.seen[layer]
                found |= {f"{name}.mean".removeprefix("."): mean, f"{name}.var".removeprefix("."): var}
        return found


_recording: contextvars.ContextVar[Recording | None] = contextvars.ContextVar("batch_statistics", default=None)


@contextlib.contextmanager
def batch_statistics(mask: Tensor | None = None, *, keep: bool = False) -> Iterator[Recording]:
    """Inside, every BatchNorm normalises by the batch that it sees; outside, by the statistics that it holds.

    Args:
        mask: bool `[example]`, False for examples that must not count (padding).
        keep: record the statistics, to be read from `Recording.of(net)`.
    """
    recording = Recording(mask, keep)
    token = _recording.set(recording)
    try:
        yield recording
    finally:
        _recording.reset(token)


class BatchNorm(nn.Module):
    """Batch normalisation for `[example, channel]` and `[example, channel, height, width]`, without running averages.

    `mean` and `var` are buffers, so `torch.func.functional_call(net, state, x)` normalises by the statistics in `state`, with gradients
    through them; `batch_statistics` normalises by the batch at hand.
    """

    mean: Tensor
    var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.channels, self.eps = channels, eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("var", torch.ones(channels))

    def forward(self, x: Float[Tensor, " example channel *position"]) -> Float[Tensor, " example channel *position"]:
        recording = _recording.get()
        if recording is None or recording.mask is not None:
            scale, shift = self.scale_and_shift(lambda mask: masked_moments(x, mask))
            shape = (1, -1) + (1,) * (x.dim() - 2)
            return torch.addcmul(shift.view(shape), x, scale.view(shape))
        y, mean, var = standardize(x, self.weight, self.bias, self.eps)
        if recording.keep:
            recording.seen[self] = (mean, var)
        return y

    def by_batch(self) -> bool:
        """Whether it now normalises by the batch at hand."""
        return _recording.get() is not None

    def scale_and_shift(self, moments: Callable[[Any], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """What each channel is multiplied by, and what is added then, `[channel]` both.

        Args:
            moments: mean and variance `[channel]` of the batch, from a mask or None; asked for inside `batch_statistics`.
        """
        recording = _recording.get()
        mean, var = (self.mean, self.var) if recording is None else moments(recording.mask)
        if recording is not None and recording.keep:
            recording.seen[self] = (mean, var)
        scale = self.weight * torch.rsqrt(var + self.eps)
        return scale, self.bias - mean * scale


def masked_moments(
    x: Float[Tensor, " example channel *position"], mask: Bool[Tensor, " example"]
) -> tuple[Float[Tensor, " channel"], Float[Tensor, " channel"]]:
    """Mean and (biased) variance of each channel, `[channel]`, over the examples that count and all positions."""
    axes = [0, *range(2, x.dim())]
    weight = mask.to(x.dtype).view(-1, *(1,) * (x.dim() - 1))
    count = weight.sum().clamp(min=1.0) * math.prod(x.shape[2:])
    mean = (x * weight).sum(axes) / count
    centred = (x - mean.view(1, -1, *(1,) * (x.dim() - 2))) * weight
    return mean, centred.square().sum(axes) / count


class GroupNorm(nn.GroupNorm):
    """`torch.nn.GroupNorm` that `vmap` can map over channels-last images as well, the layout of convolutions."""

    def forward(self, input: Float[Tensor, " example channel *position"]) -> Float[Tensor, " example channel *position"]:
        return super().forward(input.contiguous())


def make_norm(kind: NormKind, channels: int) -> nn.Module:
    """The normalisation layer of that kind. `layer` and `instance` are group norms of one group and of one channel a group."""
    if kind == "none":
        return nn.Identity()
    if kind == "batch":
        return BatchNorm(channels)
    up_to_eight = math.gcd(8, channels)
    if up_to_eight == channels:  # a group of one channel would be instance norm, and a constant on rows of numbers
        up_to_eight = max(1, channels // 2)
    groups = {"group": up_to_eight, "layer": 1, "instance": channels}
    if kind not in groups:
        raise ConfigError(f"norm is {kind!r}; expected one of batch, group, layer, instance, none.")
    return GroupNorm(groups[kind], channels)


def has_batch_norm(net: nn.Module) -> bool:
    """True if some layer normalises by statistics of the batch."""
    return any(isinstance(layer, BatchNorm) for layer in net.modules())


@torch.no_grad()
def set_population_statistics(net: nn.Module, seen: Iterable[Statistics]) -> None:
    """Set every BatchNorm to the pooled statistics of several batches ("precise batch norm", Wu and Johnson 2021, section 3)."""
    batches = list(seen)
    buffers = dict(net.named_buffers())
    for name in batches[0] if batches else ():
        if not name.endswith("mean"):
            continue
        means = torch.stack([batch[name] for batch in batches])
        variances = torch.stack([batch[name.removesuffix("mean") + "var"] for batch in batches])
        buffers[name].copy_(means.mean(0))
        buffers[name.removesuffix("mean") + "var"].copy_(variances.mean(0) + means.var(0, correction=0))


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


def convert(net: nn.Module) -> nn.Module:
    """`net` with every torch BatchNorm replaced, in place, by ours: the same weights, its running averages as stored statistics."""
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
