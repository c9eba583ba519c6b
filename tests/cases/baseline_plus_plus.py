"""Take few and long steps in the tests of the cosine baseline: they tell the nearly parallel features of small nets apart."""

SMALL = {"inner_steps": 2, "inner_lr": 30.0}
LEARNS = {"changes": {"inner_steps": 8, "inner_lr": 0.1}}
