"""CTC against torch's own loss in value and gradient, against sums over all paths, and in second derivatives; edit distances by hand."""

from __future__ import annotations

import itertools

import edits
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import grad, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from quickstudy.errors import ConfigError
from quickstudy.functional.ctc import ctc, ctc_loss
from quickstudy.functional.edits import edit_distance, spoken, words
from quickstudy.functional.loop import as_loops
from quickstudy.targets import _decoding

SYMBOLS = 5
TRANSCRIPTS = [[1, 2, 3, 4], [2, 2, 2], [], [4], [1, 3, 3, 1]]
"""Transcripts with repeated symbols, of one symbol, and of none."""
FRAMES = torch.tensor([12, 9, 7, 1, 6])


def one_hot(transcripts: list[list[int]], places: int = 4) -> Tensor:
    padded = torch.tensor([[*symbols, *[0] * (places - len(symbols))] for symbols in transcripts])
    return F.one_hot(padded, SYMBOLS).double()


def logits(*sizes: int) -> Tensor:
    return torch.randn(*sizes, 12, SYMBOLS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def reference(x: Tensor, frames: Tensor | None = None) -> Tensor:
    ids = one_hot(TRANSCRIPTS).argmax(-1)
    lengths = torch.tensor([len(symbols) for symbols in TRANSCRIPTS])
    frames = torch.full((len(x),), x.shape[1]) if frames is None else frames
    return F.ctc_loss(x.log_softmax(-1).transpose(0, 1), ids, frames, lengths, reduction="none")


@pytest.mark.parametrize("frames", [None, FRAMES], ids=["all", "ragged"])
def test_value_and_gradient_are_torchs_own(frames: Tensor | None) -> None:
    x, y, weight = logits(5), one_hot(TRANSCRIPTS), torch.arange(1.0, 6.0).double()
    torch.testing.assert_close(ctc(x.log_softmax(-1), y, frames), reference(x, frames), rtol=1e-14, atol=1e-14)
    found = grad(lambda x: (weight * ctc_loss(x, y, frames)).sum())(x)
    x.requires_grad_()
    (expected,) = torch.autograd.grad((weight * reference(x, frames)).sum(), x)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("sharpness", [1.0, 40.0])
def test_the_derivative_of_an_export_is_that_of_autograd(sharpness: float) -> None:
    x, y = sharpness * logits(5), one_hot(TRANSCRIPTS)
    expected, gradient = torch.func.grad_and_value(lambda x: ctc(x.log_softmax(-1), y).sum())(x)
    with as_loops():
        found, of_export = torch.func.grad_and_value(lambda x: ctc(x.log_softmax(-1), y).sum())(x)
    torch.testing.assert_close(of_export, gradient, rtol=1e-14, atol=0)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_second_derivatives() -> None:
    x, y = logits(3)[:, :6].requires_grad_(), one_hot([[1, 2], [3, 3], []], 2)
    assert torch.autograd.gradgradcheck(lambda x: ctc(x.log_softmax(-1), y, torch.tensor([6, 4, 5])), (x,))


def test_it_is_mapped_and_captured() -> None:
    x, y = logits(2, 5), one_hot(TRANSCRIPTS)
    of_one = grad(lambda x, y: ctc_loss(x, y, FRAMES).sum())
    mapped = vmap(of_one)(x, y.expand(2, -1, -1, -1))
    torch.testing.assert_close(mapped, torch.stack([of_one(each, y) for each in x]), rtol=0, atol=1e-12)
    of_gradient = grad(lambda x, y: of_one(x, y).square().sum())
    assert bool(torch.isfinite(vmap(of_gradient)(x, y.expand(2, -1, -1, -1))).all())
    captured = make_fx(of_one)(x[0], y)
    torch.testing.assert_close(captured(x[1], y.flip(0)), of_one(x[1], y.flip(0)), rtol=0, atol=1e-12)


def test_a_transcript_that_the_frames_cannot_hold_has_no_probability() -> None:
    y = one_hot([[2, 2]], 2)  # which needs a blank in between, and so three frames
    assert float(ctc(logits(1)[:, :2].log_softmax(-1), y)[0]) > 1e29
    assert float(ctc(logits(1)[:, :3].log_softmax(-1), y)[0]) < 100
    assert float(ctc_loss(logits(1)[:, :2], y)[0]) == np.inf


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_narrow_types_are_computed_in_single_precision(dtype: torch.dtype) -> None:
    x, y = logits(5).to(dtype), one_hot(TRANSCRIPTS)
    expected = reference(x.double()).float()
    for found in (ctc_loss(x, y.to(dtype)), vmap(lambda x, y: ctc_loss(x[None], y[None])[0])(x, y.to(dtype))):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


# ---------------------------------------------------------------------------------------------------- decoding


def every_sequence(log_probabilities: np.ndarray) -> dict[tuple[int, ...], float]:
    """Return the probability of each sequence of symbols: the sum over all paths that say it."""
    found: dict[tuple[int, ...], float] = {}
    frames, symbols = log_probabilities.shape
    for path in itertools.product(range(symbols), repeat=frames):
        said = tuple(symbol for symbol, _ in itertools.groupby(path) if symbol)
        found[said] = found.get(said, 0.0) + float(np.exp(log_probabilities[range(frames), path].sum()))
    return found


@pytest.mark.parametrize("seed", range(8))
def test_beam_search_finds_the_most_likely_sequence(seed: int) -> None:
    x = 2 * np.random.default_rng(seed).normal(size=(5, 4))
    log_probabilities = x - np.logaddexp.reduce(x, -1, keepdims=True)
    probabilities = every_sequence(log_probabilities)
    assert sum(probabilities.values()) == pytest.approx(1)
    assert tuple(_decoding.beam_search(x, width=1000)) == max(probabilities, key=lambda said: probabilities[said])
    path = x.argmax(-1)
    assert _decoding.greedy(x) == [int(symbol) for symbol, _ in itertools.groupby(path) if symbol]
    for said in list(probabilities)[:40]:
        y = F.one_hot(torch.tensor([[*said, *[0] * (5 - len(said))]]), 4).double()
        found = float(ctc(torch.from_numpy(log_probabilities)[None], y)[0])
        assert np.exp(-found) == pytest.approx(probabilities[said], rel=1e-9)


def test_a_beam_of_one_is_no_error_and_one_of_none_is() -> None:
    x = np.random.default_rng(0).normal(size=(6, 4))
    assert set(_decoding.beam_search(x, width=1)) <= {1, 2, 3}
    with pytest.raises(ConfigError, match="width is 0; expected 1 or more"):
        _decoding.beam_search(x, width=0)


def test_what_is_spoken_is_what_greedy_decoding_says() -> None:
    x = logits(40)
    found = [[int(symbol) for symbol in row if symbol] for row in spoken(x)]
    assert found == [_decoding.greedy(one.numpy()) for one in x]


# ---------------------------------------------------------------------------------------------------- error rates


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("flaw", "lawn", 2), ("same", "same", 0), ("ab", "ba", 2)],
)
def test_edit_distances_by_hand(one: str, other: str, distance: int) -> None:
    assert edits.edit_distance(one, other) == distance
    found, wanted = (torch.tensor([[ord(letter) for letter in text]], dtype=torch.int64) for text in (one, other))
    assert edit_distance(found, wanted).tolist() == [distance]


def test_tensors_have_the_edit_distances_of_lists_with_gaps_anywhere() -> None:
    generator = torch.Generator().manual_seed(0)
    found, wanted = (torch.randint(0, 4, (60, size), generator=generator) for size in (9, 7))
    expected = [
        edits.edit_distance([int(s) for s in one if s], [int(s) for s in other if s])
        for one, other in zip(found, wanted, strict=True)
    ]
    assert edit_distance(found, wanted).tolist() == expected
    assert vmap(edit_distance)(found.view(6, 10, 9), wanted.view(6, 10, 7)).flatten().tolist() == expected


def test_words_are_what_stands_between_spaces() -> None:
    texts = ["on  a", " on a ", "a on", "", "ona", "on b"]
    ids = [[0, *[1 if letter == " " else ord(letter) for letter in text]] for text in texts]
    symbols = torch.tensor([row + [0] * (8 - len(row)) for row in ids])
    found = words(symbols)
    expected = [[edits.edit_distance(one.split(), other.split()) for other in texts] for one in texts]
    assert [edit_distance(found[place : place + 1].expand(6, -1), found).tolist() for place in range(6)] == expected


def test_error_rates_count_over_all_texts_together() -> None:
    found, wanted = ["a b c", "xx"], ["a b d", "x yy"]  # 1 + 3 edits of characters, 1 + 2 of words
    assert edits.character_error_rate(found, wanted) == pytest.approx(4 / 9)
    assert edits.word_error_rate(found, wanted) == pytest.approx(3 / 5)
    assert edits.word_error_rate([""], [""]) == 0
    assert edits.word_error_rate(["a b"], [""]) == 2
