"""Features of a net, checked: what every learner asks of a net is one row of numbers per example."""

from __future__ import annotations

import numbers
from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import ModelError
from quickstudy.functional.call import call


def features_of(
    net: nn.Module, x: Tensor | Mapping[str, Tensor], tensors: Mapping[str, Tensor] | None = None, frames: bool = False
) -> Float[Tensor, "example *frame feature"]:
    """Return the net's features, with `tensors` in place of its own parameters and buffers of these names.

    Args:
        net: the net.
        x: inputs.
        tensors: in place of its own.
        frames: whether they are features of each frame, `[example, frame, feature]`, which only some learners can use.

    Raises:
        ModelError: the net gives something else than `[example, feature]`, with as many features as it says in `net.features`.
    """
    features = call(net, tensors, x) if tensors else net(x)
    name, said = type(net).__name__, getattr(net, "features", None)
    if not isinstance(features, Tensor):
        raise ModelError(f"{name} returns a {type(features).__name__}; expected one tensor [example, feature].")
    if features.dim() != 2 + frames:
        remedy = "Let it end with x.flatten(1), or with a mean over positions."
        if frame_count(net) is not None:
            remedy = (
                "This net is for sequences of symbols; take another net, or a learner of sequences and tasks that ask for them."
            )
        expected = "[example, frame, feature]" if frames else "[example, feature]"
        raise ModelError(f"{name} returns a tensor of shape {list(features.shape)}; expected {expected}. {remedy}")
    if not features.is_floating_point():
        raise ModelError(f"{name} returns {features.dtype}; expected floating-point features.")
    if isinstance(said, int) and features.shape[-1] != said:
        raise ModelError(
            f"{name} returns {features.shape[-1]} features, but says net.features = {said}; set it to {features.shape[-1]}."
        )
    return features


def feature_count(net: nn.Module) -> int:
    """Return the length of the net's output, which it must say itself.

    Raises:
        ModelError: it does not.
    """
    features = getattr(net, "features", None)
    if not isinstance(features, numbers.Integral):
        raise ModelError(f"{type(net).__name__} does not say how long its output is; set `net.features` to that number.")
    return int(features)


def frame_count(net: nn.Module) -> int | None:
    """Return how many frames the net's output has, `[example, frame, feature]`; None for a net with one row of features per example."""
    return getattr(net, "frames", None)
