"""Changes of texts: words and letters change places or go, nothing else does, and each text by its own numbers."""

from __future__ import annotations

import collections

import pytest
import torch
from torch import Tensor

from quickstudy.inputs.text import TextSpec
from quickstudy.tasks.augment.text import AUGMENTATIONS, drop, mistype, repeat, swap

TEXTS = ["where is my card today", "one", "ärger mit der karte", "x" * 32, "a b"]


def encoded(texts: list[str]) -> Tensor:
    return torch.from_numpy(TextSpec(32).read_all(texts)["text"]).float()


def decoded(texts: Tensor) -> list[str]:
    return [bytes(row.int().tolist()).rstrip(b"\0").decode() for row in texts]


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_augmentations_keep_shape_and_change_something_by_each_texts_own_numbers(name: str) -> None:
    change, numbers = AUGMENTATIONS[name]
    texts, random = encoded(TEXTS * 20), torch.rand(len(TEXTS) * 20, numbers, generator=torch.Generator().manual_seed(0))
    before, found = texts.clone(), change(texts, random)
    assert torch.equal(texts, before)
    assert found.shape == texts.shape
    assert not torch.equal(found, texts)
    assert torch.equal(change(texts[7:8], random[7:8]), found[7:8])
    if name in ("repeat", "everyday"):
        assert bool(((found > 0) >= (texts > 0)).all())  # no text is shorter
    else:
        assert torch.equal((found > 0), (texts > 0))  # the length stays
    assert all(text.strip() for text in decoded(found))


def test_words_that_are_dropped_are_whole_and_never_the_only_one() -> None:
    random = torch.rand(500, 2, generator=torch.Generator().manual_seed(1))
    for text in TEXTS:
        counts: collections.Counter[int] = collections.Counter()
        for changed in decoded(drop(encoded([text] * 500), random)):
            left = changed.split()
            assert collections.Counter(left) <= collections.Counter(text.split())
            counts[len(text.split()) - len(left)] += 1
        assert max(counts) == min(2, len(text.split()) - 1)


def test_letters_that_change_places_are_neighbours_of_ascii() -> None:
    random = torch.rand(500, 2, generator=torch.Generator().manual_seed(2))
    for text in TEXTS:
        seen = set(decoded(mistype(encoded([text] * 500), random)))
        assert all(sorted(changed) == sorted(text) for changed in seen)
        assert all([len(word) for word in changed.split(" ")] == [len(word) for word in text.split(" ")] for changed in seen)
    assert "oen" in set(decoded(mistype(encoded(["one"] * 500), random)))


def test_words_that_change_places_are_neighbours() -> None:
    random = torch.rand(500, 1, generator=torch.Generator().manual_seed(3))
    expected = {"a bc, def", "bc, a def", "a def bc,"}
    assert set(decoded(swap(encoded(["a bc, def"] * 500), random))) == expected
    assert set(decoded(swap(encoded(["one"] * 500), random))) == {"one"}
    assert set(decoded(swap(encoded(["one  two"] * 500), random))) == {"one  two", "two  one"}


def test_a_word_is_said_twice_and_what_does_not_fit_is_cut_off() -> None:
    random = torch.rand(500, 1, generator=torch.Generator().manual_seed(4))
    expected = {"my late card", "my my late card", "my late late card", "my late card card"}
    assert set(decoded(repeat(encoded(["my late card"] * 500), random))) == expected
    full = "x" * 20 + " " + "y" * 11
    assert set(decoded(repeat(encoded([full] * 500), random))) == {full, "x" * 20 + " " + "x" * 11}
