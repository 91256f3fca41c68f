"""Latents to pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort

from engine.contract.errors import NotFinite

TILE = 64  # side in latent pixels, where the model does not say at what size its VAE was trained
OVERLAP = 4  # a quarter of a tile


def _run(session: Any, latents: np.ndarray[Any, Any], arena: str) -> np.ndarray[Any, Any]:
    """float32 ``[1, 3, height, width]`` in -1 to 1 from one image's latents."""
    tensor = session.get_inputs()[0]
    options = ort.RunOptions()
    options.log_severity_level = 4
    # decoding allocates by far the largest blocks: return them
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", arena)
    kind = np.float16 if tensor.type == "tensor(float16)" else np.float32
    out: np.ndarray[Any, Any] = session.run(None, {tensor.name: np.ascontiguousarray(latents, kind)}, options)[0]
    return out.astype(np.float32, copy=False)


def tile_starts(length: int, tile: int) -> list[int]:
    """The starts of tiles that cover ``length`` and overlap by a quarter or more."""
    if length <= tile:
        return [0]
    count = -(-(length - tile) // (tile - tile // OVERLAP)) + 1
    return [round(n * (length - tile) / (count - 1)) for n in range(count)]


def _ramp(length: int, edge: int, first: bool, last: bool) -> np.ndarray[Any, Any]:
    """A tile's weights along one side: lower towards a neighbour."""
    rise = (np.arange(length, dtype=np.float32) + 0.5) / edge
    weight = np.ones(length, np.float32)
    if not first:
        weight = np.minimum(weight, rise)
    return weight if last else np.minimum(weight, rise[::-1])


def _tiled(session: Any, latents: np.ndarray[Any, Any], scale: int, tile: int, arena: str) -> np.ndarray[Any, Any]:
    """As ``_run`` but from overlapping tiles that are blended.

    The image is nearly the same, since every tile is normalised by itself.
    """
    height, width = latents.shape[2:]
    total = np.zeros((1, 3, height * scale, width * scale), np.float32)
    weights = np.zeros((height * scale, width * scale), np.float32)
    rows, columns = tile_starts(height, tile), tile_starts(width, tile)
    edge = max(1, tile // OVERLAP * scale)
    for y in rows:
        for x in columns:
            part = _run(session, latents[:, :, y : y + tile, x : x + tile], arena)
            tall, wide = part.shape[2:]
            weight = _ramp(tall, edge, y == rows[0], y == rows[-1])[:, None] * _ramp(
                wide, edge, x == columns[0], x == columns[-1]
            )
            area = slice(y * scale, y * scale + tall), slice(x * scale, x * scale + wide)
            total[:, :, *area] += part * weight
            weights[area] += weight
    return total / weights


def decode(
    session: Any, latents: Any, *, config: dict[str, Any], scale: int, dtype: str, tiled: bool, arena: str
) -> np.ndarray[Any, Any]:
    """uint8 RGB ``[n, height, width, 3]`` from denoised latents ``[n, c, h, w]``.

    Args:
        session: of the VAE's decoder.
        latents: denoised.
        config: the VAE's.
        scale: pixels per latent.
        dtype: of the model, for the error message.
        tiled: decode in overlapping tiles, which takes less memory.
        arena: ONNX Runtime's name of the memory to shrink afterwards.

    Raises:
        NotFinite: the values overflowed.
    """
    latents = np.asarray(latents, np.float32)
    if not bool(np.isfinite(latents).all()):
        raise NotFinite(dtype=dtype)
    shift, factor = np.float32(config.get("shift_factor") or 0.0), np.float32(config["scaling_factor"])
    side = config.get("sample_size")
    tile = max(8, min(TILE, side // scale)) if isinstance(side, int) and side else TILE
    images = []
    for row in latents:  # one image at a time, so that none depends on its neighbours
        x = (row / factor + shift)[None]
        out = _tiled(session, x, scale, tile, arena) if tiled else _run(session, x, arena)
        if not bool(np.isfinite(out).all()):
            raise NotFinite(dtype=dtype)
        pixels = np.rint(np.clip(out[0] / 2 + np.float32(0.5), 0, 1) * 255).astype(np.uint8)
        images.append(pixels.transpose(1, 2, 0))
    return np.stack(images)
