"""Where the tests of attentive neural processes differ: short codes."""

SMALL = {"width": 8, "depth": 1, "heads": 2}
REFUSED_IN_C = "pairs or merges support examples"
