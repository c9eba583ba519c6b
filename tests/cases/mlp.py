"""MLP's tests: its arguments, and the shape of one example; instance norm is not defined on rows."""

EXAMPLES = [({"in_features": 6, "hidden": (8, 5)}, (6,)), ({"in_features": 6, "hidden": ()}, (2, 3))]
NORMS = ("batch", "group", "layer", "none")
