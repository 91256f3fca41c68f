"""What a training run is asked to do: frozen, keyword-only, standard library only. ``trainer.config_file`` reads it from TOML.

``choice``, ``low`` and ``high`` in a field's metadata are its range; ``free`` marks what may change when a run is resumed,
since it does not change what is learned.
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
    """The model to start from: a name or folder, with parts from elsewhere for a bare denoiser."""

    model: str = _free("")  # what is bound to a run are the parts' hashes, not where they lie
    text_encoder: str = _free("")
    vae: str = _free("")


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset folder; ``weight`` 2 shows each of its pictures twice a round, 0.5 every other round."""

    folder: str = ""
    weight: float = _number(1.0, 0, 1000, open_low=True)


@dataclass(frozen=True, kw_only=True)
class Lora:
    """W' = W + alpha / rank * B A on the layers whose names match a pattern; ``alpha`` 0 means the rank."""

    rank: int = _number(16, 1, 1024)
    alpha: float = _number(0.0, 0, 4096)
    layers: tuple[str, ...] = ATTENTION
    dropout: float = _number(0.0, 0, 0.95)
    trigger: str = ""  # a word put before every caption


@dataclass(frozen=True, kw_only=True)
class Scratch:
    """The transformer of kind ``scratch``; 0 takes the base model's number. Its other parts are the base model's."""

    layers: int = _number(0, 0, 200)
    heads: int = _number(0, 0, 128)
    head_dim: int = _number(0, 0, 256)
    patch_size: int = _number(0, 0, 16)
    out_channels: int = _number(0, 0, 64)
    sample_size: int = _number(0, 0, 1024)  # latent side
    interpolation_scale: float = _number(0.0, 0, 16)


@dataclass(frozen=True, kw_only=True)
class Data:
    """How pictures and captions are drawn."""

    resolution: int = _number(0, 0, 8192)  # pixels: buckets have about this side squared; 0 is the model's own
    buckets: bool = True
    max_aspect: float = _number(2.0, 1, 8)
    flip: float = _number(0.0, 0, 1)  # share shown mirrored
    japanese: float = _number(0.5, 0, 1)  # share of Japanese where a picture has captions in both
    caption_dropout: float = _number(0.1, 0, 1)
    latents: str = _one("mode", "mode", "sample")  # of the VAE's posterior; its spread is tiny, or was never trained
    heldout: float = _number(0.05, 0, 0.5)
    text_dtype: str = _one("auto", "auto", "fp32", "bf16", "fp16")
    memory_mb: int = _number(2048, 0, 1 << 20, free=True)  # of features kept in main memory


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    """``betas`` takes a third number for CAME. ``fused`` runs one kernel for all weights where the device has it."""

    name: str = _one("adamw", "adamw", "adamw8bit", "came")
    lr: float = _number(1e-4, 0, 10, open_low=True)
    betas: tuple[float, ...] = (0.9, 0.999, 0.9999)
    eps: float = _number(1e-8, 0, 1, open_low=True)
    weight_decay: float = _number(0.01, 0, 10)
    fused: bool = True
    clip: float = _number(1.0, 0, 1e6)  # largest norm of all gradients; 0 leaves them


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The learning rate over time: up over ``warmup`` steps, then along ``kind`` down to ``floor`` of its peak."""

    kind: str = _one("cosine", "constant", "cosine", "linear")
    warmup: int = _number(100, 0, 1_000_000)
    floor: float = _number(0.0, 0, 1)
    steps: int = _number(0, 0, 100_000_000, free=True)  # one of the two; a run may be made longer when it is resumed
    epochs: float = _number(0.0, 0, 1_000_000, free=True)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A step learns from ``size * accumulation`` pictures over all processes, ``micro`` at once on a device (0: as many as fit)."""

    size: int = _number(4, 1, 65536)
    accumulation: int = _number(1, 1, 65536)
    micro: int = _number(0, 0, 65536)


@dataclass(frozen=True, kw_only=True)
class Loss:
    """``min_snr`` is gamma of Hang et al., arXiv 2303.09556; 0 weighs all timesteps alike."""

    prediction: str = _one("auto", "auto", "epsilon", "v_prediction", "sample")
    min_snr: float = _number(5.0, 0, 1000)
    timesteps: str = _one("uniform", "uniform", "logit-normal")
    mean: float = _number(0.0, -10, 10)  # of logit-normal; above 0 leans to noise
    std: float = _number(1.0, 0, 10, open_low=True)


@dataclass(frozen=True, kw_only=True)
class Ema:
    """Weights averaged over time, kept in fp32; ``decay`` 0 keeps none."""

    decay: float = _number(0.0, 0, 0.999999)


@dataclass(frozen=True, kw_only=True)
class Device:
    """``dtype`` is what is computed in; what is learned is kept in fp32."""

    device: str = _free("auto")
    dtype: str = _one("auto", "auto", "fp32", "bf16", "fp16")
    checkpointing: bool = False  # compute activations again instead of keeping them
    sharding: str = _one("ddp", "ddp", "fsdp2", free=True)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Every so many steps; the last ``keep`` and the best by held-out loss stay. ``result`` is taken from the last or the best."""

    every: int = _number(500, 1, 100_000_000, free=True)
    keep: int = _number(2, 1, 1000, free=True)
    best: bool = _free(True)
    result: str = _one("last", "last", "best", free=True)


@dataclass(frozen=True, kw_only=True)
class Heldout:
    """The loss on pictures set aside, every so many steps (0: never), on at most ``limit`` pictures."""

    every: int = _number(100, 0, 100_000_000, free=True)
    limit: int = _number(128, 1, 100_000)
    window: int = _number(5, 3, 1000, free=True)  # evaluations that the overfit alarm looks at


@dataclass(frozen=True, kw_only=True)
class Previews:
    """Pictures from fixed prompts and seeds, every so many steps (0: never)."""

    prompts: tuple[str, ...] = _free(())
    every: int = _number(500, 0, 100_000_000, free=True)
    size: int = _number(0, 0, 8192, free=True)
    steps: int = _number(20, 1, 1000, free=True)
    guidance: float = _number(4.5, 1, 100, free=True)
    seed: int = _number(0, 0, 2**32 - 1, free=True)


@dataclass(frozen=True, kw_only=True)
class Log:
    """``every`` so many steps one line; curves in TensorBoard too, where it is installed."""

    every: int = _number(1, 1, 1_000_000, free=True)
    tensorboard: bool = _free(True)


@dataclass(frozen=True, kw_only=True)
class Config:
    """One run."""

    kind: str = _one("lora", "lora", "full", "scratch")
    name: str = _free("")  # of the result; the output folder's name where it is empty
    output: str = _free("")
    licence: str = _free("")  # of the result, an SPDX expression; nothing is guessed where it is empty
    install: bool = _free(True)  # copy the result to where models and LoRAs are found by name
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
        """``section.key`` -> value of everything that decides what is learned, but for the files' own hashes."""
        found: dict[str, Any] = {}
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if dataclasses.is_dataclass(value):
                found |= {
                    f"{f.name}.{g.name}": getattr(value, g.name)
                    for g in dataclasses.fields(value)
                    if not g.metadata.get("free")
                }
            elif not f.metadata.get("free"):
                found[f.name] = [v.weight for v in value] if f.name == "dataset" else value
        return dict(json.loads(json.dumps(found)))

    @property
    def sha256(self) -> str:
        """Of ``bound()``: two runs of one hash learn alike."""
        return hashlib.sha256(json.dumps(self.bound(), sort_keys=True, ensure_ascii=False).encode("utf-8")).hexdigest()
