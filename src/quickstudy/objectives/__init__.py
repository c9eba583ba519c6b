"""Objectives: one kind of answer per file, as the type of `Examples.y`; the file's name is the kind's name everywhere."""
