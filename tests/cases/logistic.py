"""Expect C to refuse the logistic head, which solves a system for each way at once."""

REFUSED_IN_C = "aten.bmm.default .* has no C form"
