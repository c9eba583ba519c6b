"""Spoken's tests: its arguments, and the shape of one example, a spectrogram."""

EXAMPLES = [
    ({"image_size": 16, "channels": 6}, (1, 16, 16)),
    ({"image_size": 20, "channels": 6, "halving": "stride", "heard": 0.5, "floor": 0.1}, (1, 20, 20)),
]
