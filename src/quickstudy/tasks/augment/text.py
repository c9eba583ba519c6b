"""Changes of texts, given as bytes, batched and driven by given random numbers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

MOST = {"dropped": 2, "mistyped": 2, "swapped": 1, "repeated": 1}
"""Most words of a text that are dropped, pairs of letters that change places, pairs of words that do, and words that are said twice: as
many as people leave out, mistype, move and repeat in a sentence or two."""


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
    for place in range(MOST["mistyped"]):
        length = (texts > 0).sum(1)
        first = (2 * random[:, place] * length).floor().long().unsqueeze(1)
        second = (first + 1).clamp(max=texts.shape[1] - 1)
        pair = torch.cat([texts.gather(1, first.clamp(max=texts.shape[1] - 1)), texts.gather(1, second)], 1)
        fine = ((pair > ord(" ")) & (pair < 128)).all(1, keepdim=True)
        swapped = torch.where(places == first, pair[:, 1:], torch.where(places == second, pair[:, :1], texts))
        texts = torch.where(fine & (first < second), swapped, texts)
    return texts


def swap(texts: Float[Tensor, "text byte"], random: Float[Tensor, "text number"]) -> Float[Tensor, "text byte"]:
    """Let up to one pair of neighbouring words change places; what is between them stays there.

    Args:
        texts: bytes, zeros behind their ends.
        random: uniform in [0, 1), `[text, number]`; each number chooses the first word of a pair, or none.
    """
    places = torch.arange(texts.shape[1], device=texts.device)
    for place in range(MOST["swapped"]):
        number, count = _words(texts)
        chosen = 1 + (2 * random[:, place] * (count - 1).clamp(min=1)).floor().unsqueeze(1)
        (begin, end), (later, last) = (_bounds(number, chosen + word) for word in (0, 1))
        gap, back = begin + last - later, last - (end - begin)  # where what lies between goes, and the first word
        moved = torch.where(places < gap, places - begin + later, places - gap + end)
        moved = torch.where(places < back, moved, places - back + begin)
        inside = (places >= begin) & (places < last) & (chosen < count.unsqueeze(1))
        texts = texts.gather(1, torch.where(inside, moved, places))
    return texts


def repeat(texts: Float[Tensor, "text byte"], random: Float[Tensor, "text number"]) -> Float[Tensor, "text byte"]:
    """Say up to one word twice; what no longer fits is cut off.

    Args:
        texts: bytes, zeros behind their ends.
        random: uniform in [0, 1), `[text, number]`; each number chooses a word, or none.
    """
    places = torch.arange(texts.shape[1], device=texts.device)
    for place in range(MOST["repeated"]):
        number, count = _words(texts)
        chosen = 1 + (2 * random[:, place] * count).floor().unsqueeze(1)
        begin, end = _bounds(number, chosen)
        source = torch.where((places >= end) & (chosen <= count.unsqueeze(1)), places - (end - begin) - 1, places)
        blank = (source < begin) & (places >= end) & (chosen <= count.unsqueeze(1))  # before the word that is said again
        texts = torch.where(blank, float(ord(" ")), texts.gather(1, source.clamp(min=0)))
    return texts


def _in_turn(*names: str) -> tuple[Callable[[Tensor, Tensor], Tensor], int]:
    """Return a change that does several of them, one after another, and how many random numbers it draws."""

    def change(texts: Float[Tensor, "text byte"], random: Float[Tensor, "text number"]) -> Float[Tensor, "text byte"]:
        begin = 0
        for name in names:
            one, count = AUGMENTATIONS[name]
            texts, begin = one(texts, random[:, begin : begin + count]), begin + count
        return texts

    return change, sum(AUGMENTATIONS[name][1] for name in names)


def _bounds(
    number: Int[Tensor, "text byte"], chosen: Float[Tensor, "text 1"]
) -> tuple[Int[Tensor, "text 1"], Int[Tensor, "text 1"]]:
    """Return where the word of this number begins, and where what follows it does; both are 0 if there is none."""
    inside = number == chosen
    begin = inside.to(torch.int64).argmax(1, keepdim=True)
    return begin, begin + inside.sum(1, keepdim=True)


def _words(texts: Float[Tensor, "text byte"]) -> tuple[Int[Tensor, "text byte"], Float[Tensor, " text"]]:
    """Return the number of the word that each byte belongs to, from 1 on, 0 between words; and how many words there are."""
    inside: Bool[Tensor, "text byte"] = texts > ord(" ")
    begins = inside & ~torch.cat([torch.zeros_like(inside[:, :1]), inside[:, :-1]], 1)
    number = begins.cumsum(1)
    return torch.where(inside, number, 0), number[:, -1].to(texts.dtype)


AUGMENTATIONS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], int]] = {
    "drop": (drop, MOST["dropped"]),
    "mistype": (mistype, MOST["mistyped"]),
    "swap": (swap, MOST["swapped"]),
    "repeat": (repeat, MOST["repeated"]),
}
"""Changes by the name that `Draw` takes, with how many random numbers each draws per text."""
AUGMENTATIONS["drop_and_mistype"] = _in_turn("drop", "mistype")
AUGMENTATIONS["everyday"] = _in_turn("drop", "swap", "repeat", "mistype")
