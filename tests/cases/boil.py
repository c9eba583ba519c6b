"""Take two small steps in BOIL's tests."""

SMALL = {"inner_steps": 2, "inner_lr": 0.05}
