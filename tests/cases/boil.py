"""Where BOIL's tests differ: two small steps."""

SMALL = {"inner_steps": 2, "inner_lr": 0.05}
