"""Sequences: transcripts become rows of symbols and texts again, or are refused by name; and their torch half scores them."""

from __future__ import annotations

from typing import Any

import edits
import numpy as np
import pandas as pd
import pytest
import torch
from torch.func import vmap

from quickstudy.errors import DataError
from quickstudy.objectives.sequences import Tokens, tokens
from quickstudy.targets.sequences import SequenceTarget, check_frames, frames_needed

TARGET = SequenceTarget()


@pytest.mark.parametrize(
    "given",
    [["one  two", " b\n"], np.array(["one two", "b"]), pd.Series(["one two", "b"]), pd.DataFrame({"said": ["one\ttwo", "b"]})],
    ids=lambda given: type(given).__name__,
)
def test_transcripts(given: Any) -> None:
    assert TARGET.read(given) == ["one two", "b"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "y to be passed, but the target y is None; give transcripts"),
        ("ab", r"one text was given \('ab'\) for the transcripts; expected one per example, in a list"),
        (["a", " "], "transcript 1 is empty; expected what is said in the example, or leave the example out"),
        (["a", 3], "transcript 1 is 3, a int; expected a text of what is said"),
        (["a", ["b"]], r"transcript 1 is \['b'\], a list; expected a text"),
        (pd.Series(["a", None]), r"transcripts: the one of example 1 is missing \(of 1\)"),
        (pd.DataFrame({"a": ["x"], "b": ["y"]}), "the transcripts are a table of 2 columns; .* Choose a column"),
    ],
)
def test_transcripts_that_are_none(given: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        TARGET.read(given)


def test_an_alphabet_keeps_its_order_and_grows_behind() -> None:
    first = TARGET.joined((), ["31", "1 2"])
    assert first == (" ", "1", "2", "3")
    assert TARGET.joined(first, ["0 é3"]) == (" ", "1", "2", "3", "0", "é")


def test_texts_come_back_from_their_rows_with_symbols_that_repeat() -> None:
    texts = ["a", "aab", "b a", "zzz"]
    labels = TARGET.joined((), texts)
    rows = TARGET.rows(texts, labels)
    assert rows.shape == (4, 3, 5)
    assert (rows.sum(-1) == 1).all()
    assert TARGET.given(rows, labels) == texts
    assert TARGET.answers(rows, labels) == ["a", "ab", "b a", "z"]  # as logits, whose equal neighbours are one
    more = TARGET.rows(["babab!"], TARGET.joined(labels, ["babab!"]))
    both = TARGET.together(rows, more)
    assert (both.sum(-1) == 1).all()
    assert TARGET.given(both, TARGET.joined(labels, ["babab!"])) == [*texts, "babab!"]


def test_a_character_beyond_the_alphabet_is_named() -> None:
    with pytest.raises(DataError, match=r"transcript 1, 'b!', has '!', which is not in the alphabet ' ab'; spell it"):
        TARGET.rows(["a", "b!"], (" ", "a", "b"))
    with pytest.raises(DataError, match="has '4', which is not in the alphabet ' 123'"):
        tokens(["14"], "123")
    with pytest.raises(DataError, match="is no valid Unicode"):
        TARGET.check_savable((" ", "\udcff"))


def test_a_text_needs_a_frame_for_each_symbol_and_between_equal_ones() -> None:
    assert [frames_needed(text) for text in ("", "a", "ab", "aab", "aaa")] == [0, 1, 2, 4, 5]
    check_frames("it", "aaa", 5)
    with pytest.raises(
        DataError, match=r"it has 3 symbols and needs 5 frames .* but the learner has 4 for an example; give shorter"
    ):
        check_frames("it", "aaa", 4)
    with pytest.raises(DataError, match="sequence 1 has 2 symbols and needs 3 frames"):
        tokens(["a", "aa"], "a").check_frames(2)


def test_a_beam_reads_what_all_paths_together_say() -> None:
    logits = np.log(np.array([[[0.6, 1e-9, 0.4], [0.6, 1e-9, 0.4]]]))
    assert TARGET.answers(logits, (" ", "a")) == [""]
    assert TARGET.answers(logits, (" ", "a"), beam=4) == ["a"]


# ---------------------------------------------------------------------------------------------------- the torch half

ALPHABET = "abc"
WANTED = ["a b", "cab", "b", "c c a"]


def logits(seed: int) -> torch.Tensor:
    return 3 * torch.randn(4, 9, 5, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_the_error_rates_of_decoded_texts(seed: int) -> None:
    labels = (" ", *ALPHABET)
    found = TARGET.answers(logits(seed).numpy(), labels)
    scores = tokens(WANTED, ALPHABET).scores(logits(seed), torch.ones(4))
    characters = [edits.edit_distance(one, other) for one, other in zip(found, WANTED, strict=True)]
    assert float(scores["character_error_rate"]) == pytest.approx(sum(characters) / sum(map(len, WANTED)))
    assert float(scores["word_error_rate"]) == pytest.approx(edits.word_error_rate(found, WANTED))
    assert list(scores) == [measure.key for measure in Tokens.measure.measures] == ["character_error_rate", "word_error_rate"]


def test_padding_does_not_count_and_tasks_are_mapped() -> None:
    y, weight = tokens(WANTED, ALPHABET), torch.tensor([1.0, 0.0, 1.0, 1.0])
    some = Tokens(y.places[[0, 2, 3]])
    assert float(y.loss(logits(0), weight)) == pytest.approx(float(some.loss(logits(0)[[0, 2, 3]], torch.ones(3))))
    expected = some.scores(logits(0)[[0, 2, 3]], torch.ones(3))
    found = y.scores(logits(0), weight)
    assert {key: float(score) for key, score in found.items()} == {key: float(score) for key, score in expected.items()}
    both = torch.stack([logits(0), logits(1)])
    mapped = vmap(lambda x: y.scores(x, weight))(both)
    assert float(mapped["word_error_rate"][0]) == pytest.approx(float(expected["word_error_rate"]))


def test_the_loss_is_the_mean_of_torchs_ctc_loss_per_symbol() -> None:
    y, x = tokens(WANTED, ALPHABET), logits(2)
    lengths = torch.tensor([len(text) for text in WANTED])
    of_torch = torch.nn.functional.ctc_loss(x.log_softmax(-1).transpose(0, 1), y.ids, torch.full((4,), 9), lengths)
    assert float(y.loss(x, torch.ones(4))) == pytest.approx(float(of_torch), rel=1e-6)


def test_answers_like_a_prediction_are_what_it_says() -> None:
    like = tokens(WANTED, ALPHABET).like(logits(3))
    labels = (" ", *ALPHABET)
    assert TARGET.given(like.places.numpy(), labels) == TARGET.answers(logits(3).numpy(), labels)


def test_ids_are_no_answers() -> None:
    with pytest.raises(DataError, match=r"rows are int64; expected floating-point numbers: tokens\(texts, symbols\)"):
        Tokens(torch.zeros(2, 3, dtype=torch.int64))
