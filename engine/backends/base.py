"""The protocol that every backend implements."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from engine.backends.row_threads import RowThreads
from engine.checkpoint.layout import ModelFolder
from engine.contract.errors import Phrase
from engine.contract.request import ImageRequest
from engine.contract.sampling_plan import SamplingPlan
from engine.sampling.schedule import Sampler

#: (noisy latents, timestep) -> guided prediction, all in the backend's own array type
Predict = Callable[[Any, float], Any]


class Backend(Protocol):
    """One loaded model on one device."""

    folder: ModelFolder
    name: str  # "pytorch", "onnx" or "fake"
    device: str
    dtype: str  # "fp32", "bf16" or "fp16"
    hashes: dict[str, str]  # SHA-256 of the parts
    loras: list[dict[str, Any]]  # what the recipe stores of each: LoraFile.record()
    notes: list[Phrase]  # for the user, to be shown once; whoever shows them removes them
    #: what presets may use: "timesteps" that are given, "halves" where rows must be filled, "small" weights, a "plan"
    #: for the predictor
    supports: frozenset[str]
    tight: bool  # memory ran out before: only the active part is on the device, and stages must alternate

    def encode(self, texts: Sequence[str], upcoming: Callable[[int], Iterable[str]] | None = None) -> dict[str, Any]:
        """Features of each text, from the store or fresh; each has ``tokens`` (its length) and ``cut``.

        ``upcoming(n)`` gives the next n captions of the queue, for an encoder too large to be loaded often.
        """

    def lanes(self, rows: int) -> RowThreads:
        """The threads that share a micro-batch of ``rows``; the library's own threads are set to fit."""

    def join(self, parts: Sequence[Any]) -> Any:
        """Latents of several lanes as one array."""

    def fits(self, width: int, height: int) -> int:
        """How many images of that size may be denoised together by the memory plan; a large number without one."""

    def noise(self, seeds: Sequence[int], width: int, height: int) -> Any:
        """Standard normal latents, one row per seed, the same on every device. Sides in pixels."""

    def small_weights(self, wanted: str) -> tuple[str, Phrase | None]:
        """Prepare weights in 8 bits: ``wanted`` ("int8" or "fp8"), or the best kind if it is empty.

        Returns their kind, or "exact" and a note on why.
        """

    def sampler(self, name: str, steps: int, seeds: Sequence[int], timesteps: Sequence[int] = ()) -> Sampler:
        """A new sampler for one micro-batch, over ``timesteps`` where they are given (only if supported)."""

    def predictor(
        self, requests: Sequence[ImageRequest], features: dict[str, Any], plan: SamplingPlan | None = None
    ) -> Predict:
        """The denoiser under guidance for these rows; captions are prepared once here.

        With a ``plan`` (only if supported) it makes all predictions in order.
        """

    def decode(self, latents: Any, tiled: bool = False) -> np.ndarray[Any, Any]:
        """uint8 RGB ``[n, height, width, 3]``.

        Raises:
            NotFinite: the latents or pixels are not finite.
        """

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether ``error`` means that the device has too little memory."""

    def trim(self) -> None:
        """Free memory: drop the text encoder, and from now on keep idle parts off the device (``tight``)."""

    def libraries(self) -> dict[str, str]:
        """Versions that decide the pixels."""
