"""One micro-batch on the machine that generates it, up to compressed images without metadata."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from engine import pipeline
from engine.backends.base import Backend
from engine.checkpoint.memory_plan import SIXTEEN_BIT_ENCODER
from engine.contract.errors import CommonArtError, OutOfMemory
from engine.contract.ledger.ledger import Row
from engine.contract.request import ImageRequest
from engine.imagefile.image import encode_image, pixel_sha256
from engine.output.save import DecodedImage
from engine.pipeline import Cancelled
from engine.system.caption_cache import CaptionCache, base, part_of
from engine.worker.decoding import Batch, FailedRows, as_engine_error, batch_of, decode_batch, settle_rows
from engine.worker.stage_timer import StageTimer

MAX_FEATURE = 64 << 20  # bytes of one caption's features
_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def caption_store(backend: str, dtype: str, encoder_sha256: str, encoder_bytes: int) -> Path | None:
    """The folder of a backend's caption features, below ``engine.system.caption_cache.base``; None if it stores none.

    A large encoder on a CPU stays in 16 bits: see the backends' ``encode.py``.
    """
    if backend == "pytorch":
        large = dtype == "fp32" and encoder_bytes > SIXTEEN_BIT_ENCODER
        return part_of(encoder_sha256, "bfloat16" if large else _DTYPES[dtype])
    return part_of(encoder_sha256, f"onnx-{dtype}") if backend == "onnx" else None


def store_features(folder: Path, features: dict[str, bytes]) -> None:
    """Store caption features from another machine where the encoder looks for them."""
    cache = CaptionCache(folder)
    for text, data in features.items():
        if len(data) <= MAX_FEATURE and not cache.has(text):
            cache.write(text, data)


def row_from(item: dict[str, Any]) -> Row:
    """A row of the queue with the fields that generating its image needs."""
    return Row(
        id=item["id"],
        job=0,
        state="running",
        request=ImageRequest.from_dict(item["request"]),
        attempts=0,
        deaths=0,
        error=None,
        pending=None,
        path=None,
        pixel_sha256=None,
        worker=None,
    )


class RemoteBatch:
    """``denoise``, then ``decode``; with ``overlaps`` the next batch may be denoised while this one is decoded."""

    def __init__(
        self, backend: Backend, batch: dict[str, Any], *, without_encoder: bool, check: Callable[[int, int], None]
    ) -> None:
        self._backend, self._batch, self._without_encoder, self._check = backend, batch, without_encoder, check
        self._latents: list[tuple[Batch, Any]] = []
        self._images: list[dict[str, Any]] = []
        self._failed_rows: list[FailedRows] = []
        self._timer = StageTimer()
        self._limit: int | None = None
        self._need = ""
        part = caption_store(
            backend.name,
            backend.dtype,
            backend.hashes["text_encoder"],
            0 if without_encoder else batch["encoder_bytes"],
        )
        self._store = base() / part if part else None
        self.overlaps = backend.device != "cpu" and not backend.tight

    def denoise(self) -> None:
        """Encode the captions and denoise; rows that fail are collected with their errors."""
        rows = [row_from(item) for item in self._batch["rows"]]
        texts = pipeline.texts_of(r.request for r in rows)
        if self._store is not None:
            store_features(self._store, self._batch["features"])
            if self._without_encoder and any(not CaptionCache(self._store).has(t) for t in texts):
                self._need = "text_encoder"
                return
        self._try(rows)

    def _try(self, rows: list[Row]) -> None:
        """As a local worker: rows that fail together are tried one by one, to find the one that cannot be generated."""
        try:
            self._run_together(rows)
        except Cancelled:
            raise
        except Exception as e:
            if len(rows) > 1 and (not isinstance(e, CommonArtError) or isinstance(e, OutOfMemory)):
                self._latents = [(b, x) for b, x in self._latents if not any(r in rows for r in b.rows)]
                for row in rows:
                    self._try([row])
            else:
                self._failed_rows.append(FailedRows(rows, as_engine_error(e)))

    def _run_together(self, rows: list[Row]) -> None:
        kept, requests, wrong = settle_rows(rows, self._backend)
        self._failed_rows += wrong
        if not kept:
            return
        with self._timer("encode"):
            features = pipeline.encode(self._backend, requests)
        batch = batch_of(kept, requests, features)
        at = 0

        def attempt(some: Sequence[ImageRequest]) -> list[tuple[Any, int]]:
            with self._timer("denoise"):
                return [
                    (
                        pipeline.denoise_batch(self._backend, some, features, lambda n, of, _: self._check(n, of)),
                        len(some),
                    )
                ]

        def split(half: int) -> None:
            self._limit = half

        for latents, count in pipeline.retry_with_less_memory(
            attempt, batch.requests, self._backend, self._backend.trim, split
        ):
            part = Batch(batch.rows[at : at + count], batch.requests[at : at + count], features, count)
            self._latents.append((part, latents))
            at += count

    def decode(self) -> None:
        """Decode the latents and compress the images."""
        for batch, latents in self._latents:
            for one in decode_batch(self._backend, batch, latents, self._timer):
                if isinstance(one, DecodedImage):
                    self._images.append(self._encode(one))
                else:
                    self._failed_rows.append(one)
                    if one.error is None:
                        self._backend.trim()

    def _encode(self, image: DecodedImage) -> dict[str, Any]:
        with self._timer("compress"):
            assert image.pixels is not None
            return {
                "row": image.row.id,
                "request": image.request.to_dict(),
                "coded": encode_image(image.pixels, image.request.format),
                "sha256": pixel_sha256(image.pixels),
                "batch": list(image.batch),
                "unknown_words": image.unknown_words,
                "cut": image.cut,
            }

    def answer(self) -> dict[str, Any]:
        """The result. ``need``: nothing was generated, since the text encoder is missing.

        ``features``: of captions encoded here.
        """
        encoded = {}
        if self._store is not None and not self._need:
            for text in self._batch["wanted"]:
                data = CaptionCache(self._store).read(text)
                if data is not None:
                    encoded[text] = data
        return {
            "need": self._need,
            "images": self._images,
            "limit": self._limit,
            "features": encoded,
            "seconds": self._timer.take(),
            "failed": [
                {"rows": [r.id for r in f.rows], "error": f.error.to_wire() if f.error else None}
                for f in self._failed_rows
            ],
        }
