"""Edit distances between sequences of symbols and of words, as tensor operations that map over tasks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

WORDS = {"space": 1, "prime": 2**31 - 1, "base": 65_599}
"""Number of the space between words; modulus of the numbers that stand for words, and factor between their symbols, whose products fit into
64 bits."""


def spoken(logits: Float[Tensor, "example frame symbol"]) -> Int[Tensor, "example frame"]:
    """Return the symbol that begins in each frame by the most likely path, 0 where none does: neighbours are merged, blanks taken out.

    >>> frames = torch.eye(3)[[1, 1, 0, 1, 2]]
    >>> spoken(frames.unsqueeze(0))
    tensor([[1, 0, 0, 1, 2]])
    """
    best = logits.argmax(-1)
    before = F.pad(best, (1, 0))[:, :-1]
    return torch.where(best == before, 0, best)


def edit_distance(found: Int[Tensor, "example n"], wanted: Int[Tensor, "example m"]) -> Int[Tensor, " example"]:
    """Return the least number of symbols to insert, delete or replace so that one sequence becomes the other (Levenshtein 1966).

    Args:
        found: numbers of symbols; 0 stands for none, wherever it is.
        wanted: the same.

    >>> edit_distance(torch.tensor([[1, 0, 2, 3]]), torch.tensor([[1, 3, 3, 0, 4]]))
    tensor([2])
    """
    real = wanted > 0
    behind = F.pad(real.long().cumsum(-1), (1, 0))
    distance, never = behind, 2 * (found.shape[1] + wanted.shape[1] + 1)
    for place in range(found.shape[1]):
        symbol = found[:, place, None]
        replaced = torch.where(real, distance[:, :-1] + (wanted != symbol).long(), never)
        kept = torch.minimum(distance + 1, F.pad(replaced, (1, 0), value=never))
        moved = (kept - behind).cummin(-1).values + behind
        distance = torch.where(symbol > 0, moved, distance)
    return distance[:, -1]


def words(symbols: Int[Tensor, "example place"]) -> Int[Tensor, "example place"]:
    """Return a number for each word of sequences of symbols, 0 where none ends: words are what stands between spaces.

    Equal words have equal numbers, and so have different ones with a probability of about 5e-10.

    Args:
        symbols: numbers of symbols; 0 stands for none, and 1 for the space.

    >>> words(torch.tensor([[2, 3, 1, 2, 0, 3, 1, 4]])).gt(0).long()
    tensor([[0, 0, 1, 0, 0, 0, 1, 0, 1]])
    """
    ended, word = [], torch.zeros_like(symbols[:, 0]) if symbols.shape[1] else symbols.new_zeros(symbols.shape[0])
    for place in range(symbols.shape[1]):
        symbol = symbols[:, place]
        ends = symbol == WORDS["space"]
        ended.append(torch.where(ends, word, 0))
        longer = (word * WORDS["base"] + symbol) % WORDS["prime"]
        word = torch.where(ends, 0, torch.where(symbol > 0, longer, word))
    return torch.stack([*ended, word], 1)
