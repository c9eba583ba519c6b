"""The C target: a captured learner compiled to C99 without malloc, for microcontrollers, browsers and anything with a C compiler.

It is a small compiler of passes, one per file. For learners in float32, `table` says which operations reach it, `functional` replaces
operations in place, `sections` cuts the captured graph into straight-line code and passes over the support examples, `lower`, `layers` and
`views` turn operations into kernels, `schedule` orders them, `plan` places their buffers in one arena, `verify` checks the program between
passes, and `emit` writes the text; `float32` runs them all. A learner of prototypes on a chain of convolutions becomes integers: `quantize`
and `int8`. `firmware` writes the folder.
"""
