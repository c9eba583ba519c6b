"""Build MANN with a small memory and controller."""

SMALL = {"slots": 12, "width": 5, "controller": 7}
