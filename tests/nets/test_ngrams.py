"""NGrams: the rows of its table are those that plain Python finds in the text, and its features their weighted mean."""

from __future__ import annotations

import collections
import itertools
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from quickstudy.errors import ConfigError
from quickstudy.inputs.text import TextSpec
from quickstudy.nets.ngrams import HASH, NGrams

TEXTS = [
    "Where is my card?",
    "a",
    "one, two - three",
    "Grüße an ALLE",
    "x" * 40,
    "  two  blanks",
    "tab\tand\nline",
    "我的卡在哪里",
]
LENGTH = 48


def hashed(content: bytes) -> int:
    """Return the hash of bytes: a number to the base of the hashes, the first byte counting least."""
    value = 0
    for byte in reversed(content):
        value = (value * HASH.base + byte) % HASH.prime
    return value


def found_by_hand(content: bytes, buckets: int) -> collections.Counter[int]:
    """Return how often each row of the table is read for lower-case bytes, by regular expressions and slices."""
    content = re.sub(rb"[\t-\r]", b" ", content.lower())
    parts: list[list[int]] = [
        [hashed(content[place : place + size][::-1]) for place in range(len(content) - size + 1)] for size in HASH.sizes
    ]
    words = list(re.finditer(rb"[0-9a-z\x80-\xff]+", content))
    tails = [word.group()[-HASH.word :] for word in words]
    parts.append([hashed(tail[::-1]) for tail in tails])
    pairs = []
    for (before, word), (first, second) in zip(itertools.pairwise(words), itertools.pairwise(tails), strict=True):
        if word.start() - before.end() <= 2 and len(word.group()) <= HASH.word:
            pairs.append((hashed(first[::-1]) * HASH.base + hashed(second[::-1])) % HASH.prime)
    parts.append(pairs)
    rows = [(value * HASH.mix + 97 * place) % HASH.prime % buckets for place, part in enumerate(parts) for value in part]
    return collections.Counter(rows)


def encoded(text: str) -> Tensor:
    return torch.from_numpy(TextSpec(LENGTH).read_all([text])["text"]).double()


def check(text: str, buckets: int = 2**14) -> None:
    net, x = NGrams(4, buckets), encoded(text)
    rows, there = net.rows(x)
    content = x[0].byte().numpy().tobytes().rstrip(b"\0")
    assert collections.Counter(rows[there].tolist()) == found_by_hand(content, buckets)


@pytest.mark.parametrize("text", TEXTS)
def test_rows_are_those_that_python_finds(text: str) -> None:
    check(text)


@settings(deadline=None, max_examples=50)
@given(st.text("abZ9 ,.é'", min_size=1, max_size=40).filter(str.strip))
def test_rows_of_any_text_are_those_that_python_finds(text: str) -> None:
    check(text, 2**20)


def test_features_are_the_weighted_mean_of_the_rows() -> None:
    net, x = NGrams(4, 512).double(), encoded(TEXTS[0])
    with torch.no_grad():
        net.importance.normal_(std=0.1)
    counts = found_by_hand(TEXTS[0].encode(), 512)
    rows = torch.tensor(list(counts))
    weight = torch.tensor(list(counts.values())) * (10 * net.importance[rows, 0]).exp()
    expected = 160 * (weight.unsqueeze(1) * net.table[rows]).sum(0) / weight.sum()
    torch.testing.assert_close(net(x)[0], expected)


def test_letters_case_and_padding_do_not_matter_and_words_do() -> None:
    net = NGrams(8)
    features = {text: net(encoded(text).float()) for text in ("my card", "MY Card", "my cart", "card my")}
    assert torch.equal(features["my card"], features["MY Card"])
    assert not torch.allclose(features["my card"], features["my cart"])
    assert not torch.allclose(features["my card"], features["card my"])


def test_impossible_sizes_are_refused() -> None:
    for name in ("features", "buckets"):
        with pytest.raises(ConfigError, match=f"{name} is 0; expected .*1"):
            NGrams(**{name: 0})
