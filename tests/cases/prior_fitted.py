"""Build the prior-fitted network with a small transformer. Its support examples read each other, which C cannot express."""

SMALL = {"width": 8, "blocks": 1, "heads": 2, "thoughts": 2, "codes": 4}
REFUSED_IN_C = "pairs or merges support examples"
LEARNS = {"steps": 100, "changes": {"width": 32, "blocks": 2}}
