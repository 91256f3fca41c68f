"""The encoder without a model: the plain features of ``trainer.evaluation.features``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from trainer.evaluation.encoders.base import BUILT_IN
from trainer.evaluation.features import features


class BuiltIn:
    """Coarse colours and edge directions (``features.py``): tells drawings apart, sees copies, understands nothing."""

    name = BUILT_IN
    # Identifies version 1 of the algorithm. It is the hash of the source of features.py in release 0.1.0, so
    # evaluations made by that release stay comparable. Change it whenever the features' values change.
    sha256 = "7b7ab52c5af4258216aaf658fbaafe19d67335009d453a4e693a54a7fb3d39a8"
    resizer = "pillow box 64, stretched"
    reads_text = False

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray[Any, Any]:
        return features([np.asarray(i.convert("RGB")) for i in images])

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        raise NotImplementedError
