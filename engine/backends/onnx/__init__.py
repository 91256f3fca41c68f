"""The engine on ONNX Runtime: needs no PyTorch."""
