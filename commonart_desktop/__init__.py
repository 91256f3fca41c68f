"""What a person starts: the command line and the window. Never imports torch, diffusers, transformers or onnxruntime."""
