"""The loss judges pairs of examples, and no example is paired with itself, while a repeated one is paired with its copy."""

REPEATED = 2e-3
"""Relative difference between the loss of weighed queries and that of repeated ones."""
