"""Resize, crop and normalise images according to an encoder's ``preprocessor_config.json`` or ``encoder.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.contract.errors import BadEncoder, Phrase

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "lanczos": Image.Resampling.LANCZOS,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
}
_BY_NUMBER = {
    0: "nearest",
    1: "lanczos",
    2: "bilinear",
    3: "bicubic",
    4: "box",
}  # Pillow's numbers, which transformers writes


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """How an image becomes the input of size ``size`` (height, width).

    With ``short`` the shorter side is resized to that and the centre is cropped; without it the image is stretched. Then
    ``(value * scale - mean) / std``.
    """

    size: tuple[int, int]
    short: int | None = None
    resample: str = "bicubic"
    scale: float = 1 / 255
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __str__(self) -> str:
        height, width = self.size
        how = f"short side {self.short}, centre {width}x{height}" if self.short else f"stretched to {width}x{height}"
        return f"pillow {self.resample}, {how}"

    def fit(self, image: Image.Image) -> np.ndarray[Any, Any]:
        """float32 ``[3, height, width]``."""
        image = image.convert("RGB")
        height, width = self.size
        if self.short:
            ratio = self.short / min(image.size)
            image = image.resize(
                (max(width, round(image.width * ratio)), max(height, round(image.height * ratio))),
                FILTERS[self.resample],
            )
            left, top = (image.width - width) // 2, (image.height - height) // 2
            image = image.crop((left, top, left + width, top + height))
        else:
            image = image.resize((width, height), FILTERS[self.resample])
        pixels = np.asarray(image, np.float32) * self.scale
        return np.ascontiguousarray(
            ((pixels - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)).transpose(2, 0, 1)
        )

    def batch(self, images: Sequence[Image.Image]) -> np.ndarray[Any, Any]:
        """float32 ``[n, 3, height, width]``."""
        return np.stack([self.fit(i) for i in images])


def from_preprocessor(config: dict[str, Any], path: Path, side: int | None = None) -> Fitting:
    """From transformers' ``preprocessor_config.json``; ``side`` is the network's own size, if the file gives none.

    Raises:
        BadEncoder: it is invalid.
    """
    try:
        size = _sides(config.get("size", side or 224)) if config.get("do_resize", True) else None
        crop = _sides(config["crop_size"]) if config.get("do_center_crop") and config.get("crop_size") else None
        short = size if isinstance(size, int) else None
        final = (
            crop
            or (size if isinstance(size, tuple) else None)
            or ((short, short) if short else None)
            or ((side, side) if side else None)
        )
        if final is None:
            raise ValueError
        final = (final, final) if isinstance(final, int) else final
        if crop and isinstance(size, tuple):
            short = max(size)
        normal = config.get("do_normalize", True)
        mean, std = (
            (three_floats(config.get(k) or default) if normal else default)
            for k, default in (("image_mean", (0.0, 0.0, 0.0)), ("image_std", (1.0, 1.0, 1.0)))
        )
        resample = config.get("resample", 3)
        fitting = Fitting(
            size=final,
            short=short,
            resample=_BY_NUMBER[int(resample)] if not isinstance(resample, str) else resample.lower(),
            scale=float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 1.0,
            mean=mean,
            std=std,
        )
        return validated(fitting)
    except (ValueError, TypeError, KeyError) as e:
        raise BadEncoder(
            path=path, why=Phrase("{file} does not say how images are prepared", file="preprocessor_config.json")
        ) from e


def three_floats(values: Any) -> tuple[float, float, float]:
    """Raises ValueError, TypeError: it is no sequence of three numbers."""
    red, green, blue = (float(v) for v in values)
    return red, green, blue


def validated(fitting: Fitting) -> Fitting:
    """The same; raises ValueError for impossible sizes, means or filters."""
    if (
        not all(8 <= s <= 4096 for s in (*fitting.size, fitting.short or 8))
        or len(fitting.mean) != 3
        or len(fitting.std) != 3
        or min(np.abs(fitting.std)) < 1e-6
        or fitting.resample not in FILTERS
    ):
        raise ValueError("invalid sizes, means or filter")
    if fitting.short and fitting.short < min(fitting.size):
        raise ValueError("the crop is larger than the image")
    return fitting


def _sides(size: Any) -> int | tuple[int, int]:
    """A short side, or (height, width)."""
    if isinstance(size, dict):
        return int(size["shortest_edge"]) if "shortest_edge" in size else (int(size["height"]), int(size["width"]))
    if isinstance(size, (list, tuple)):
        return int(size[0]), int(size[1])
    return int(size)
