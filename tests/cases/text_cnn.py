"""The tests of TextCNN: its arguments, the shape of one example, a text as bytes, and that features have no derivative in it."""

from cases.ngrams import REFUSED, draw

__all__ = ["DISCRETE", "EXAMPLES", "REFUSED", "draw"]

EXAMPLES = [({"filters": 3, "sizes": (1, 3), "embedding": 4}, (24,)), ({"filters": 2, "sizes": (5,), "embedding": 2}, (9,))]
DISCRETE = True
