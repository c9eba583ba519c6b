"""ResNet12's tests: its arguments, and the shape of one example."""

EXAMPLES = [({"in_channels": 1, "widths": (4, 4, 6)}, (1, 8, 8))]
