"""A model as ONNX graphs, proved against PyTorch before it gets its name.

``python -m engine.export`` is the program; ``configs.py`` says what each part reads and gives, ``graphs.py`` writes it,
``layout.py`` makes the folder, ``parity.py`` and ``pictures.py`` are the gate.
"""
