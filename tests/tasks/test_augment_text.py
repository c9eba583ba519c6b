"""Changes of texts: words and letters change places or go, nothing else does, and each text by its own numbers."""

from __future__ import annotations

import collections

import pytest
import torch
from torch import Tensor

from quickstudy.inputs.text import TextSpec
from quickstudy.tasks.augment.text import AUGMENTATIONS, drop, mistype

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
