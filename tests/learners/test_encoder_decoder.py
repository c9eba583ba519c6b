"""The encoder-decoder: its error is a share of variance, its loss a sum of two, and it reconstructs inputs of any shape."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from builders import make_learner, make_tasks
from torch import nn

from quickstudy.errors import ConfigError
from quickstudy.learner import changed
from quickstudy.learners.encoder_decoder import EncoderDecoder, in_parts, places, waves
from quickstudy.nets.identity import Identity
from quickstudy.objectives.classes import one_hot
from quickstudy.objectives.values import Values
from quickstudy.task import Examples, Task, concatenate
from quickstudy.training.engine import meta_gradient


class Passed(nn.Module):
    """A layer that gives back its first numbers, times a factor."""

    def __init__(self, numbers: int, factor: float = 1.0) -> None:
        super().__init__()
        self.numbers, self.factor = numbers, factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * x[..., : self.numbers]


def by_hand() -> EncoderDecoder:
    """Return a learner whose codes are its inputs, and whose predictor compares codes as they are."""
    learner = EncoderDecoder(Identity(4), width=4)
    learner.encoder, learner.together = Passed(4), Passed(4)
    learner.ask, learner.key = Passed(4, 0.0), Passed(5, 0.0)
    return learner


def test_without_a_correction_answers_are_products_with_class_means() -> None:
    learner, x = by_hand(), torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    state = learner.adapt(Examples(x, one_hot(torch.arange(6) % 2, 2)))
    torch.testing.assert_close(learner.predict(state, x), x @ torch.stack([x[0::2].mean(0), x[1::2].mean(0)]).t() / 2)
    torch.testing.assert_close(state["task"], x.mean(0))
    state = learner.adapt(Examples(x, Values(x[:, :1])))
    torch.testing.assert_close(state["known"], (x[:, :1] * x).mean(0, keepdim=True))


@pytest.mark.parametrize("ragged", [False, True])
def test_the_error_is_the_share_of_variance_that_is_left(ragged: bool) -> None:
    learner, task = make_learner("encoder_decoder"), make_tasks(ragged=ragged)[0]
    both = concatenate(task.support, task.query)
    codes, x = torch.randn(both.count, 8).double(), both.x[both.weight > 0]
    with torch.no_grad():
        for parameter in learner.trunk.parameters():
            parameter.zero_()
        assert float(learner.unexplained(codes, codes[0], both)) == pytest.approx(1.0)
        learner.trunk[-1].bias[-1] = 0.3  # every place is reconstructed as the mean and 0.3 standard deviations
        found = float(learner.unexplained(codes, codes[0], both))
        expected = F.mse_loss(torch.full_like(x, float(x.mean() + 0.3 * x.std(correction=0))), x) / x.var(correction=0)
    assert found == pytest.approx(float(expected))


def test_the_loss_is_that_of_predictions_and_the_weighted_error() -> None:
    learner, task = make_learner("encoder_decoder"), make_tasks(ragged=True)[0]
    state, both = learner.adapt(task.support), concatenate(task.support, task.query)
    error = learner.unexplained(learner.encoder(learner.net(both.x)), state["task"], both)
    plain = task.query.y.loss(learner.predict(state, task.query.x), task.query.weight)
    for weight in (0.0, 2.0):
        torch.testing.assert_close(changed(learner, reconstruction=weight).loss(task), plain + weight * error)


def test_reconstruction_is_learned() -> None:
    """Inputs that are waves of one shape and of any height: training explains nearly all of their variance."""
    torch.manual_seed(0)
    learner = EncoderDecoder(Identity(12), width=16, terms=4, reconstruction=1.0)
    optimizer = torch.optim.Adam(learner.parameters(), lr=0.01)
    for _ in range(150):
        heights = torch.randn(2, 8, 1)
        x = heights * torch.sin(torch.arange(12) * 2 * math.pi / 12)
        support, query = (Examples(x[:, part], Values(heights[:, part])) for part in (slice(0, 4), slice(4, 8)))
        meta_gradient(learner, Task(support, query), "loop")
        optimizer.step()
    both = concatenate(support, query)
    state = learner.adapt(Examples(support.x[0], Values(support.y.rows[0])))
    codes = learner.encoder(both.x[0])
    assert float(learner.unexplained(codes, state["task"], Examples(both.x[0], Values(both.y.rows[0]))).detach()) < 0.2


def test_inputs_of_any_shape_have_places() -> None:
    for shape in ((6,), (2, 3), (1, 2, 3), (2, 1, 3, 1)):
        (part,) = in_parts(torch.zeros(5, *shape))
        assert places(part).shape == (6, 4)
        assert len(places(part).unique(dim=0)) == 6
    parts = in_parts({"text": torch.zeros(5, 2), "image": torch.zeros(5, 1, 2, 2)})
    found = torch.cat([places(part, index, 2) for index, part in enumerate(parts)])
    assert found[:, 0].tolist() == [0.25] * 4 + [0.75] * 2
    assert waves(found).shape == (6, 48)


def test_a_negative_weight_is_an_error() -> None:
    with pytest.raises(ConfigError, match="reconstruction is -1; expected 0 or more"):
        EncoderDecoder(Identity(2), reconstruction=-1)
