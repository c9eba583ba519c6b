"""Kinds of answer: one file per kind, without torch."""
