"""Build conditional neural processes with short codes."""

SMALL = {"width": 8, "depth": 1}
