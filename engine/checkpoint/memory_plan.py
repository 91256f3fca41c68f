"""What fits into a given memory, and how the parts share it. Arithmetic from configs and file headers; without torch.

The rules: weights are what the headers count, in the width they are run in. A language model is only needed while
captions are encoded: it and the denoiser never have to be there together. If even alone it does not fit, it stays in
main memory and works there. If denoiser and decoder do not fit together either, they alternate too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from engine.checkpoint.layout import ModelFolder
from engine.checkpoint.weights import read_header, weight_files

SIZES = (8, 12, 16, 24)  # GB of the graphics cards that people have
#: bytes as stored: a larger text encoder runs in 16 bits on a CPU too, where the other parts run in fp32 (7 B
#: parameters would need 28 GB)
SIXTEEN_BIT_ENCODER = 4 << 30
#: bytes as stored: a larger text encoder leaves memory before denoising, and is worth loading only for many captions
EVICTED_ENCODER = 1 << 30
WIDTH = {"fp32": 4, "bf16": 2, "fp16": 2}
STORED = {"fp32": "F32", "bf16": "BF16", "fp16": "F16"}  # the names safetensors has for them
RESERVE = 0.06  # of the memory: kernels, the allocator's holes, the desktop's share
#: tensors as large as ``[rows, tokens, width]`` that are alive at the denoiser's peak, in a block's second half: its
#: input, the residual, query and output of both attentions and the parts by caption length (5), norm and modulation
#: (2), the four-fold inner layer before and after its activation (8); counted with a dispatch mode over the real module
ALIVE = 16
#: the same on a CPU with folded captions: the block's input and residual, what self-attention gave, norm and modulation
#: (4), the inner layer twice (8), and three that are the heap's rounding (seen, not derived)
ALIVE_FOLDED = 15
#: full-size maps of the decoder's second width that are alive at its peak: input, norm, activation, and the
#: convolution's own copies of what goes in and what comes out
MAPS = 5
#: On a CPU three of them are; the heap keeps two more of smaller ones, but not more than this for one thread, and the
#: convolutions' kernels take some too (bytes; seen, not derived)
MAPS_ON_CPU, HEAPED, KERNELS = 3, 85 * 10**6, 2 << 20
#: bytes that each computing thread's matrix library keeps for packing
WORKSPACE = 6 << 20
#: On a CPU tensors under 32 MiB come from the C library's heap, and the holes that tensors of other sizes leave in it
#: are not given back; larger ones are mapped one by one and vanish when they are freed
HEAP, HOLES = 32 << 20, 0.6
#: bytes that one caption, premultiplied with its weights (``engine.models.caption_attention``), may take in all layers
FOLDED = 4 << 20
#: bytes of an int8 language model besides half its 16-bit weights: embeddings' other half, one layer in 16 bits, scales
SCALES = 600 << 20
#: bytes of main memory for the system, the program and its libraries
KEPT = 3 << 30
SKIPPED = (
    "lm_head.",
    "encoder.conv_",
    "encoder.down_blocks.",
    "encoder.mid_block.",
    "quant_conv.",
)  # tensors that are never loaded, by part


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """How a model is run within ``limit`` bytes; ``peak`` is the predicted maximum."""

    limit: int
    peak: int
    batch: int  # images denoised together, at most; 0: not even one fits
    encoder: str  # "device": there while encoding; "int8": there in 8 bits; "cpu": in main memory
    in_turn: bool  # denoiser and decoder are not on the device together


@dataclass(frozen=True, kw_only=True)
class MemoryNeeds:
    """Bytes of a model's parts in the dtype they run in."""

    denoiser: int
    encoder: int
    vae: int


def memory_needs(model: ModelFolder, dtype: str) -> MemoryNeeds:
    """Weights by part, from the headers, without tensors that images do not need. A language model above 4 GiB is run
    in 16 bits whatever ``dtype`` is.

    Raises:
        BrokenWeights, NeedsConversion
    """

    def count(part: str) -> tuple[int, int]:
        entries = [
            e
            for file in weight_files(getattr(model, part))
            for name, e in read_header(file).items()
            if not name.startswith(SKIPPED)
        ]
        numbers = 0
        for entry in entries:
            n = 1
            for side in entry.shape:
                n *= side
            numbers += n
        return numbers, sum(e.stop - e.start for e in entries)

    width = WIDTH[dtype]
    numbers, stored = count("text_encoder")
    return MemoryNeeds(
        denoiser=width * count("denoiser")[0],
        encoder=numbers * (2 if stored > SIXTEEN_BIT_ENCODER else width),
        vae=width * count("vae")[0],
    )


def denoising_bytes(
    model: ModelFolder,
    dtype: str,
    width: int,
    height: int,
    images: int,
    tokens: int | None = None,
    *,
    folds: bool = False,
) -> int:
    """Bytes besides the weights while ``images`` are denoised under guidance: two rows each, and their captions' keys
    and values.

    ``folds``: short captions are in memory folded too, the images' own one by one and the negative one once.
    Without ``tokens`` the worst length counts.
    """
    config = model.denoiser_config
    heads, layers = int(config.get("num_attention_heads") or 16), int(config.get("num_layers") or 28)
    wide = heads * int(config.get("attention_head_dim") or 72)
    patches = (width // model.multiple) * (height // model.multiple)

    def captions(length: int) -> int:
        folded = 2 * layers * heads * length * wide
        fits = folds and length > 1 and 2 * heads * length <= wide and WIDTH[dtype] * folded <= FOLDED
        return 2 * 2 * layers * length * wide + (folded if fits else 0)

    lengths = [tokens] if tokens else [model.max_tokens, *range(1, min(model.max_tokens, wide // (2 * heads)) + 1)]
    return (
        WIDTH[dtype] * images * (2 * (ALIVE_FOLDED if folds else ALIVE) * patches * wide + max(map(captions, lengths)))
    )


def decoding_bytes(model: ModelFolder, dtype: str, width: int, height: int, *, cpu: bool = False) -> int:
    """Bytes besides the weights while one image is decoded at once (they are decoded one by one)."""
    channels = list(model.vae_config.get("block_out_channels", [128, 256]))
    one = WIDTH[dtype] * width * height * int(channels[min(1, len(channels) - 1)])
    return MAPS_ON_CPU * one + min((MAPS - MAPS_ON_CPU) * one, HEAPED) + KERNELS if cpu else MAPS * one


def holes(model: ModelFolder, dtype: str, width: int, height: int, images: int) -> int:
    """Bytes of the heap that are idle at the denoiser's peak on a CPU, where one thread works on ``images``: half of
    what is alive is as large as ``[rows, tokens, width]``, half four times that."""
    config = model.denoiser_config
    wide = int(config.get("num_attention_heads") or 16) * int(config.get("attention_head_dim") or 72)
    unit = WIDTH[dtype] * 2 * images * (width // model.multiple) * (height // model.multiple) * wide
    return int(sum(HOLES * ALIVE_FOLDED / 2 * unit for block in (unit, 4 * unit) if block < HEAP))


@dataclass(frozen=True, kw_only=True)
class LoadingPeak:
    """Resident bytes of one part on a CPU: at the worst moment of loading, and from then on."""

    peak: int
    after: int


def loading_bytes(folder: Path, dtype: str, *, copied: bool = False) -> LoadingPeak:
    """Weights in the dtype of their file stay in its memory map and become resident when they are first used; others
    are copied, file by file, and each file's map is resident until all of it is. ``copied``: always so. Tensors nobody
    asks for are never read.

    Raises:
        BrokenWeights, NeedsConversion
    """
    done = peak = 0
    for file in weight_files(folder):
        entries = [e for name, e in read_header(file).items() if not name.startswith(SKIPPED)]
        stored = sum(e.stop - e.start for e in entries)
        wanted = sum(math.prod(e.shape) for e in entries) * WIDTH[dtype]
        done += wanted
        peak = max(peak, done + (0 if not copied and all(e.dtype == STORED[dtype] for e in entries) else stored))
    return LoadingPeak(peak=peak, after=done)


def on_cpu(
    model: ModelFolder, dtype: str, width: int, height: int, images: int, *, lanes: int, tokens: int | None = None
) -> dict[str, int]:
    """Bytes above the loaded libraries at the worst moment of each stage on a CPU, where parts stay: load, encode,
    denoise, decode, and peak.

    ``lanes`` threads share the images of a micro-batch; ``tokens`` is the longest caption, else the most the model
    reads. Weights' files are taken as examined before. Equal to what was measured within 10 %: `python -m
    benchmarks.memory`.

    Raises:
        BrokenWeights, NeedsConversion
    """
    stored = sum(e.stop - e.start for file in weight_files(model.text_encoder) for e in read_header(file).values())
    text_dtype = "bf16" if stored > SIXTEEN_BIT_ENCODER and dtype == "fp32" else dtype
    denoiser, text, vae = (
        loading_bytes(model.denoiser, dtype),
        loading_bytes(model.text_encoder, text_dtype),
        loading_bytes(model.vae, dtype, copied=True),
    )
    lazy = denoiser.peak == denoiser.after  # in its file's dtype: nothing of it is resident before the first step
    at_first = 0 if lazy else denoiser.after
    work = lanes * WORKSPACE
    busy = min(lanes, images)
    idle = busy * holes(model, dtype, width, height, -(-images // busy))
    stages = {
        "load": max(0 if lazy else denoiser.peak, at_first + vae.peak),
        "encode": at_first + vae.after + text.peak + work,
        "denoise": denoiser.after
        + vae.after
        + text.after
        + denoising_bytes(model, dtype, width, height, images, tokens, folds=True)
        + idle
        + work,
        "decode": denoiser.after
        + vae.after
        + text.after
        + busy * decoding_bytes(model, dtype, width, height, cpu=True)
        + work,
    }
    return stages | {"peak": max(stages.values())}


def plan_memory(
    model: ModelFolder, dtype: str, limit: int, width: int, height: int, *, most: int = 32, main: int | None = None
) -> MemoryPlan:
    """The best way to run ``model`` within ``limit`` bytes of a device that is not the main memory.

    A language model that does not fit there works in main memory, with the very same features; where even that has no
    room (``main`` bytes; None: enough) it works on the device in 8 bits, if it fits so and is a plain Llama.
    """
    room = int(limit * (1 - RESERVE))
    need = memory_needs(model, dtype)
    decode = decoding_bytes(model, dtype, width, height)
    small = need.encoder // 2 + SCALES  # embeddings stay in 16 bits: they are a few per cent
    encoder = "device" if need.encoder <= room else "cpu"
    if (
        encoder == "cpu"
        and main is not None
        and need.encoder + KEPT > main
        and small <= room
        and model.text_config.get("model_type") == "llama"
    ):
        encoder = "int8"

    def largest(beside: int) -> int:
        one = denoising_bytes(model, dtype, width, height, 1)
        return max(0, min(most, (room - need.denoiser - beside) // one))

    in_turn = largest(need.vae) < 1 or need.denoiser + need.vae + decode > room
    batch = largest(0 if in_turn else need.vae)
    beside = 0 if in_turn else need.vae
    peak = max(
        need.denoiser + beside + denoising_bytes(model, dtype, width, height, max(1, batch)),
        need.vae + decode + (0 if in_turn else need.denoiser),
        need.encoder if encoder == "device" else small if encoder == "int8" else 0,
    )
    return MemoryPlan(limit=limit, peak=peak, batch=batch, encoder=encoder, in_turn=in_turn)
