"""Normalisation that works inside an inner loop: batch statistics are values that flow, never state that is changed in place."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from quickstudy.functional.call import original
from quickstudy.layers.standardize import standardize

Statistics = dict[str, Tensor]


@dataclasses.dataclass
class Recording:
    """What one pass through a net with `batch_statistics` saw: mean and variance `[channel]` of the input of each BatchNorm."""

    mask: Tensor | None
    keep: bool
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = dataclasses.field(default_factory=dict)

    def of(self, net: nn.Module, prefix: str = "") -> Statistics:
        """Return the statistics under the names of the buffers of `net` that hold them, each after `prefix`."""
        found: Statistics = {}
        for name, layer in net.named_modules():
            if original(layer) in self.seen:
                mean, var = self.seen[original(layer)]
                found |= {prefix + f"{name}.mean".removeprefix("."): mean, prefix + f"{name}.var".removeprefix("."): var}
        return found


_recording: contextvars.ContextVar[Recording | None] = contextvars.ContextVar("batch_statistics", default=None)


_padding: contextvars.ContextVar[Tensor | None] = contextvars.ContextVar("padding", default=None)


@contextlib.contextmanager
def padding(mask: Tensor | None) -> Iterator[None]:
    """Let `batch_statistics` that is given no mask take this one: bool `[example]`, False for examples that must not count."""
    token = _padding.set(mask)
    try:
        yield
    finally:
        _padding.reset(token)


@contextlib.contextmanager
def batch_statistics(mask: Tensor | None = None, *, keep: bool = False) -> Iterator[Recording]:
    """Let every BatchNorm normalise by the batch that it sees; outside, it normalises by the statistics that it holds.

    Args:
        mask: bool `[example]`, False for examples that must not count; None for those of the surrounding `padding`, if there is one.
        keep: record the statistics, to be read from `Recording.of(net)`.
    """
    recording = Recording(_padding.get() if mask is None else mask, keep)
    token = _recording.set(recording)
    try:
        yield recording
    finally:
        _recording.reset(token)


@contextlib.contextmanager
def without_examples(there: Bool[Tensor, " example"]) -> Iterator[None]:
    """Let batch statistics that are taken inside leave out some more examples, such as those without the part that a net looks at.

    Args:
        there: False for examples that must not count.
    """
    recording = _recording.get()
    if recording is None:
        yield
        return
    fewer = Recording(there if recording.mask is None else recording.mask & there, recording.keep)
    fewer.seen = recording.seen
    token = _recording.set(fewer)
    try:
        yield
    finally:
        _recording.reset(token)


class BatchNorm(nn.Module):
    """Batch normalisation for `[example, channel]` and `[example, channel, height, width]`, without running averages.

    `mean` and `var` are buffers, so `functional.call(net, state, x)` normalises by the statistics in `state`, with gradients
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
            recording.seen[original(self)] = (mean, var)
        return y

    def by_batch(self) -> bool:
        """Return whether the layer now normalises by the batch at hand."""
        return _recording.get() is not None

    def scale_and_shift(self, moments: Callable[[Any], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Return what each channel is multiplied by, and what is added then, `[channel]` both.

        Args:
            moments: mean and variance `[channel]` of the batch, from a mask or None; asked for inside `batch_statistics`.
        """
        recording = _recording.get()
        mean, var = (self.mean, self.var) if recording is None else moments(recording.mask)
        if recording is not None and recording.keep:
            recording.seen[original(self)] = (mean, var)
        scale = self.weight * torch.rsqrt(var + self.eps)
        return scale, self.bias - mean * scale


def masked_moments(
    x: Float[Tensor, " example channel *position"], mask: Bool[Tensor, " example"]
) -> tuple[Float[Tensor, " channel"], Float[Tensor, " channel"]]:
    """Return the mean and the (biased) variance of each channel, `[channel]`, over the examples that count and all positions."""
    axes = [0, *range(2, x.dim())]
    weight = mask.to(x.dtype).view(-1, *(1,) * (x.dim() - 1))
    count = weight.sum().clamp(min=1.0) * math.prod(x.shape[2:])
    mean = (x * weight).sum(axes) / count
    centred = (x - mean.view(1, -1, *(1,) * (x.dim() - 2))) * weight
    return mean, centred.square().sum(axes) / count


def has_batch_norm(net: nn.Module) -> bool:
    """Return whether some layer normalises by statistics of the batch."""
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
