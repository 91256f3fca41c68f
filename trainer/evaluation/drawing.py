"""Generate the images of an evaluation in batches into a folder, so that an interrupted run can be continued."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine import pipeline
from engine.backends.base import Backend
from engine.contract import recipe as recipes
from engine.contract.files import discard
from engine.contract.request import MAX_SEED, ImageRequest
from engine.contract.version import APP
from engine.imagefile.image import pixel_sha256
from engine.provenance.finalize import ImageFinalizer
from engine.system.atomic import publish, write_aside
from engine.worker.batching import batch_size
from trainer.evaluation.prompts import Item


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Options common to all images."""

    seed: int = 1000
    copies: int = 1
    steps: int = 20
    guidance: float = 4.5
    sampler: str = "dpm++2m"
    negative: str = ""
    width: int | None = None
    height: int | None = None

    def request(self, prompt: str, seed: int, backend: Backend) -> ImageRequest:
        """Raises BadValue, UnknownSampler."""
        return pipeline.settle(
            ImageRequest(
                prompt=prompt,
                seed=seed % (MAX_SEED + 1),
                steps=self.steps,
                guidance=self.guidance,
                sampler=self.sampler,
                negative=self.negative,
                width=self.width,
                height=self.height,
                model=backend.folder.name,
            ),
            backend.folder,
        )


def seed_of(item: Item, settings: Settings) -> int:
    """The same prompt number has the same seed in both languages."""
    return settings.seed + item.index * settings.copies + item.copy


def draw_items(
    backend: Backend,
    items: Sequence[Item],
    settings: Settings,
    folder: Path,
    finalizer: ImageFinalizer,
    tick: Callable[[int], None],
    size: int | None = None,
) -> list[Path]:
    """Write one PNG per item with its recipe to ``folder``; existing ones are kept.

    Raises:
        OutOfMemory, NotFinite, DiskFull, OutputFolder, BadValue
    """
    folder.mkdir(parents=True, exist_ok=True)
    pending = [i for i in items if not (folder / i.file).is_file()]
    tick(len(items) - len(pending))
    size = size or _size(backend, settings)
    while pending:
        batch_items, pending = pending[:size], pending[size:]
        requests = [settings.request(i.prompt, seed_of(i, settings), backend) for i in batch_items]

        def shrink(smaller: int) -> None:
            nonlocal size
            size = min(size or smaller, smaller)

        generated = pipeline.retry_with_less_memory(
            lambda rs: _generate(backend, rs), requests, backend, backend.trim, shrink
        )
        for n, (item, request, (pixels, cut)) in enumerate(zip(batch_items, requests, generated, strict=True)):
            recipe = recipes.build(
                request,
                model=backend.folder.name,
                hashes=backend.hashes,
                batch=(len(batch_items), n),
                pixel_sha256=pixel_sha256(pixels),
                app=APP,
                cut=cut,
                backend={
                    "backend": backend.name,
                    "device": backend.device,
                    "dtype": backend.dtype,
                    "libraries": backend.libraries(),
                },
                loras=backend.loras,
            )
            part = write_aside(folder, item.file, finalizer.pack(pixels, "png", finalizer.score(pixels, recipe)).data)
            try:
                publish(part, folder / item.file)
            except FileExistsError:
                pass  # another run with the same recipe has just written it
            finally:
                discard(part)
            tick(1)
    return [folder / i.file for i in items]


def _generate(backend: Backend, requests: Sequence[ImageRequest]) -> list[tuple[np.ndarray[Any, Any], bool]]:
    """Pixels of each request, and whether its prompt was truncated."""
    features = pipeline.encode(backend, requests)
    pixels = pipeline.decode(backend, pipeline.denoise_batch(backend, requests, features))
    return [(p, bool(features[r.prompt].cut)) for p, r in zip(pixels, requests, strict=True)]


def _size(backend: Backend, settings: Settings) -> int:
    one = settings.request("-", 0, backend)
    side = backend.folder.multiple
    return batch_size(((one.width or side) // side) * ((one.height or side) // side), backend.device)


def with_model_size(settings: Settings, backend: Backend) -> Settings:
    """The settings, with the model's own size if none is given. Raises BadValue."""
    one = settings.request("-", 0, backend)
    return dataclasses.replace(settings, width=one.width, height=one.height)
