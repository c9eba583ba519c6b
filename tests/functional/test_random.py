"""Random numbers of a key: those of the generator that draws tasks, mapped, captured, uniform and never 1."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from quickstudy.functional.random import uniform
from quickstudy.tasks import _random


@pytest.mark.parametrize("stream", [0, 3])
def test_they_are_those_of_the_generator_of_tasks(stream: int) -> None:
    key = _random.keys(5, np.arange(4), lanes=stream + 1)[:, stream]
    expected = (_random.bits(key, 6) >> np.uint64(11)) * 2.0**-53
    first = torch.from_numpy(_random.keys(5, np.arange(4))[:, 0].view(np.int64))
    found = torch.stack([uniform(one, (2, 3), stream, torch.float64) for one in first])
    np.testing.assert_array_equal(found.reshape(4, 6).numpy(), expected)
    mapped = torch.func.vmap(lambda one: uniform(one, (2, 3), stream, torch.float64))(first)
    assert torch.equal(mapped, found)


def test_a_captured_graph_draws_anew_for_every_key() -> None:
    graph = make_fx(lambda key: uniform(key, (5,)))(torch.tensor(1))
    for key in (torch.tensor(2), torch.tensor(-(2**63))):
        assert torch.equal(graph(key), uniform(key, (5,)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_they_are_uniform_and_below_one(dtype: torch.dtype) -> None:
    drawn = uniform(torch.tensor(11), (20000,), dtype=dtype)
    assert drawn.dtype == dtype
    assert 0 <= float(drawn.min()) < float(drawn.max()) < 1
    if dtype != torch.bfloat16:  # which has steps of 1/256
        assert scipy.stats.kstest(drawn.double().numpy(), "uniform").pvalue > 1e-4


def test_streams_and_keys_differ() -> None:
    drawn = [uniform(torch.tensor(key), (4,), stream) for key in (1, 2) for stream in (0, 1)]
    assert len({tuple(row.tolist()) for row in drawn}) == 4
