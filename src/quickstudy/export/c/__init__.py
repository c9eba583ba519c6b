"""The C target: a captured learner compiled to C99 without malloc, for microcontrollers, browsers and anything with a C compiler.

A small compiler in passes, one per file. For float32 learners: `table` says which operations reach it, `functional` makes functions of
in-place operations, `sections` cuts the captured graph into straight-line code and passes over the support examples, `lower` and `layers`
turn operations into kernels, `schedule` orders them, `plan` places buffers in one arena, `emit` writes the text. Prototype learners on
convolution nets become integers: `quantize`, `integer`. `firmware` writes the folder.
"""
