"""The tests of Joined: a text beside four numbers, of which every second example lacks one; features have no derivative in the text."""

import torch
from cases import ngrams
from torch import Tensor

INPUTS = {
    "kind": "several",
    "parts": {"name": {"kind": "text", "length": 12}, "numbers": {"kind": "rows", "features": 4, "columns": None}},
}
NETS = {
    "text": {"name": "ngrams", "features": 5, "buckets": 32},
    "numbers": {"name": "mlp", "hidden": [6]},
}
EXAMPLES = [
    ({"inputs": INPUTS, "nets": NETS, "features": 4}, ()),
    ({"inputs": INPUTS, "nets": NETS, "join": "beside"}, ()),
]
DISCRETE = True
REFUSED = ("grey", "colour", "wide", "rows", "sound", "text")
"""Inputs that it does not take."""


def draw(*sizes: int) -> dict[str, Tensor]:
    """Return texts and numbers, of which the first example has both, the second no text, the third no numbers, and so on."""
    order = torch.arange(sizes[-1]).expand(sizes).unsqueeze(-1)
    there = {"name": order % 3 != 1, "numbers": order % 3 != 2}
    values = {"name": ngrams.draw(*sizes, 12), "numbers": torch.randn(*sizes, 4, dtype=torch.float64)}
    parts = {name: torch.where(known, values[name], 0.0) for name, known in there.items()}
    return parts | {f"{name}_there": known.double() for name, known in there.items()}
