"""Build the in-context learner with a small transformer. Its support examples read each other, which C cannot express."""

SMALL = {"width": 8, "blocks": 1, "heads": 2}
REFUSED_IN_C = "pairs or merges support examples"
