"""Build the life-long memory with few slots and a margin that some query violates."""

SMALL = {"slots": 20, "margin": 1.5}
