"""Export a model as ONNX graphs, compared with PyTorch before the folder gets its name.

``python -m engine.export`` is the program. ``preflight.py`` refuses what cannot succeed, ``exporter.py`` runs the steps
(``stage.py``: in a process of their own where they are large), ``configs.py`` declares inputs and outputs of each part,
``graphs.py`` and ``part_export.py`` write the graphs, ``quantize.py`` turns them into eight bits, ``layout.py`` and
``manifest.py`` write the folder, ``graph_parity.py`` and ``image_parity.py`` compare.
"""
