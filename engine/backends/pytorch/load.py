"""Devices, dtypes and weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from engine.backends.pytorch.decode import decode
from engine.backends.pytorch.denoise import Predictor, noise
from engine.backends.pytorch.encode import Encoder
from engine.backends.pytorch.planned import PlannedPredictor
from engine.backends.pytorch.samplers import build_sampler
from engine.backends.row_threads import RowThreads
from engine.checkpoint.layout import ModelFolder
from engine.checkpoint.lora import LoraFile
from engine.checkpoint.memory_plan import plan_memory
from engine.checkpoint.weights import read_header, weight_files
from engine.contract.errors import BrokenWeights, NoDevice, Phrase, WrongShape
from engine.contract.request import ImageRequest
from engine.contract.sampling_plan import SamplingPlan
from engine.models.compilation import Compiling
from engine.models.lora import Adapters
from engine.models.pixart import DiT, DiTConfig
from engine.models.quantization import QuantizedWeights
from engine.models.vae import VaeDecoder
from engine.models.vae import is_plain_vae as plain_vae
from engine.models.weight_loading import load_weights, shapes_match, without_init
from engine.sampling.schedule import Sampler, Schedule
from engine.system.ram import ram_bytes

CORES = torch.get_num_threads()  # before anything here changes it
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(wanted: str) -> torch.device:
    """The device asked for, or the best there is; ``auto:n`` is the n-th worker's share of the GPUs.

    Raises:
        NoDevice: it is not in this machine.
    """
    if wanted == "auto" or wanted.startswith("auto:") and wanted[5:].isdigit():
        if torch.cuda.is_available():
            return torch.device("cuda", int(wanted[5:] or 0) % torch.cuda.device_count())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError as e:
        raise NoDevice(device=wanted, why=Phrase("the names are auto, cpu, cuda, cuda:1 and so on, and mps")) from e
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise NoDevice(device=wanted, why=Phrase("PyTorch finds no CUDA device here"))
        if (device.index or 0) >= torch.cuda.device_count():
            raise NoDevice(device=wanted, why=Phrase("there are only {n}", n=torch.cuda.device_count()))
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise NoDevice(device=wanted, why=Phrase("this is not an Apple machine with Metal"))
    elif device.type not in ("cpu", "cuda", "mps"):
        raise NoDevice(device=wanted, why=Phrase("the names are auto, cpu, cuda, cuda:1 and so on, and mps"))
    return device


def choose_dtype(wanted: str, device: torch.device) -> str:
    """bf16 on GPUs that compute in it, fp16 on older ones, fp32 on the CPU; or what was asked for."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16"
    return "fp16" if device.type == "mps" else "fp32"


def _load_weights(
    module: torch.nn.Module,
    folder_files: list[Any],
    what: str,
    device: torch.device,
    dtype: torch.dtype,
    change: Callable[[str, torch.Tensor], torch.Tensor] | None = None,
) -> None:
    """Fill a module built on the meta device, tensor by tensor from the memory map; ``change`` sees each before it is cast.

    Raises:
        WrongShape, BrokenWeights: the file does not fit; the tensor is named.
    """
    from safetensors import safe_open

    wanted = dict(module.state_dict())
    for file in folder_files:
        table = read_header(file)
        with safe_open(file, "pt") as f:
            for name, entry in table.items():
                want = wanted.pop(name, None)
                if want is None:
                    if name.endswith(("pos_embed.pos_embed", "y_embedding")):  # buffers of older versions
                        continue
                    raise BrokenWeights(
                        path=file, why=Phrase("the tensor {name} belongs to no {part}", name=name, part=what)
                    )
                if tuple(want.shape) != entry.shape:
                    raise WrongShape(path=file, tensor=name, found=list(entry.shape), expected=list(want.shape))
                owner, _, leaf = name.rpartition(".")
                tensor = f.get_tensor(name)
                if change:
                    tensor = change(name, tensor)
                tensor = tensor.to(device=device, dtype=dtype)
                setattr(module.get_submodule(owner), leaf, torch.nn.Parameter(tensor, requires_grad=False))
    if wanted:
        raise BrokenWeights(path=folder_files[0], why=Phrase("the tensor {name} is missing", name=next(iter(wanted))))


def load_denoiser(
    folder: ModelFolder, device: torch.device, dtype: torch.dtype, loras: Sequence[LoraFile] = (), merged: bool = True
) -> DiT:
    """The transformer, weights checked against the config, with its LoRAs."""
    try:
        config = DiTConfig.from_dict(folder.denoiser_config)
        with without_init():
            model = DiT(config)
    except (ValueError, TypeError, RuntimeError, OverflowError) as e:
        raise BrokenWeights(
            path=folder.denoiser / "config.json", why=Phrase("it describes no PixArt transformer ({reason})", reason=e)
        ) from e
    adapters = Adapters(loras, merged) if loras else None
    _load_weights(model, weight_files(folder.denoiser), "PixArt transformer", device, dtype, adapters)
    if adapters is not None:
        adapters.attach(model)
    return model.eval()


def load_vae(folder: ModelFolder, device: torch.device, dtype: torch.dtype) -> Any:
    """diffusers' ``AutoencoderKL``."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.utils import logging

    logging.set_verbosity_error()
    for file in weight_files(folder.vae):
        read_header(file)
    try:
        # low_cpu_mem_usage makes diffusers refuse wrong shapes, and leave what is missing on the meta device instead of filling it at random
        vae = AutoencoderKL.from_pretrained(
            folder.vae, local_files_only=True, use_safetensors=True, torch_dtype=dtype, variant=_variant(folder)
        )
        if type(vae.config.norm_num_groups) is not int or vae.config.norm_num_groups < 1:
            raise ValueError(f"norm_num_groups is {vae.config.norm_num_groups!r}")
        for key in ("scaling_factor", "shift_factor"):
            value = vae.config.get(key) or 0
            if type(value) not in (int, float) or abs(value) > 1e9 or (key == "scaling_factor" and not value > 0):
                raise ValueError(f"{key} is {value!r}")
    except Exception as e:  # diffusers raises many kinds here: whatever it is, the part is unusable
        reason = (str(e).strip().splitlines() or [type(e).__name__])[0][:200]
        raise BrokenWeights(path=folder.vae, why=Phrase("it cannot be loaded ({reason})", reason=reason)) from e
    for name, p in vae.named_parameters():
        if p.is_meta:
            raise BrokenWeights(path=folder.vae, why=Phrase("the tensor {name} is missing", name=name))
    if vae.config.latent_channels != folder.denoiser_config.get("in_channels", 4):
        raise BrokenWeights(
            path=folder.vae,
            why=Phrase(
                "it has {found} latent channels, the denoiser {wanted}",
                found=vae.config.latent_channels,
                wanted=folder.denoiser_config.get("in_channels", 4),
            ),
        )
    return vae.eval().requires_grad_(False).to(device)


def load_decoder(folder: ModelFolder, device: torch.device, dtype: torch.dtype) -> Any:
    """What turns latents to pixels: ours for the usual config, else, and where something is wrong, diffusers' whole ``AutoencoderKL``."""
    config = plain_vae(folder.vae_config)
    if config and config["latent_channels"] == folder.denoiser_config.get("in_channels", 4):
        with without_init():
            vae = VaeDecoder(config)
        places = shapes_match(
            vae,
            weight_files(folder.vae),
            lambda name: name if name.startswith(("decoder.", "post_quant_conv.")) else None,
        )
        if places is not None:
            load_weights(vae, places, device, dtype, channels_last=True)
            return vae.eval()
    return load_vae(folder, device, dtype)


def _variant(folder: ModelFolder) -> str | None:
    first = weight_files(folder.vae)[0].name
    return next((v for v in ("fp16", "bf16") if f".{v}." in first), None)


def _room(device: torch.device, memory: int | None) -> int | None:
    """Bytes the model may use: what was asked for, else a graphics card's own; None on a CPU left alone, whose system pages."""
    if device.type != "cuda":
        return memory
    total = int(torch.cuda.get_device_properties(device).total_memory)
    if memory:
        torch.cuda.set_per_process_memory_fraction(min(1.0, memory / total), device)
    return min(memory or total, total)


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
        self.hashes = folder.hashes()  # also reads every number once, the first time
        self._torch_dtype = DTYPES[self.dtype]
        self._room = _room(self._device, memory)
        main = ram_bytes() if self._device.type == "cuda" else None
        first = (
            plan_memory(folder, self.dtype, self._room, folder.own_side, folder.own_side, main=main)
            if self._room
            else None
        )
        self.tight = bool(first and first.in_turn and self._device.type != "cpu")
        self.notes: list[Phrase] = []
        if first and first.encoder == "int8":
            self.notes.append(
                Phrase(
                    "The text encoder fits neither the graphics card nor main memory in 16 bits; it works in 8 bits, and pictures differ a little"
                )
            )
        self._denoiser = load_denoiser(folder, self._device, self._torch_dtype, loras, merged)
        self._small = QuantizedWeights(self._denoiser, self._device, self.dtype, self.notes.append)
        self._compiling = (
            Compiling(self._denoiser, self._device, self.dtype, self.notes.append) if merged or not loras else None
        )
        # on a CPU unguided rows take half the time of guided ones however few they are; on other devices there must be enough of them
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
            lone=self._room is not None,
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
        return max(1, plan_memory(self.folder, self.dtype, self._room, width, height).batch) if self._room else 1 << 20

    def noise(self, seeds: Sequence[int], width: int, height: int) -> torch.Tensor:
        scale = self.folder.vae_scale
        return noise(seeds, self._denoiser.config.in_channels, height // scale, width // scale).to(self._device)

    def small_weights(self, wanted: str) -> tuple[str, Phrase | None]:
        return self._small.ready(wanted)

    def sampler(self, name: str, steps: int, seeds: Sequence[int], timesteps: Sequence[int] = ()) -> Sampler:
        return build_sampler(
            name, steps, replace(self._schedule, given=tuple(timesteps)), seeds, self.folder.scheduler_config
        )

    def predictor(
        self, requests: Sequence[ImageRequest], features: dict[str, Any], plan: SamplingPlan | None = None
    ) -> Predictor | PlannedPredictor:
        model = self._small.model(plan.weights if plan else "exact", self.tight)
        self._bring(model, self._vae)
        compiling = self._compiling if model is self._denoiser else self._small.compiling
        if compiling is not None:
            compiling.before_batch(deterministic=self.tight or any(r.deterministic for r in requests))
        return (
            PlannedPredictor(model, requests, features, self._device, plan)
            if plan
            else Predictor(model, requests, features, self._device)
        )

    def decode(self, latents: torch.Tensor, tiled: bool = False) -> np.ndarray[Any, Any]:
        self._bring(self._vae, self._denoiser)
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

    def _bring(self, wanted: torch.nn.Module, idle: torch.nn.Module) -> None:
        """Where memory is tight, put the idle part into main memory before the wanted one comes to the device."""
        if self.tight:
            idle.to("cpu")
            wanted.to(self._device)
            if self._device.type == "cuda":
                torch.cuda.empty_cache()

    def libraries(self) -> dict[str, str]:
        from importlib.metadata import version  # importing the libraries themselves takes seconds

        return {
            "torch": torch.__version__,
            "diffusers": version("diffusers"),
            "transformers": version("transformers"),
            "threads": str(CORES),
            **({"blocks": "compiled"} if self._compiling and self._compiling.active else {}),
        }
