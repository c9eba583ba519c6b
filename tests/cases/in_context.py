"""Where the tests of the in-context learner differ: a small transformer, in which support examples read each other."""

SMALL = {"width": 8, "blocks": 2, "heads": 2}
REFUSED_IN_C = "pairs or merges support examples"
