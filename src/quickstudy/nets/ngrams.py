"""NGrams: hashed words, word pairs and character n-grams of a text, each a learned vector; their weighted mean is the feature vector.

Joulin, Grave, Bojanowski and Mikolov 2017, "Bag of Tricks for Efficient Text Classification", section 2 (the mean of vectors, and the
hashing trick); Bojanowski, Grave, Joulin and Mikolov 2017, "Enriching Word Vectors with Subword Information", section 3.2 (n-grams of 3 to
6 characters). The net computes all of it from the bytes of the text, so that nobody needs a tokenizer. Deviations: every n-gram has a
learned weight in the mean, as words differ in what they say; n-grams are those of the text and not of its words, so that they see spaces.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from quickstudy.errors import check_at_least
from quickstudy.inputs import InputSpec
from quickstudy.nets import _sizes
from quickstudy.nets._bytes import lowered


class _Hash(NamedTuple):
    """Numbers of the hashes.

    Attributes:
        sizes: bytes of n-grams.
        word: most bytes of a word that count, its last ones.
        prime: modulus of all hashes, whose products with numbers below it fit into 64 bits.
        base: factor between bytes, above any byte.
        mix: factor that spreads hashes over the rows of the table.
    """

    sizes: tuple[int, ...] = (3, 4, 5)
    word: int = 16
    prime: int = 2**31 - 1
    base: int = 257
    mix: int = 1_103_515_245


class _Sizes(NamedTuple):
    """Sizes of the learned numbers.

    Adam moves every number by its rate, so that numbers that start small are learned in fewer steps: on CLINC150's validation domain, 5
    ways and 1 shot, a hundred steps at 3e-3 reach 61 %, and 54 % from a standard deviation of 1.

    Attributes:
        start: standard deviation of the table at the start.
        sharpness: factor of the learned weights.
        features: factor of the features, which are then of size one for texts of some 60 n-grams.
        hidden: logarithm of the weight of what is no n-gram: zero in any precision.
    """

    start: float = 0.05
    sharpness: float = 10.0
    features: float = 160.0
    hidden: float = -1e4


HASH, SIZE = _Hash(), _Sizes()


class NGrams(nn.Module):
    """`[example, byte]` to `[example, features]`.

    Args:
        features: numbers per n-gram, and of the output.
        buckets: rows of the table that n-grams share by their hash.

    >>> net = NGrams(features=8, buckets=64)
    >>> text = torch.tensor([[ord(letter) for letter in "where is my card"]], dtype=torch.float32)
    >>> torch.equal(net(text), net(F.pad(text, (0, 9))))
    True
    """

    width: ClassVar[str] = "features"

    def __init__(self, features: int = 64, buckets: int = 2**14) -> None:
        super().__init__()
        check_at_least("features", features, 1)
        check_at_least("buckets", buckets, 1)
        self.features, self.buckets = features, buckets
        self.table = nn.Parameter(SIZE.start * torch.randn(buckets, features))
        self.importance = nn.Parameter(torch.zeros(buckets, 1))

    def forward(self, x: Float[Tensor, "example byte"]) -> Float[Tensor, "example feature"]:
        rows, there = self.rows(x)
        weight = torch.where(there, SIZE.sharpness * F.embedding(rows, self.importance).squeeze(-1), SIZE.hidden).exp()
        share = weight / weight.sum(1, keepdim=True).clamp(min=1e-6)
        return SIZE.features * (share.unsqueeze(1) @ F.embedding(rows, self.table)).squeeze(1)

    def rows(self, x: Float[Tensor, "example byte"]) -> tuple[Int[Tensor, "example ngram"], Bool[Tensor, "example ngram"]]:
        """Return the row of the table of each n-gram, and whether there is one at this place."""
        found = lowered(x)
        letters = is_letter(found)
        hashes = [(ngram_hashes(found, size), all_real(found, size)) for size in HASH.sizes]
        words, ends, lengths = word_hashes(found, letters)
        pairs, both = pair_hashes(words, ends, lengths)
        hashes += [(words, ends), (pairs, both)]
        salted = [(value * HASH.mix + 97 * place) % HASH.prime % self.buckets for place, (value, _) in enumerate(hashes)]
        return torch.cat(salted, 1), torch.cat([there for _, there in hashes], 1)

    @classmethod
    def fit_to(cls, spec: InputSpec) -> dict[str, Any]:
        """Return nothing, as texts of any length fit; refuse other inputs.

        Raises:
            ConfigError: the inputs are no texts.
        """
        _sizes.check_kind(spec, "ngrams", "text")
        return {}


def is_letter(found: Int[Tensor, "example byte"]) -> Bool[Tensor, "example byte"]:
    """Say which bytes belong to words: small letters, digits, and everything beyond ASCII."""
    digit, letter = (found >= 48) & (found <= 57), (found >= 97) & (found <= 122)
    return digit | letter | (found >= 128)


def earlier(values: Tensor, places: int) -> Tensor:
    """Return `values` `[example, byte]` moved to the right by so many places; zeros come in."""
    return F.pad(values, (places, 0))[:, : values.shape[1]] if places else values


def ngram_hashes(found: Int[Tensor, "example byte"], size: int) -> Int[Tensor, "example byte"]:
    """Return the hash of the `size` bytes that end at each place."""
    value = torch.zeros_like(found)
    for place in reversed(range(size)):
        value = (value * HASH.base + earlier(found, place)) % HASH.prime
    return value


def all_real(found: Int[Tensor, "example byte"], size: int) -> Bool[Tensor, "example byte"]:
    """Say where `size` bytes of the text end."""
    return (found > 0) & (earlier(found, size - 1) > 0)


def word_hashes(
    found: Int[Tensor, "example byte"], letters: Bool[Tensor, "example byte"]
) -> tuple[Int[Tensor, "example byte"], Bool[Tensor, "example byte"], Int[Tensor, "example byte"]]:
    """Return the hash of the word up to each place, where words end, and how many of its bytes count."""
    inside, value, length = letters, torch.zeros_like(found), torch.zeros_like(found)
    power = 1
    for place in range(HASH.word):
        inside = inside & (earlier(letters.to(found.dtype), place) > 0)
        value = (value + torch.where(inside, earlier(found, place) * power, 0)) % HASH.prime
        length = length + inside.to(found.dtype)
        power = power * HASH.base % HASH.prime
    following = F.pad(letters.to(found.dtype), (0, 1))[:, 1:]
    return value, letters & (following == 0), length


def pair_hashes(
    words: Int[Tensor, "example byte"], ends: Bool[Tensor, "example byte"], lengths: Int[Tensor, "example byte"]
) -> tuple[Int[Tensor, "example byte"], Bool[Tensor, "example byte"]]:
    """Return the hash of the word that ends at each place and of the one before it, one or two bytes apart, and where there are both."""
    places = torch.arange(words.shape[1], device=words.device) - lengths
    value, both = torch.zeros_like(words), torch.zeros_like(ends)
    for apart in (2, 3):  # a blank, or a comma and a blank, between the last byte of one word and the first of the next
        place = places - (apart - 1)
        before = place.clamp(min=0)
        there = ends & (place >= 0) & (torch.gather(ends.to(words.dtype), 1, before) > 0)
        value = torch.where(there & ~both, torch.gather(words, 1, before) * HASH.base + words, value)
        both = both | there
    return value % HASH.prime, both
