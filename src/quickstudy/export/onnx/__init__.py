"""Write captured graphs as ONNX, in float32 and in 8 bits."""
