"""Refuse nets that a learner cannot use, and name the layer that is the reason."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from quickstudy.errors import ModelError
from quickstudy.functional.call import original


def check_net(net: nn.Module) -> nn.Module:
    """Return the net, in eval mode, if every layer can be used by a learner.

    Raises:
        ModelError: a layer cannot; it is named.
    """
    for name, layer in net.named_modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) or getattr(layer, "track_running_stats", False):
            raise ModelError(
                f"layer {name!r} is {type(layer).__name__}, whose running or batch statistics would mix between tasks and queries. Use "
                "quickstudy.layers.batch_norm.BatchNorm, or let quickstudy.layers.convert.convert(net) replace it."
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
    return net.eval()


@contextlib.contextmanager
def unchanged_buffers(module: nn.Module) -> Iterator[None]:
    """Raise a ModelError if a buffer of the module was changed in place inside, as layers do that count or average."""
    before = {name: value._version for name, value in module.named_buffers()}
    failure = None
    try:
        yield
    except RuntimeError as error:  # which a change in place may cause, in words of autograd or of its transforms
        failure = error
    changed = [name for name, value in module.named_buffers() if value._version != before.get(name, value._version)]
    if changed or (failure is not None and "mutate a captured Tensor" in str(failure)):
        layer = changed[0].rpartition(".")[0] if changed else _running(module, failure)
        raise ModelError(
            f"layer {layer!r} ({type(module.get_submodule(layer)).__name__}) changes a buffer of its own while it is used, so that an "
            "answer would depend on what was asked before. Let it compute from its input alone."
        ) from failure
    if failure is not None:
        raise failure


@contextlib.contextmanager
def restored_buffers(module: nn.Module) -> Iterator[None]:
    """Give every buffer of the module back the values that it had before.

    >>> layer = nn.BatchNorm1d(2)
    >>> with restored_buffers(layer):
    ...     _ = layer.running_mean.add_(1)
    >>> layer.running_mean
    tensor([0., 0.])
    """
    before = {name: value.clone() for name, value in module.named_buffers()}
    try:
        yield
    finally:
        for name, value in module.named_buffers():
            value.copy_(before[name])


def _running(module: nn.Module, failure: BaseException | None) -> str:
    """Return the name of the innermost layer that was running when an operation failed; empty for the module itself."""
    names = {layer: name for name, layer in module.named_modules()}
    trace, found = failure.__traceback__ if failure is not None else None, ""
    while trace is not None:
        caller = trace.tb_frame.f_locals.get("self")
        if isinstance(caller, nn.Module):
            found = names.get(original(caller), found)
        trace = trace.tb_next
    return found
