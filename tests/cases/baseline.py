"""Take few steps of the head in the baseline's tests."""

SMALL = {"inner_steps": 2, "inner_lr": 0.05}
LEARNS = {"changes": {"inner_steps": 8, "inner_lr": 0.1}}
