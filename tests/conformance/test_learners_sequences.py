"""Promises of learners of sequences, checked for every learner that names `Tokens` among its `targets`."""

from __future__ import annotations

import inspect

import pytest
import torch
from builders import case, furthest, gradients
from torch import Tensor

from quickstudy import discovery
from quickstudy.errors import DataError, ModelError, TaskError
from quickstudy.learner import Learner
from quickstudy.nets.frames import Frames
from quickstudy.nets.mlp import MLP
from quickstudy.objectives.classes import OneHot, one_hot
from quickstudy.objectives.sequences import Tokens, tokens
from quickstudy.task import Examples, Task
from quickstudy.training.engine import meta_gradient

LEARNERS = discovery.names("learners")
ABLE = [name for name in LEARNERS if Tokens in discovery.load("learners", name).targets]
EXACT = [name for name in ABLE if discovery.load("learners", name).exact_gradient]
each_able = pytest.mark.parametrize("name", ABLE)
TEXTS = ["ab", "bb", "a b", "b"]


def make(name: str, **changes: object) -> Learner:
    """Return a learner on a small net of frames, with every parameter moved away from zero and one."""
    torch.manual_seed(0)
    learner = discovery.load("learners", name)(Frames(4, 12, 6), **(case(name, "SMALL", {}) | changes))
    with torch.no_grad():
        for value in learner.parameters():
            value.add_(0.2 * torch.rand_like(value))
    return learner.double()


def answers(texts: list[str] = TEXTS) -> Tokens:
    return Tokens(tokens(texts, "ab").places.double())


def sounds(*sizes: int, seed: int = 1) -> Tensor:
    return torch.randn(*sizes, 1, 4, 12, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make_tasks(ragged: bool = False) -> Task:
    """Return a batch of two tasks."""
    y = Tokens(answers().places.expand(2, -1, -1, -1))
    mask = torch.tensor([[True] * 4, [True, True, False, True]]) if ragged else None
    return Task(Examples(sounds(2, 4), y, mask), Examples(sounds(2, 4, seed=2), y, mask), torch.tensor([1, 2]))


@each_able
@pytest.mark.parametrize("ragged", [False, True], ids=["even", "ragged"])
@pytest.mark.parametrize("head_ways", [None, 4])
def test_batched_is_looped(name: str, ragged: bool, head_ways: int | None) -> None:
    learner = make(name, head_ways=head_ways)
    looped_loss = meta_gradient(learner, make_tasks(ragged), "loop")
    looped = gradients(learner)
    loss = meta_gradient(learner, make_tasks(ragged), "vmap")
    assert float(loss) == pytest.approx(float(looped_loss), rel=1e-10)
    assert furthest(gradients(learner), looped) < 1e-8
    assert max(float(value.abs().max()) for value in looped.values()) > 1e-6


@pytest.mark.parametrize("name", EXACT)
def test_the_meta_gradient_is_the_derivative_of_the_loss(name: str) -> None:
    learner, task = make(name), make_tasks()[0]
    meta_gradient(learner, make_tasks()[:1], "vmap")
    gradient = gradients(learner)
    start = {key: value.detach().clone() for key, value in learner.named_parameters()}
    ends = []
    for step in (1e-6, -1e-6):
        learner.load_state_dict({key: value + step * gradient[key] for key, value in start.items()}, strict=False)
        with torch.no_grad():
            ends.append(float(learner.loss(task)))
    expected = sum(float(value.square().sum()) for value in gradient.values())
    assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(expected, rel=1e-5)


@each_able
def test_padding_changes_nothing(name: str) -> None:
    """Neither places behind the ends of all sequences nor examples that a mask leaves out."""
    learner, x, y = make(name), sounds(4), answers()
    plain = learner.predict(learner.adapt(Examples(x, y)), sounds(3, seed=2))
    assert plain.shape == (3, 6, 4)
    longer = torch.cat([y.places, torch.eye(4)[[0, 0]].double().expand(4, -1, -1)], 1)
    padded = Examples(torch.cat([x, sounds(2)]), Tokens(torch.cat([longer, longer[:2]])), torch.arange(6) < 4)
    torch.testing.assert_close(learner.predict(learner.adapt(padded), sounds(3, seed=2)), plain, rtol=1e-8, atol=1e-9)


@each_able
def test_adapting_for_longer_brings_the_transcripts_nearer(name: str) -> None:
    learner = make(name)
    support = Examples(sounds(4), answers())
    steps = next(step for step in ("adapt_steps", "inner_steps") if hasattr(learner, step))
    losses = []
    for count in (0, 30):
        setattr(learner, steps, count)
        with torch.no_grad():
            prediction = learner.predict(learner.adapt(support), support.x)
        losses.append(float(support.y.loss(prediction, support.weight)))
    assert losses[1] < losses[0] - 0.1


@each_able
def test_what_does_not_suit_is_refused_in_words(name: str) -> None:
    learner, x = make(name), sounds(4)
    with pytest.raises(DataError, match=r"sequence 1 has 4 symbols and needs 7 frames .* but the learner has 6"):
        learner.adapt(Examples(x, answers(["ab", "bbbb", "a", "b"])))
    with pytest.raises(ModelError, match="Frames has an output for each frame, but answers that are classes want one for each"):
        learner.adapt(Examples(x, one_hot(torch.tensor([0, 1, 0, 1]), 2, torch.float64)))
    other = discovery.load("learners", name)(MLP(48), **case(name, "SMALL", {})).double()
    with pytest.raises(
        ModelError, match="MLP has one for each example, but answers that are sequences want an output for each"
    ):
        other.adapt(Examples(x, answers()))
    with pytest.raises(TaskError, match="4 ways, but this learner's head is fixed to 7"):
        make(name, head_ways=7).adapt(Examples(x, answers()))


@pytest.mark.parametrize("name", [name for name in LEARNERS if name not in ABLE])
def test_every_other_learner_refuses_a_net_of_frames(name: str) -> None:
    kind = discovery.load("learners", name)
    if OneHot not in kind.targets:
        return
    learner = make(name)
    support = Examples(sounds(4), one_hot(torch.tensor([0, 1, 0, 1]), 2, torch.float64))
    with pytest.raises(ModelError, match="Frames"):
        learner.predict(learner.adapt(support), sounds(3))


@each_able
def test_symbols_that_come_later_start_as_all_symbols_do(name: str) -> None:
    options = inspect.signature(discovery.load("learners", name)).parameters
    learner = make(name, **{"adapt_steps" if "adapt_steps" in options else "inner_steps": 0})
    first = learner.adapt(Examples(sounds(1), Tokens(tokens(["a"], "ab").places.double())))
    later = learner.adapt(Examples(sounds(1), Tokens(tokens(["c"], "abcd").places.double())), first)
    blank, space, *symbols = later["head.weight"]
    assert len(symbols) == 4
    assert all(torch.equal(symbol, symbols[0]) for symbol in symbols)
    assert symbols[0].any()
    assert not torch.equal(blank, space)
