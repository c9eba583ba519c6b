"""Where the tests of the cosine baseline differ: few steps of its head."""

SMALL = {"inner_steps": 2, "inner_lr": 0.05}
LEARNS = {"changes": {"inner_steps": 8, "inner_lr": 0.1}}
