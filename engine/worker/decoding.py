"""Rows that share a micro-batch, and the decoding of their latents; the same on this machine and on a cluster's."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from engine import pipeline
from engine.backends.base import Backend
from engine.checkpoint.vocabulary import vocabulary_of
from engine.contract.errors import CommonArtError, EngineError, NotFinite, OutOfMemory
from engine.contract.ledger.ledger import Row
from engine.contract.request import ImageRequest
from engine.output.save import DecodedImage
from engine.worker.batching import batch_size
from engine.worker.stage_timer import StageTimer


@dataclass
class Batch:
    """Rows that are denoised together."""

    rows: list[Row]
    requests: list[ImageRequest]  # with sizes resolved, in the order of rows
    features: dict[str, Any]
    size: int  # rows denoised together, copies for a replay included
    index: int = 0  # of the first row among them


class FailedRows(NamedTuple):
    """Rows without an image. No ``error``: they are not at fault and are generated again, with less on the device."""

    rows: list[Row]
    error: CommonArtError | None


def as_engine_error(error: Exception) -> CommonArtError:
    """An error as one of the tree."""
    return error if isinstance(error, CommonArtError) else EngineError(why=f"{type(error).__name__}: {error}")


def settle_rows(rows: Sequence[Row], backend: Backend) -> tuple[list[Row], list[ImageRequest], list[FailedRows]]:
    """The rows whose settings suit the model, their requests with every setting resolved, and the rows that do not suit
    it.
    """
    kept: list[Row] = []
    requests: list[ImageRequest] = []
    failed: list[FailedRows] = []
    for row in rows:
        try:
            requests.append(pipeline.settle(row.request, backend.folder, backend))
            kept.append(row)
        except CommonArtError as e:
            failed.append(FailedRows([row], e))
    return kept, requests, failed


def micro_batch(backend: Backend, request: ImageRequest) -> int:
    """The best micro-batch for such a resolved request on this device."""
    side = backend.folder.multiple
    width, height = request.width or side, request.height or side
    fitting = min(batch_size(width // side * (height // side), backend.device), backend.fits(width, height))
    return pipeline.can_batch(request, backend, fitting)


def batch_of(
    rows: Sequence[Row],
    requests: Sequence[ImageRequest],
    features: dict[str, Any],
    size: int | None = None,
    index: int = 0,
) -> Batch:
    """Rows by rising length of their captions: neighbours of equal length share one attention call."""
    order = sorted(range(len(rows)), key=lambda i: features[requests[i].prompt].tokens)
    return Batch([rows[i] for i in order], [requests[i] for i in order], features, size or len(rows), index)


def decode_batch(
    backend: Backend, batch: Batch, latents: Any, timer: StageTimer, debug: bool = False
) -> list[DecodedImage | FailedRows]:
    """Latents to pixels with their provenance. An image that is not finite does not fail its neighbours."""
    try:
        with timer("decode"):
            pixels = pipeline.decode(backend, latents)
    except NotFinite as e:
        if len(batch.rows) == 1:
            return [FailedRows(batch.rows, e)]
        return [
            result
            for i, row in enumerate(batch.rows)
            for result in decode_batch(
                backend,
                Batch([row], [batch.requests[i]], batch.features, batch.size, batch.index + i),
                latents[i : i + 1],
                timer,
                debug,
            )
        ]
    except OutOfMemory as e:  # even tiled: generated again, with the denoiser off the device while decoding
        return [FailedRows(batch.rows, e if backend.tight or backend.device == "cpu" else None)]
    except Exception as e:
        if debug and not isinstance(e, CommonArtError):
            traceback.print_exc()
        return [FailedRows(batch.rows, as_engine_error(e))]
    words = vocabulary_of(backend.folder.root)
    device = {
        "backend": backend.name,
        "device": backend.device,
        "dtype": backend.dtype,
        "libraries": backend.libraries(),
    }
    return [
        DecodedImage(
            row=row,
            request=replace(request, model=backend.folder.name),
            pixels=pixels[i],
            model=backend.folder.name,
            hashes=backend.hashes,
            loras=backend.loras,
            backend=device,
            batch=(batch.size, batch.index + i),
            unknown_words=words.unknown(request.prompt) if words else [],
            cut=batch.features[request.prompt].cut,
        )
        for i, (row, request) in enumerate(zip(batch.rows, batch.requests, strict=True))
    ]
