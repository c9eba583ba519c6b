"""Build conditional neural processes with short codes."""

SMALL = {"width": 8, "depth": 1}
REFUSED_IN_C = "pairs or merges support examples"
