"""The tests of Frames: its arguments, and the shape of one example, a spectrogram."""

EXAMPLES = [
    ({"bands": 6, "length": 12, "channels": 8}, (1, 6, 12)),
    ({"bands": 6, "length": 13, "channels": 8, "halvings": 2, "blur": 1}, (2, 3, 13)),
]
REFUSED = ("rows", "text", "several")
"""Inputs that it does not take."""
