"""What a backend offers; the folders beside this file keep the same file names.

``load.py`` has ``open_backend``; ``encode.py``, ``denoise.py`` and ``decode.py`` the stages it is made of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from engine.checkpoint.layout import ModelFolder
from engine.checkpoint.lora import LoraFile
from engine.contract.course import Course
from engine.contract.errors import FeatureMissing, MissingLibrary, Phrase
from engine.contract.request import ImageRequest
from engine.lanes import Lanes
from engine.sampling import Sampler

#: (noisy latents, timestep) -> guided prediction, all in the backend's own array type
Predict = Callable[[Any, float], Any]


class Backend(Protocol):
    """One loaded model on one device."""

    folder: ModelFolder
    name: str  # "pytorch", "onnx" or "fake"
    device: str
    dtype: str  # "fp32", "bf16" or "fp16"
    hashes: dict[str, str]  # SHA-256 of the parts
    loras: list[dict[str, Any]]  # what the recipe keeps of each: LoraFile.record()
    notes: list[Phrase]  # what a person should be told once; whoever tells it takes it out
    levers: frozenset[
        str
    ]  # of presets: "timesteps" given, "cache" of blocks, "halves" where rows must be filled, "small" weights, "course" at once
    tight: bool  # memory ran out before: only the part at work is on the device, and stages must take turns

    def encode(self, texts: Sequence[str], upcoming: Callable[[int], Iterable[str]] | None = None) -> dict[str, Any]:
        """Features of each text, from the store or fresh; each has ``tokens`` (its length) and ``cut``.

        ``upcoming(n)`` gives the next n captions of the queue, for an encoder too large to be loaded often.
        """

    def lanes(self, rows: int) -> Lanes:
        """The threads that share a micro-batch of ``rows``; the library's own threads are set to fit."""

    def join(self, parts: Sequence[Any]) -> Any:
        """Latents of several lanes as one array."""

    def fits(self, width: int, height: int) -> int:
        """How many pictures of that size may be denoised together by the memory plan; a large number where there is none."""

    def noise(self, seeds: Sequence[int], width: int, height: int) -> Any:
        """Standard normal latents, one row a seed, the same on every device. Sides in pixels."""

    def small_weights(self, wanted: str) -> tuple[str, Phrase | None]:
        """Weights in 8 bits made ready: ``wanted`` ("int8" or "fp8"), or the best there are if it is empty; or "exact" and why, as a note."""

    def sampler(self, name: str, steps: int, seeds: Sequence[int], timesteps: Sequence[int] = ()) -> Sampler:
        """A fresh sampler for one micro-batch, over ``timesteps`` where they are given (only with that lever)."""

    def predictor(
        self, requests: Sequence[ImageRequest], features: dict[str, Any], course: Course | None = None
    ) -> Predict:
        """The denoiser under guidance for these rows; captions are prepared once here. ``course``: for all predictions in turn, with that lever."""

    def decode(self, latents: Any, tiled: bool = False) -> np.ndarray[Any, Any]:
        """uint8 RGB ``[n, height, width, 3]``.

        Raises:
            NotFinite: the latents or pixels are not numbers.
        """

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether ``error`` means that the device has too little memory."""

    def trim(self) -> None:
        """Make room: drop the text encoder, and from now on keep idle parts off the device (``tight``)."""

    def libraries(self) -> dict[str, str]:
        """Versions that decide the pixels."""


def open_backend(
    folder: ModelFolder,
    *,
    kind: str = "auto",
    device: str = "auto",
    dtype: str = "auto",
    loras: Sequence[LoraFile] = (),
    merged: bool = True,
    memory: int | None = None,
) -> Backend:
    """Load a model with the backend its folder asks for, or with ``kind``; the library is imported only now.

    LoRAs are added to the weights, or run beside them if ``merged`` is false. ``memory`` is how many bytes the model may use of
    its device; None: what there is.

    Raises:
        FeatureMissing: ``kind`` cannot run this folder. MissingLibrary: what it needs is not installed.
    """
    if kind == "fake":
        from engine.backends.fake import FakeBackend

        return FakeBackend(folder, loras)
    if (kind == "onnx") != (folder.layout == "onnx") and kind != "auto":
        raise FeatureMissing(
            what=f"--backend {kind}",
            why=Phrase("{model} is an exported model; leave the option out", model=folder.name)
            if folder.layout == "onnx"
            else Phrase(
                "{model} is not an exported model; make one with: commonart export {model} OUT", model=folder.name
            ),
        )
    if folder.layout == "onnx":
        try:
            from engine.backends.onnx.load import OnnxBackend
        except ModuleNotFoundError as e:
            raise MissingLibrary(name=e.name or "onnxruntime", command=f"pip install {e.name or 'onnxruntime'}") from e

        return OnnxBackend(folder, device=device, dtype=dtype, loras=loras)
    try:
        from engine.backends.pytorch.load import TorchBackend
    except ModuleNotFoundError as e:
        if e.name not in ("torch", "diffusers", "transformers"):
            raise
        raise MissingLibrary(name=e.name, command="pip install commonart-desktop") from e

    return TorchBackend(folder, device=device, dtype=dtype, loras=loras, merged=merged, memory=memory)
