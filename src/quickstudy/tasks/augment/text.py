"""Changes of texts, given as bytes, batched and driven by given random numbers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

MOST = {"dropped": 2, "swapped": 2}
"""Most words of a text that are dropped, and most pairs of letters that change places: as many as people leave out and mistype in a
sentence or two."""


def drop(texts: Float[Tensor, "text byte"], random: Float[Tensor, "text number"]) -> Float[Tensor, "text byte"]:
    """Put blanks in place of up to two words, never of the only one.

    Args:
        texts: bytes, zeros behind their ends.
        random: uniform in [0, 1), `[text, number]`; each number chooses a word, or none.
    """
    number, count = _words(texts)
    for place in range(MOST["dropped"]):
        chosen = 1 + (2 * random[:, place] * count).floor()  # one of the words, or in half of all cases none
        texts = torch.where((number == chosen.unsqueeze(1)) & (count > 1).unsqueeze(1), float(ord(" ")), texts)
        number, count = _words(texts)
    return texts


def mistype(texts: Float[Tensor, "text byte"], random: Float[Tensor, "text number"]) -> Float[Tensor, "text byte"]:
    """Let up to two pairs of neighbouring letters of ASCII change places, as fast typing does.

    Args:
        texts: bytes, zeros behind their ends.
        random: uniform in [0, 1), `[text, number]`; each number chooses a place, or none.
    """
    places = torch.arange(texts.shape[1], device=texts.device)
    for place in range(MOST["swapped"]):
        length = (texts > 0).sum(1)
        first = (2 * random[:, place] * length).floor().long().unsqueeze(1)
        second = (first + 1).clamp(max=texts.shape[1] - 1)
        pair = torch.cat([texts.gather(1, first.clamp(max=texts.shape[1] - 1)), texts.gather(1, second)], 1)
        fine = ((pair > ord(" ")) & (pair < 128)).all(1, keepdim=True)
        swapped = torch.where(places == first, pair[:, 1:], torch.where(places == second, pair[:, :1], texts))
        texts = torch.where(fine & (first < second), swapped, texts)
    return texts


def both(texts: Float[Tensor, "text byte"], random: Float[Tensor, "text number"]) -> Float[Tensor, "text byte"]:
    """Drop words, and mistype what is left."""
    return mistype(drop(texts, random[:, : MOST["dropped"]]), random[:, MOST["dropped"] :])


def _words(texts: Float[Tensor, "text byte"]) -> tuple[Int[Tensor, "text byte"], Float[Tensor, " text"]]:
    """Return the number of the word that each byte belongs to, from 1 on, 0 between words; and how many words there are."""
    inside: Bool[Tensor, "text byte"] = texts > ord(" ")
    begins = inside & ~torch.cat([torch.zeros_like(inside[:, :1]), inside[:, :-1]], 1)
    number = begins.cumsum(1)
    return torch.where(inside, number, 0), number[:, -1].to(texts.dtype)


AUGMENTATIONS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], int]] = {
    "drop": (drop, MOST["dropped"]),
    "mistype": (mistype, MOST["swapped"]),
    "drop_and_mistype": (both, sum(MOST.values())),
}
"""Changes by the name that `Draw` takes, with how many random numbers each draws per text."""
