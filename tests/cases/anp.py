"""Build attentive neural processes with short codes."""

SMALL = {"width": 8, "depth": 1, "heads": 2}
REFUSED_IN_C = "pairs or merges support examples"
