"""Matching Networks against the paper's formulas, written out."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import torch
from builders import apart, drawn, make_tasks
from scipy.spatial.distance import cdist
from torch import nn

from quickstudy.functional.distances import Distance
from quickstudy.learners.matching import Matching
from quickstudy.nets.identity import Identity
from quickstudy.objectives.classes import one_hot
from quickstudy.objectives.values import Values
from quickstudy.task import Examples

METRICS: dict[Distance, str] = {
    "cosine": "cosine",
    "squared": "sqeuclidean",
    "euclidean": "euclidean",
    "manhattan": "cityblock",
}


@pytest.mark.parametrize("distance", METRICS)
def test_answers_are_means_of_the_support_sets_under_attention(distance: Distance) -> None:
    rows, labels, queries = drawn(3)
    learner = Matching(Identity(5), distance=distance, scale=2.0).double()
    attention = scipy.special.softmax(-2.0 * cdist(queries, rows, METRICS[distance]), axis=1)  # eq. 1, with a scale
    x, asked = torch.from_numpy(rows), torch.from_numpy(queries)
    state = learner.adapt(Examples(x, one_hot(torch.from_numpy(labels), 4, torch.float64)))
    found = learner.predict(state, asked).softmax(-1).detach().numpy()
    np.testing.assert_allclose(found, attention @ np.eye(4)[labels], rtol=1e-6, atol=1e-12)
    values = rows[:, :2] ** 2
    state = learner.adapt(Examples(x, Values(torch.from_numpy(values))))
    np.testing.assert_allclose(learner.predict(state, asked).detach().numpy(), attention @ values, rtol=1e-6)


def with_lstms(**changes: bool) -> Matching:
    """Return a learner in whose LSTMs every weight is the same at every call."""
    torch.manual_seed(0)
    return Matching(Identity(6), context=True, **changes).double()


def test_lstms_of_zeros_leave_the_context_out() -> None:
    """An LSTM whose weights are zero remembers nothing, so that features stay what they are."""
    task, learner = make_tasks()[0], with_lstms()
    for module in (learner.forwards, learner.backwards, learner.looking):
        for parameter in module.parameters():
            nn.init.zeros_(parameter)
    expected = Matching(Identity(6)).double()
    found = learner.predict(learner.adapt(task.support), task.query.x)
    assert apart(found, expected.predict(expected.adapt(task.support), task.query.x)) < 1e-12


def test_the_support_set_is_read_in_both_directions_as_torch_reads_it() -> None:
    task, learner = make_tasks(ragged=False)[0], with_lstms()
    x = task.support.x
    both = torch.zeros_like(x)
    for cell, order in ((learner.forwards, slice(None)), (learner.backwards, None)):
        lstm = nn.LSTM(6, 6).double()
        bias = cell.reading.bias.detach().clone()
        bias[6:12] += 1  # the forget gate starts open
        with torch.no_grad():
            lstm.weight_ih_l0.copy_(torchs(cell.reading.weight))
            lstm.weight_hh_l0.copy_(torchs(cell.recurrence.weight))
            lstm.bias_ih_l0.copy_(torchs(bias))
            lstm.bias_hh_l0.zero_()
        rows = x if order is not None else x.flip(0)
        made = lstm(rows)[0]
        both = both + (made if order is not None else made.flip(0))
    found = learner._in_context(x, torch.ones(len(x), dtype=torch.float64))
    assert apart(found, x + both) < 1e-12


def torchs(rows: torch.Tensor) -> torch.Tensor:
    """Return the gates of a cell of ours in torch's order: input, forget, candidate, output."""
    enter, forget, leave, candidate = rows.chunk(4)
    return torch.cat([enter, forget, candidate, leave])


def test_a_look_at_the_support_set_is_added_to_the_query() -> None:
    """One look: attention by the query itself, and what the LSTM makes of query and reading is added (appendix A.1, eqs. 3-6)."""
    task, learner = make_tasks()[0], with_lstms()
    learner.context_steps = 1
    known, query = task.support.x, task.query.x
    reading = torch.softmax(query @ known.t(), -1) @ known
    hidden, _ = learner.looking(query, query + reading, torch.zeros_like(query))
    found = learner._looked(query, known, torch.ones(len(known), dtype=torch.float64))
    assert apart(found, query + hidden) < 1e-12
