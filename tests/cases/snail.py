"""Build SNAIL with few filters and short convolutions. Its support examples read each other, which C cannot express."""

SMALL = {"width": 6, "length": 3}
LEARNS = {"changes": {"width": 16, "length": 8}}
REFUSED_IN_C = "pairs or merges support examples"
