"""The configuration of a training run: frozen, keyword-only, standard library only.

``trainer.config_file`` reads it from TOML. ``choice``, ``low`` and ``high`` in a field's metadata are its range;
``free`` marks what may change when a run is resumed, since it does not affect what is learned.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

ATTENTION = ("transformer_blocks.*.attn1.*", "transformer_blocks.*.attn2.*")


def _one(default: Any, *choices: str, free: bool = False) -> Any:
    return field(default=default, metadata={"choice": choices, "free": free})


def _number(default: Any, low: float, high: float, *, free: bool = False, open_low: bool = False) -> Any:
    return field(default=default, metadata={"low": low, "high": high, "free": free, "open_low": open_low})


def _free(default: Any) -> Any:
    return field(default=default, metadata={"free": True})


@dataclass(frozen=True, kw_only=True)
class Base:
    """The base model: a name or folder, and the parts that a bare denoiser needs from elsewhere."""

    model: str = _free("")  # a run is bound to the hashes of the parts, not to their paths
    text_encoder: str = _free("")
    vae: str = _free("")


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset folder; ``weight`` 2 shows each of its images twice an epoch, 0.5 every other epoch."""

    folder: str = ""
    weight: float = _number(1.0, 0, 1000, open_low=True)


@dataclass(frozen=True, kw_only=True)
class Lora:
    """W' = W + alpha / rank * B A on the layers whose names match a pattern; ``alpha`` 0 means the rank."""

    rank: int = _number(16, 1, 1024)
    alpha: float = _number(0.0, 0, 4096)
    layers: tuple[str, ...] = ATTENTION
    dropout: float = _number(0.0, 0, 0.95)
    trigger: str = ""  # text put before every caption


@dataclass(frozen=True, kw_only=True)
class Scratch:
    """The transformer of kind ``scratch``; 0 takes the base model's value. The other parts are the base model's."""

    layers: int = _number(0, 0, 200)
    heads: int = _number(0, 0, 128)
    head_dim: int = _number(0, 0, 256)
    patch_size: int = _number(0, 0, 16)
    out_channels: int = _number(0, 0, 64)
    sample_size: int = _number(0, 0, 1024)  # latent side
    interpolation_scale: float = _number(0.0, 0, 16)


@dataclass(frozen=True, kw_only=True)
class Data:
    """How images and captions are selected and prepared."""

    resolution: int = _number(0, 0, 8192)  # pixels: the area of a bucket is about its square; 0 is the model's own
    buckets: bool = True
    max_aspect: float = _number(2.0, 1, 8)
    flip: float = _number(0.0, 0, 1)  # share shown mirrored
    japanese: float = _number(0.5, 0, 1)  # share of Japanese if an image has captions in both languages
    caption_dropout: float = _number(0.1, 0, 1)
    latents: str = _one("mode", "mode", "sample")  # of the VAE's posterior; its spread is tiny, or was never trained
    heldout: float = _number(0.05, 0, 0.5)
    text_dtype: str = _one("auto", "auto", "fp32", "bf16", "fp16")
    memory_mb: int = _number(2048, 0, 1 << 20, free=True)  # of features cached in main memory


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    """``betas`` has a third value for CAME. ``fused`` runs one kernel for all weights if the device has it."""

    name: str = _one("adamw", "adamw", "adamw8bit", "came")
    lr: float = _number(1e-4, 0, 10, open_low=True)
    betas: tuple[float, ...] = (0.9, 0.999, 0.9999)
    eps: float = _number(1e-8, 0, 1, open_low=True)
    weight_decay: float = _number(0.01, 0, 10)
    fused: bool = True
    clip: float = _number(1.0, 0, 1e6)  # maximal norm of all gradients; 0 does not clip


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The learning rate schedule: up over ``warmup`` steps, then along ``kind`` down to ``floor`` times the peak."""

    kind: str = _one("cosine", "constant", "cosine", "linear")
    warmup: int = _number(100, 0, 1_000_000)
    floor: float = _number(0.0, 0, 1)
    steps: int = _number(0, 0, 100_000_000, free=True)  # either this or epochs; a resumed run may be longer
    epochs: float = _number(0.0, 0, 1_000_000, free=True)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A step uses ``size * accumulation`` images over all processes, ``micro`` of them at once on a device.

    ``micro`` 0: as many as fit.
    """

    size: int = _number(4, 1, 65536)
    accumulation: int = _number(1, 1, 65536)
    micro: int = _number(0, 0, 65536)


@dataclass(frozen=True, kw_only=True)
class Loss:
    """``min_snr`` is gamma of Hang et al., arXiv 2303.09556; 0 gives all timesteps equal weight."""

    prediction: str = _one("auto", "auto", "epsilon", "v_prediction", "sample")
    min_snr: float = _number(5.0, 0, 1000)
    timesteps: str = _one("uniform", "uniform", "logit-normal")
    mean: float = _number(0.0, -10, 10)  # of logit-normal; above 0 favours noisy timesteps
    std: float = _number(1.0, 0, 10, open_low=True)


@dataclass(frozen=True, kw_only=True)
class Ema:
    """Exponential moving average of the weights, stored in fp32; ``decay`` 0 turns it off."""

    decay: float = _number(0.0, 0, 0.999999)


@dataclass(frozen=True, kw_only=True)
class Device:
    """``dtype`` is the dtype of computation; trainable parameters are stored in fp32."""

    device: str = _free("auto")
    dtype: str = _one("auto", "auto", "fp32", "bf16", "fp16")
    checkpointing: bool = False  # recompute activations instead of storing them
    sharding: str = _one("ddp", "ddp", "fsdp2", free=True)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Saved every so many steps; the last ``keep`` and the one with the best held-out loss are retained.

    ``result``: whether the result is taken from the last or the best.
    """

    every: int = _number(500, 1, 100_000_000, free=True)
    keep: int = _number(2, 1, 1000, free=True)
    best: bool = _free(True)
    result: str = _one("last", "last", "best", free=True)


@dataclass(frozen=True, kw_only=True)
class Heldout:
    """Validation on held-out images every so many steps (0: never), on at most ``limit`` of them."""

    every: int = _number(100, 0, 100_000_000, free=True)
    limit: int = _number(128, 1, 100_000)
    window: int = _number(5, 3, 1000, free=True)  # validations that the overfitting alarm considers


@dataclass(frozen=True, kw_only=True)
class Previews:
    """Images from fixed prompts and seeds every so many steps (0: never)."""

    prompts: tuple[str, ...] = _free(())
    every: int = _number(500, 0, 100_000_000, free=True)
    size: int = _number(0, 0, 8192, free=True)
    steps: int = _number(20, 1, 1000, free=True)
    guidance: float = _number(4.5, 1, 100, free=True)
    seed: int = _number(0, 0, 2**32 - 1, free=True)


@dataclass(frozen=True, kw_only=True)
class Log:
    """One line ``every`` so many steps; also curves in TensorBoard if it is installed."""

    every: int = _number(1, 1, 1_000_000, free=True)
    tensorboard: bool = _free(True)


@dataclass(frozen=True, kw_only=True)
class Config:
    """One run."""

    kind: str = _one("lora", "lora", "full", "scratch")
    name: str = _free("")  # of the result; empty: the name of the output folder
    output: str = _free("")
    licence: str = _free("")  # of the result, an SPDX expression; nothing is guessed if it is empty
    install: bool = _free(True)  # copy the result to the folder of models or LoRAs, where it is values by name
    policy: str = _free("commercial")  # of the licence gate: commercial, noncommercial or a TOML file
    seed: int = _number(0, 0, 2**63 - 1)
    save_dtype: str = _one(
        "auto", "auto", "fp32", "bf16", "fp16"
    )  # auto: a LoRA in fp32, a model as its base is stored
    base: Base = Base()
    dataset: tuple[Dataset, ...] = ()
    lora: Lora = Lora()
    scratch: Scratch = Scratch()
    data: Data = Data()
    optimiser: Optimiser = Optimiser()
    schedule: Schedule = Schedule()
    batch: Batch = Batch()
    loss: Loss = Loss()
    ema: Ema = Ema()
    device: Device = Device()
    checkpoint: Checkpoint = Checkpoint()
    heldout: Heldout = Heldout()
    previews: Previews = Previews()
    log: Log = Log()

    def as_data(self) -> dict[str, Any]:
        """JSON-ready."""
        return dict(json.loads(json.dumps(dataclasses.asdict(self))))

    def bound(self) -> dict[str, Any]:
        """``section.key`` -> value of everything that determines what is learned, except the hashes of files."""
        values: dict[str, Any] = {}
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if dataclasses.is_dataclass(value):
                values |= {
                    f"{f.name}.{g.name}": getattr(value, g.name)
                    for g in dataclasses.fields(value)
                    if not g.metadata.get("free")
                }
            elif not f.metadata.get("free"):
                values[f.name] = [v.weight for v in value] if f.name == "dataset" else value
        return dict(json.loads(json.dumps(values)))

    @property
    def sha256(self) -> str:
        """SHA-256 of ``bound()``: runs with the same hash and inputs learn the same."""
        return hashlib.sha256(json.dumps(self.bound(), sort_keys=True, ensure_ascii=False).encode("utf-8")).hexdigest()
