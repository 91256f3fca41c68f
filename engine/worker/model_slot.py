"""The one model that a worker has loaded."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from typing import Any

from engine.backends.base import Backend
from engine.backends.factory import open_backend
from engine.checkpoint.library import open_model
from engine.checkpoint.lora import open_lora
from engine.contract import events
from engine.contract.request import ImageRequest
from engine.worker.base import WorkerOptions
from engine.worker.notes import Notifier


class ModelSlot:
    """Holds at most one backend: two models at once may not fit on the device."""

    def __init__(self, options: WorkerOptions, notifier: Notifier) -> None:
        self._options, self._notifier = options, notifier
        self.backend: Backend | None = None
        self._key: tuple[Any, ...] = ()

    def matches(self, request: ImageRequest) -> bool:
        """Whether the model of ``request``, with its LoRAs and dtype, is the one that is loaded."""
        return self.backend is not None and self._key == request.model_key

    def load(self, request: ImageRequest, prepare: Callable[[], None]) -> Backend:
        """The backend for ``request``; another model is dropped first, then ``prepare`` is called.

        Raises:
            CommonArtError: it cannot be loaded; nothing is loaded then.
        """
        if self.backend is not None and self._key == request.model_key:
            return self.backend
        start = time.monotonic()
        self.backend, self._key = None, ()
        prepare()
        backend = self._open(request)
        self.backend, self._key = backend, request.model_key
        self._notifier.notes_of(backend)
        self._notifier.notify(
            events.Loaded(
                model=backend.folder.name,
                backend=backend.name,
                device=backend.device,
                dtype=backend.dtype,
                seconds=round(time.monotonic() - start, 3),
            )
        )
        return backend

    def _open(self, request: ImageRequest) -> Backend:
        folder = open_model(request.model, request.text_encoder, request.vae)
        loras = [open_lora(name, scale, folder) for name, scale in request.loras]
        for lora in loras:
            if lora.strange:
                self._notifier.lora_of_other_base(lora.name)
        o = self._options
        return open_backend(
            folder,
            kind=o.kind,
            device=o.device,
            dtype=request.dtype,
            loras=loras,
            merged=request.lora_merged,
            memory=o.memory,
        )

    def release(self) -> None:
        """Free the device's memory."""
        if self.backend is not None:
            self.backend.trim()
        self.backend, self._key = None, ()
        if "torch" in sys.modules:
            gc.collect()
