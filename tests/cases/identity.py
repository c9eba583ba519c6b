"""Identity's tests: its arguments, and the shape of one example."""

EXAMPLES = [({"in_features": 6}, (6,)), ({"in_features": 6}, (2, 3))]
