"""Take few steps in ANIL's tests."""

SMALL = {"inner_steps": 3}
