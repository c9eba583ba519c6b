"""A bundle adapts and predicts: numpy and onnxruntime, no torch."""
