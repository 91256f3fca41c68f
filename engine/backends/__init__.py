"""Ways to run a model: PyTorch, ONNX Runtime, and a fake one for tests."""
