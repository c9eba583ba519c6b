"""Build MAML++ with small steps, because tests move every parameter, and so every rate, by up to 0.2."""

SMALL = {"inner_steps": 2, "inner_lr": 0.01}
