"""The tests of Transformer: its arguments, the shape of one example, a text as bytes, and that features have no derivative in it."""

from cases.ngrams import REFUSED, draw

__all__ = ["DISCRETE", "EXAMPLES", "REFUSED", "draw"]

EXAMPLES = [
    ({"features": 4, "blocks": 1, "heads": 2, "stride": 4}, (24,)),
    ({"features": 6, "blocks": 2, "heads": 1, "stride": 1}, (9,)),
]
DISCRETE = True
