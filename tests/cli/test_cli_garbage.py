"""While a command imports and traces, garbage is collected rarely; afterwards, and after an error, as before."""

from __future__ import annotations

import gc

import pytest

from quickstudy import cli
from quickstudy.cli._garbage import rarely_collected


def test_the_collector_is_as_before_afterwards_and_after_an_error() -> None:
    before = gc.get_threshold()
    with rarely_collected(5000):
        assert gc.get_threshold() == (5000, *before[1:])
        assert gc.isenabled()
    assert gc.get_threshold() == before
    with pytest.raises(ZeroDivisionError), rarely_collected():
        _ = 1 / 0
    assert gc.get_threshold() == before


def test_a_command_leaves_it_as_it_was() -> None:
    before = gc.get_threshold()
    assert cli.main(["list"]) == 0
    assert cli.main(["export", "nowhere.safetensors", "-o", "nowhere.qs"]) == 2
    assert gc.get_threshold() == before
