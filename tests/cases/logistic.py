"""Where the tests of the logistic head differ: it solves a system for each way at once."""

REFUSED_IN_C = "aten.bmm.default .* has no C form"
