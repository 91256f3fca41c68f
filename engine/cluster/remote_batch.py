"""One micro-batch on the machine that draws it: as a local worker draws, up to compressed pictures without text."""

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


def store_of(backend: str, dtype: str, encoder_sha256: str, encoder_bytes: int) -> Path | None:
    """Where a backend keeps captions' features, below ``engine.system.caption_cache.base``; None for one that keeps none.

    A large encoder on a CPU stays in 16 bits: see the backends' ``encode.py``.
    """
    if backend == "pytorch":
        large = dtype == "fp32" and encoder_bytes > SIXTEEN_BIT_ENCODER
        return part_of(encoder_sha256, "bfloat16" if large else _DTYPES[dtype])
    return part_of(encoder_sha256, f"onnx-{dtype}") if backend == "onnx" else None


def keep(folder: Path, features: dict[str, bytes]) -> None:
    """Store captions' features that came from elsewhere, where the encoder looks for them."""
    cache = CaptionCache(folder)
    for text, data in features.items():
        if len(data) <= MAX_FEATURE and not cache.has(text):
            cache.write(text, data)


def row_of(item: dict[str, Any]) -> Row:
    """A row of the queue as far as drawing it needs one."""
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
    """``expose`` denoises, ``paint`` decodes and compresses; ``overlaps`` says whether the next batch may be denoised meanwhile."""

    def __init__(
        self, backend: Backend, batch: dict[str, Any], *, light: bool, check: Callable[[int, int], None]
    ) -> None:
        self._backend, self._batch, self._light, self._check = backend, batch, light, check
        self._exposed: list[tuple[Batch, Any]] = []
        self._pictures: list[dict[str, Any]] = []
        self._undone: list[FailedRows] = []
        self._clock = StageTimer()
        self._limit: int | None = None
        self._need = ""
        part = store_of(
            backend.name, backend.dtype, backend.hashes["text_encoder"], 0 if light else batch["encoder_bytes"]
        )
        self._store = base() / part if part else None
        self.overlaps = backend.device != "cpu" and not backend.tight

    def expose(self) -> None:
        """Captions to features to latents; what cannot be made is kept aside with its error."""
        rows = [row_of(item) for item in self._batch["rows"]]
        texts = pipeline.texts_of(r.request for r in rows)
        if self._store is not None:
            keep(self._store, self._batch["features"])
            if self._light and any(not CaptionCache(self._store).has(t) for t in texts):
                self._need = "text_encoder"
                return
        self._try(rows)

    def _try(self, rows: list[Row]) -> None:
        """As a local worker: what fails together is tried one by one, to find the one that cannot be made."""
        try:
            self._together(rows)
        except Cancelled:
            raise
        except Exception as e:
            if len(rows) > 1 and (not isinstance(e, CommonArtError) or isinstance(e, OutOfMemory)):
                self._exposed = [(b, x) for b, x in self._exposed if not any(r in rows for r in b.rows)]
                for row in rows:
                    self._try([row])
            else:
                self._undone.append(FailedRows(rows, as_engine_error(e)))

    def _together(self, rows: list[Row]) -> None:
        kept, requests, wrong = settle_rows(rows, self._backend)
        self._undone += wrong
        if not kept:
            return
        with self._clock("encode"):
            features = pipeline.encode(self._backend, requests)
        batch = batch_of(kept, requests, features)
        at = 0

        def attempt(some: Sequence[ImageRequest]) -> list[tuple[Any, int]]:
            with self._clock("denoise"):
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
            self._exposed.append((part, latents))
            at += count

    def paint(self) -> None:
        """Latents to compressed pictures."""
        for batch, latents in self._exposed:
            for one in decode_batch(self._backend, batch, latents, self._clock):
                if isinstance(one, DecodedImage):
                    self._pictures.append(self._packed(one))
                else:
                    self._undone.append(one)
                    if one.error is None:
                        self._backend.trim()

    def _packed(self, made: DecodedImage) -> dict[str, Any]:
        with self._clock("compress"):
            assert made.pixels is not None
            return {
                "row": made.row.id,
                "request": made.request.to_dict(),
                "coded": encode_image(made.pixels, made.request.format),
                "sha256": pixel_sha256(made.pixels),
                "batch": list(made.batch),
                "unknown_words": made.unknown_words,
                "cut": made.cut,
            }

    def answer(self) -> dict[str, Any]:
        """What goes back. ``need``: nothing was drawn since the text encoder is not here. ``features``: captions that were encoded here."""
        fresh = {}
        if self._store is not None and not self._need:
            for text in self._batch["wanted"]:
                data = CaptionCache(self._store).read(text)
                if data is not None:
                    fresh[text] = data
        return {
            "need": self._need,
            "pictures": self._pictures,
            "limit": self._limit,
            "features": fresh,
            "seconds": self._clock.take(),
            "undone": [
                {"rows": [r.id for r in u.rows], "error": u.error.to_wire() if u.error else None} for u in self._undone
            ],
        }
