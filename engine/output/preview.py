"""Previews during denoising."""

from __future__ import annotations

from typing import Any

from PIL import Image

from engine.backends.base import Backend
from engine.contract.errors import CommonArtError
from engine.contract.files import replacing
from engine.contract.paths import home

SIDE = 192


def write_preview(backend: Backend, latents: Any, worker: str) -> str | None:
    """Decode ``latents`` ``[1, c, h, w]`` to a file that the next preview replaces; None if it fails."""
    folder = home() / "cache" / "preview"
    try:
        image = Image.fromarray(backend.decode(latents)[0])
        image.thumbnail((SIDE, SIDE))
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / f"{worker}.webp", durable=False) as f:
            image.save(f, "WEBP", quality=80, method=0)
        return str(folder / f"{worker}.webp")
    except (CommonArtError, OSError):
        return None
