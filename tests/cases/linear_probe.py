"""Where the linear probe's tests differ: few steps of its head."""

SMALL = {"inner_steps": 3}
LEARNS = {"changes": {"inner_steps": 8}}
