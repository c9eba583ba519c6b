"""Learners: one algorithm per file; the file's name is its name everywhere."""
