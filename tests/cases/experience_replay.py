"""Build experience replay with a short memory and few steps."""

SMALL = {"memory": 5, "inner_steps": 2}
