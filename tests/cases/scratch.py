"""Take few and small steps in the tests of training from scratch."""

SMALL = {"inner_steps": 2, "inner_lr": 0.05}
LEARNS = {"changes": {"inner_steps": 8, "inner_lr": 0.02}}
