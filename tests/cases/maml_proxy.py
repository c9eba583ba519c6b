"""Build MAML with a narrow proxy; tests move every parameter by up to 0.2, and so what the proxy says of rates and of what stays."""

SMALL = {"inner_steps": 2, "inner_lr": 0.05, "width": 3}
