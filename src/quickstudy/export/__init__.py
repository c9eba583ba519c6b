"""A learner as programs that need no PyTorch: captured once, compiled to ONNX or to C, packed into one bundle."""
