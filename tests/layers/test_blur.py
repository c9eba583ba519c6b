"""Blur: it is the filter that its weights say, keeps constant pictures, and is the same along both axes."""

from __future__ import annotations

import pytest
import torch

from quickstudy.errors import ConfigError
from quickstudy.layers.blur import Blur


def test_inside_it_is_the_filter_of_its_weights() -> None:
    pictures, line = torch.randn(2, 3, 7, 9), torch.tensor([1.0, 2.0, 3.0, 2.0, 1.0]) / 9
    expected = torch.nn.functional.conv2d(pictures.view(6, 1, 7, 9), (line[:, None] * line).view(1, 1, 5, 5)).view(2, 3, 3, 5)
    torch.testing.assert_close(Blur(2)(pictures)[:, :, 2:-2, 2:-2], expected)


def test_constant_pictures_stay_at_their_ends_too() -> None:
    torch.testing.assert_close(Blur(3)(torch.full((1, 1, 4, 6), 2.5)), torch.full((1, 1, 4, 6), 2.5))


def test_both_axes_are_blurred_alike() -> None:
    picture = torch.randn(1, 1, 5, 8)
    torch.testing.assert_close(Blur(1)(picture.transpose(2, 3)).transpose(2, 3), Blur(1)(picture))


def test_no_reach_changes_nothing_and_a_negative_one_is_refused() -> None:
    picture = torch.randn(1, 1, 4, 4)
    assert Blur(0)(picture) is picture
    with pytest.raises(ConfigError, match="reach is -1"):
        Blur(-1)
