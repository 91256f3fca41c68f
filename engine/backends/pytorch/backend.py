"""One model on one device, computed by PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from engine.backends.pytorch.decode import decode
from engine.backends.pytorch.denoise import Predictor, noise
from engine.backends.pytorch.devices import CORES, DTYPES, choose_device, choose_dtype, memory_limit
from engine.backends.pytorch.encode import Encoder
from engine.backends.pytorch.load import load_decoder, load_denoiser
from engine.backends.pytorch.planned import PlannedPredictor
from engine.backends.pytorch.samplers import build_sampler
from engine.backends.row_threads import RowThreads
from engine.checkpoint.layout import ModelFolder
from engine.checkpoint.lora import LoraFile
from engine.checkpoint.memory_plan import plan_memory
from engine.contract.errors import BrokenWeights, Phrase
from engine.contract.request import ImageRequest
from engine.contract.sampling_plan import SamplingPlan
from engine.models.compilation import CompilationPolicy
from engine.models.quantization import QuantizedWeights
from engine.sampling.schedule import Sampler, Schedule
from engine.system.ram import ram_bytes


class TorchBackend:
    """One model on one device; see ``engine.backends.base.Backend``."""

    name = "pytorch"

    def __init__(
        self,
        folder: ModelFolder,
        *,
        device: str = "auto",
        dtype: str = "auto",
        loras: Sequence[LoraFile] = (),
        merged: bool = True,
        memory: int | None = None,
    ) -> None:
        self.folder = folder
        self.loras = [one.record() | {"merged": merged} for one in loras]
        self._device = choose_device(device)
        self.device = str(self._device)
        self.dtype = choose_dtype(dtype, self._device)
        self.hashes = folder.hashes()  # also reads every value once, the first time
        self._torch_dtype = DTYPES[self.dtype]
        self._limit = memory_limit(self._device, memory)
        main = ram_bytes() if self._device.type == "cuda" else None
        first = (
            plan_memory(folder, self.dtype, self._limit, folder.own_side, folder.own_side, main=main)
            if self._limit
            else None
        )
        self.tight = bool(first and first.in_turn and self._device.type != "cpu")
        self.notes: list[Phrase] = []
        if first and first.encoder == "int8":
            self.notes.append(
                Phrase(
                    "The text encoder fits neither the graphics card nor main memory in 16 bits; "
                    "it works in 8 bits, and images differ a little"
                )
            )
        self._denoiser = load_denoiser(folder, self._device, self._torch_dtype, loras, merged)
        self._small = QuantizedWeights(self._denoiser, self._device, self.dtype, self.notes.append)
        self._compilation = (
            CompilationPolicy(self._denoiser, self._device, self.dtype, self.notes.append)
            if merged or not loras
            else None
        )
        # on a CPU unguided rows take half the time of guided ones however few they are; other devices need enough rows
        # to be busy
        self.supports = frozenset(
            {"plan", "timesteps"}
            | ({"halves"} if self._device.type != "cpu" else set())
            | ({"small"} if self._device.type == "cuda" else set())
        )
        self._vae = load_decoder(folder, torch.device("cpu") if self.tight else self._device, self._torch_dtype)
        self._lanes: dict[int, RowThreads] = {}
        self._encoder = Encoder(
            folder,
            self.hashes["text_encoder"],
            torch.device("cpu") if first and first.encoder == "cpu" else self._device,
            self._torch_dtype,
            self.lanes,
            transient=self._limit is not None,
            small=bool(first and first.encoder == "int8"),
        )
        try:
            self._schedule = Schedule.from_dict(folder.scheduler_config)
            build_sampler("dpm++2m", 2, self._schedule, [0], folder.scheduler_config)
        except (ValueError, TypeError, ArithmeticError, LookupError) as e:
            raise BrokenWeights(
                path=folder.root, why=Phrase("its scheduler cannot be used ({reason})", reason=e)
            ) from e

    def encode(self, texts: Sequence[str], upcoming: Callable[[int], Iterable[str]] | None = None) -> dict[str, Any]:
        return self._encoder.encode(texts, upcoming)

    def lanes(self, rows: int) -> RowThreads:
        count = max(1, min(CORES, rows)) if self._device.type == "cpu" else 1
        if count not in self._lanes:
            self._lanes[count] = RowThreads(count, lambda: torch.set_num_threads(max(1, CORES // count)))
        return self._lanes[count]

    def join(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        return parts[0] if len(parts) == 1 else torch.cat(list(parts))

    def fits(self, width: int, height: int) -> int:
        return (
            max(1, plan_memory(self.folder, self.dtype, self._limit, width, height).batch) if self._limit else 1 << 20
        )

    def noise(self, seeds: Sequence[int], width: int, height: int) -> torch.Tensor:
        scale = self.folder.vae_scale
        return noise(seeds, self._denoiser.config.in_channels, height // scale, width // scale).to(self._device)

    def small_weights(self, wanted: str) -> tuple[str, Phrase | None]:
        return self._small.prepare(wanted)

    def sampler(self, name: str, steps: int, seeds: Sequence[int], timesteps: Sequence[int] = ()) -> Sampler:
        return build_sampler(
            name, steps, replace(self._schedule, given=tuple(timesteps)), seeds, self.folder.scheduler_config
        )

    def predictor(
        self, requests: Sequence[ImageRequest], features: dict[str, Any], plan: SamplingPlan | None = None
    ) -> Predictor | PlannedPredictor:
        model = self._small.model(plan.weights if plan else "exact", self.tight)
        self._move_to_device(model, self._vae)
        compilation = self._compilation if model is self._denoiser else self._small.compilation
        if compilation is not None:
            compilation.before_batch(deterministic=self.tight or any(r.deterministic for r in requests))
        return (
            PlannedPredictor(model, requests, features, self._device, plan)
            if plan
            else Predictor(model, requests, features, self._device)
        )

    def decode(self, latents: torch.Tensor, tiled: bool = False) -> np.ndarray[Any, Any]:
        self._move_to_device(self._vae, self._denoiser)
        return decode(self._vae, latents, self.dtype, tiled, self.lanes(len(latents)))

    def is_out_of_memory(self, error: BaseException) -> bool:
        text = str(error)
        return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
            isinstance(error, RuntimeError) and ("can't allocate memory" in text or "not enough memory" in text)
        )

    def trim(self) -> None:
        self._encoder.drop()
        self.tight = self._device.type != "cpu"  # on the CPU there is nowhere else to go
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _move_to_device(self, needed: torch.nn.Module, idle: torch.nn.Module) -> None:
        """Where memory is tight, move the idle part to main memory before the needed one goes to the device."""
        if self.tight:
            idle.to("cpu")
            needed.to(self._device)
            if self._device.type == "cuda":
                torch.cuda.empty_cache()

    def libraries(self) -> dict[str, str]:
        from importlib.metadata import version  # importing the libraries themselves takes seconds

        return {
            "torch": torch.__version__,
            "diffusers": version("diffusers"),
            "transformers": version("transformers"),
            "threads": str(CORES),
            **({"blocks": "compiled"} if self._compilation and self._compilation.active else {}),
        }
