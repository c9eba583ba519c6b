"""Conv4's tests: its arguments, and the shape of one example."""

EXAMPLES = [
    ({"image_size": 16, "channels": 6}, (1, 16, 16)),
    ({"in_channels": 3, "image_size": 20, "channels": 6, "halving": "stride"}, (3, 20, 20)),
]
