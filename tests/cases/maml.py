"""Where MAML's tests differ: few steps, small ones."""

SMALL = {"inner_steps": 2, "inner_lr": 0.05}
