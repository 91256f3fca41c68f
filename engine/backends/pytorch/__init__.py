"""The engine on PyTorch: CPU, CUDA and Apple's MPS."""
