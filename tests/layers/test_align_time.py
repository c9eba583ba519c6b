"""AlignTime: a word is the same wherever it lies, however long it takes, and however loud it is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from quickstudy.errors import ConfigError
from quickstudy.layers.align_time import AlignTime


def word(begin: int, length: int, loudness: float = 0.9) -> Tensor:
    """Return a picture of 6 bands and 41 frames, in whose middle band the loudest moment comes after a quarter of a word."""
    time = (torch.arange(41) - begin) / (length - 1)
    shape = torch.minimum(time / 0.25, (1 - time) / 0.75)
    level = torch.where((time >= 0) & (time <= 1), loudness - 0.2 * (1 - shape), 0.1)
    picture = torch.full((6, 41), 0.1)
    picture[2:4] = level
    return picture[None, None]


@pytest.mark.parametrize(("begin", "length"), [(0, 41), (0, 21), (20, 21), (7, 25), (10, 13)])
def test_a_word_is_the_same_wherever_it_lies_and_however_long_it_takes(begin: int, length: int) -> None:
    align = AlignTime(heard=0.65, floor=0.4)
    torch.testing.assert_close(align(word(begin, length)), align(word(0, 41)), rtol=0, atol=0.03)
    assert align(word(begin, length))[0, 0, 2].argmax() == pytest.approx(10, abs=1)  # a quarter of 40


def test_loudness_that_leaves_the_word_between_the_levels_does_not_matter() -> None:
    align = AlignTime(heard=0.5, floor=0.0)
    loud = word(7, 25)
    torch.testing.assert_close(align(loud - 0.05), align(loud))
    assert (align(loud - 0.15) - align(loud)).abs().max() > 0.03  # silence, which was at 0.1, would lie below the floor
    assert align(torch.rand(3, 1, 6, 9)).mean((1, 2, 3)).abs().max() < 1e-6


def test_what_is_quieter_than_the_floor_is_not_told_apart() -> None:
    quiet = word(5, 20)
    noisy = torch.where(quiet < 0.2, 0.35 * torch.rand(quiet.shape), quiet)
    torch.testing.assert_close(AlignTime()(noisy), AlignTime()(quiet))


def test_silence_and_one_moment_are_no_error() -> None:
    moment = torch.zeros(2, 1, 6, 9)
    moment[1, :, :, 4] = 1.0
    found = AlignTime()(moment)
    torch.testing.assert_close(found, torch.zeros_like(found), rtol=0, atol=1e-6)  # one level everywhere
    torch.testing.assert_close(AlignTime()(torch.ones(1, 1, 6, 1)), torch.zeros(1, 1, 6, 1))


@pytest.mark.parametrize("levels", [{"heard": 0.3}, {"heard": 1.0}, {"floor": -0.1}])
def test_levels_that_tell_nothing_apart_are_refused(levels: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"expected 0 <= floor < heard < 1"):
        AlignTime(**levels)
