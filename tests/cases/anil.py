"""Where ANIL's tests differ: few steps."""

SMALL = {"inner_steps": 3}
