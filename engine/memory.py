"""What fits into a given memory, and how the parts take turns in it. Arithmetic from configs and file headers; no torch.

The rules: weights are what the headers count, in the width they are run in. A language model is only needed while captions are
encoded: it and the denoiser never have to be there together. If even alone it does not fit, it stays in main memory and works
there. If denoiser and decoder do not fit together either, they take turns too.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.checkpoint.layout import ModelFolder
from engine.checkpoint.weights import read_header, weight_files

SIZES = (8, 12, 16, 24)  # GB of the graphics cards that people have
WIDTH = {"fp32": 4, "bf16": 2, "fp16": 2}
RESERVE = 0.06  # of the memory: kernels, the allocator's holes, the desktop's share
#: tensors as large as ``[rows, tokens, width]`` that are alive at the denoiser's peak: input, residual, norm, modulation, the four-fold
#: inner layer before and after its activation
ALIVE = 14
#: full-size maps of the decoder's second width that are alive at its peak
MAPS = 3


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a model is run within ``limit`` bytes; ``peak`` is the predicted most."""

    limit: int
    peak: int
    batch: int  # pictures denoised together, at most; 0: not even one fits
    encoder: str  # "device": there while encoding; "cpu": in main memory
    in_turn: bool  # denoiser and decoder are not on the device together


@dataclass(frozen=True, kw_only=True)
class Needs:
    """Bytes of a model's parts in the dtype they run in."""

    denoiser: int
    encoder: int
    vae: int


def needs(model: ModelFolder, dtype: str) -> Needs:
    """Weights by part, from the headers. A language model above 4 GiB is run in 16 bits whatever ``dtype`` is.

    Raises:
        BrokenWeights, NeedsConversion
    """
    def count(part: str) -> tuple[int, int]:
        entries = [e for file in weight_files(getattr(model, part)) for e in read_header(file).values()]
        numbers = 0
        for entry in entries:
            n = 1
            for side in entry.shape:
                n *= side
            numbers += n
        return numbers, sum(e.stop - e.start for e in entries)

    width = WIDTH[dtype]
    numbers, stored = count("text_encoder")
    return Needs(denoiser=width * count("denoiser")[0], encoder=numbers * (2 if stored > 4 << 30 else width), vae=width * count("vae")[0])


def drawing(model: ModelFolder, dtype: str, width: int, height: int, pictures: int, tokens: int | None = None) -> int:
    """Bytes besides the weights while ``pictures`` are denoised under guidance: two rows each, and their captions' keys and values."""
    config = model.denoiser_config
    wide = int(config.get("num_attention_heads") or 16) * int(config.get("attention_head_dim") or 72)
    places = (width // model.multiple) * (height // model.multiple)
    captions = 2 * int(config.get("num_layers") or 28) * (tokens or model.max_tokens) * wide
    return WIDTH[dtype] * 2 * pictures * (ALIVE * places * wide + captions)


def decoding(model: ModelFolder, dtype: str, width: int, height: int) -> int:
    """Bytes besides the weights while one picture is decoded whole (they are decoded one by one)."""
    channels = list(model.vae_config.get("block_out_channels", [128, 256]))
    return WIDTH[dtype] * MAPS * width * height * int(channels[min(1, len(channels) - 1)])


def plan(model: ModelFolder, dtype: str, limit: int, width: int, height: int, *, most: int = 32) -> Plan:
    """The best way to run ``model`` within ``limit`` bytes of a device that is not the main memory."""
    room = int(limit * (1 - RESERVE))
    need = needs(model, dtype)
    decode = decoding(model, dtype, width, height)
    encoder = "device" if need.encoder <= room else "cpu"

    def largest(beside: int) -> int:
        one = drawing(model, dtype, width, height, 1)
        return max(0, min(most, (room - need.denoiser - beside) // one))

    in_turn = largest(need.vae) < 1 or need.denoiser + need.vae + decode > room
    batch = largest(0 if in_turn else need.vae)
    beside = 0 if in_turn else need.vae
    peak = max(need.denoiser + beside + drawing(model, dtype, width, height, max(1, batch)),
               need.vae + decode + (0 if in_turn else need.denoiser), need.encoder if encoder == "device" else 0)
    return Plan(limit=limit, peak=peak, batch=batch, encoder=encoder, in_turn=in_turn)
