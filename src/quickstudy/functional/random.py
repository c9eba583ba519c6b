"""Random numbers of a task, as a pure function of its key: what a learner's `loss` may use, and nothing else.

The tensor form of the generator that draws tasks (SplitMix64, Steele et al. 2014, "Fast Splittable Pseudorandom Number Generators",
figure 17). It maps over tasks, is captured in graphs, and gives the same numbers on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

_GOLDEN, _FIRST, _SECOND = (factor - 2**64 for factor in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
"""Factors of SplitMix64 (Steele et al. 2014), as the signed numbers that torch has."""


def uniform(
    key: Int[Tensor, ""], shape: Sequence[int], stream: int = 0, dtype: torch.dtype = torch.float32
) -> Float[Tensor, " *shape"]:
    """Return uniform numbers in [0, 1) of this shape, which depend on the key, the stream and their place alone.

    Args:
        key: `Task.key`, int64.
        shape: of the result.
        stream: number of an independent stream, from 0 to 2^31 - 1, for a loss that draws several times.
        dtype: floating-point type of the result.

    >>> uniform(torch.tensor(7), (2,)).tolist() == uniform(torch.tensor(7), (4,))[:2].tolist()
    True
    """
    places = torch.arange(1, math.prod(shape) + 1, device=key.device)
    number = _mix(key + _wrapped((stream << 32) * _GOLDEN) + places * _GOLDEN)
    digits = 1 - round(math.log2(torch.finfo(dtype).eps))  # of the significand, so that nothing rounds up to 1
    return (_shifted(number, 64 - digits).to(dtype) * 2.0**-digits).reshape(tuple(shape))


def _mix(z: Tensor) -> Tensor:
    """Return the bits of int64 numbers, mixed."""
    z = (z ^ _shifted(z, 30)) * _FIRST
    z = (z ^ _shifted(z, 27)) * _SECOND
    return z ^ _shifted(z, 31)


def _shifted(z: Tensor, by: int) -> Tensor:
    """Return int64 numbers shifted to the right as if they had no sign."""
    return (z >> by) & ((1 << (64 - by)) - 1)


def _wrapped(number: int) -> int:
    """Return the whole number modulo 2^64, between -2^63 and 2^63 - 1."""
    return (number + 2**63) % 2**64 - 2**63
