"""Take few steps of the head in the linear probe's tests."""

SMALL = {"inner_steps": 3}
LEARNS = {"changes": {"inner_steps": 8}}
