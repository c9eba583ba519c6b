"""Build Meta Networks with narrow layers. Their networks see each number of a gradient alone, which C does not express."""

SMALL = {"width": 16, "meta_width": 8}
REFUSED_IN_C = "pairs or merges support examples"
