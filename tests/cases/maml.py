"""Take few and small steps in MAML's tests."""

SMALL = {"inner_steps": 2, "inner_lr": 0.05}
