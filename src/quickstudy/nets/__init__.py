"""Nets: one backbone per file; the file's name is its name everywhere."""
