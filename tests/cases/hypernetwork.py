"""Build hypernetworks with short codes."""

SMALL = {"width": 8}
