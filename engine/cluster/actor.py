"""The engine on another machine: one loaded model that generates what the driver sends.

Arguments and results are plain data.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any

from engine.contract.errors import CommonArtError
from engine.contract.request import ImageRequest
from engine.contract.version import VERSION
from engine.pipeline import Cancelled
from engine.worker.program import quiet_libraries

PROTOCOL = 3  # of the calls between driver and engine


def _wire(error: Exception) -> dict[str, Any]:
    from engine.worker.decoding import as_engine_error

    return as_engine_error(error).to_wire()


class EngineActor:
    """One engine on a node. Every answer is a dict; one with ``error`` holds an error in its wire form.

    ``generate`` may run twice at once: the second waits for the device while the first compresses.
    """

    def __init__(self, options: dict[str, Any], node: str) -> None:
        quiet_libraries()
        self._options, self._node = options, node
        self._backend: Any = None
        self._manifest: dict[str, Any] = {}
        self._without_encoder = False
        self._device = threading.Lock()
        self._resumed = threading.Event()
        self._resumed.set()
        self._cancelled: set[int] = set()
        self._steps: dict[int, tuple[int, int]] = {}

    def hello(self) -> dict[str, Any]:
        """Versions and process id of this engine."""
        return {
            "protocol": PROTOCOL,
            "version": VERSION,
            "python": ".".join(map(str, sys.version_info[:3])),
            "pid": os.getpid(),
        }

    def open(self, manifest: dict[str, Any], without_encoder: bool) -> dict[str, Any]:
        """Load the model of ``manifest``; returns the keys of ``missing`` files, or facts about the loaded model."""
        from engine.backends.factory import open_backend
        from engine.checkpoint.lora import open_lora
        from engine.cluster.model_bundle import find_lora, find_model

        began = time.monotonic()
        self._close()
        try:
            folder, different, missing = find_model(manifest, without_encoder)
            self._manifest, self._without_encoder = manifest, not getattr(folder, "complete", True)
            if missing or folder is None:
                return {"missing": missing, "different": different}
            loras = [open_lora(str(find_lora(one)), one["scale"], folder, one["wire"]) for one in manifest["loras"]]
            o = self._options
            self._backend = b = open_backend(
                folder,
                kind=o["kind"],
                device=o["device"],
                dtype=manifest["dtype"],
                loras=loras,
                merged=manifest["merged"],
                memory=o["memory"],
            )
        except Exception as e:
            return {"error": _wire(e)}
        return {
            "backend": b.name,
            "device": b.device,
            "dtype": b.dtype,
            "device_name": self._device_name(),
            "hashes": b.hashes,
            "loras": b.loras,
            "libraries": b.libraries(),
            "model": folder.name,
            "seconds": round(time.monotonic() - began, 3),
            "notes": self._notes(),
            "without_encoder": self._without_encoder,
        }

    def _device_name(self) -> str:
        """The name of the device for people."""
        torch = sys.modules.get("torch")
        if torch is not None and self._backend.device.startswith("cuda"):
            return str(torch.cuda.get_device_name())
        return f"{self._backend.device.upper()} × {os.environ.get('OMP_NUM_THREADS') or os.cpu_count()}"

    def _notes(self) -> list[dict[str, Any]]:
        notes, self._backend.notes[:] = list(self._backend.notes), []
        return [
            {
                "template": n.template,
                "fields": {k: v if isinstance(v, (int, float)) else str(v) for k, v in n.fields.items()},
            }
            for n in notes
        ]

    def receive_chunk(self, key: str, offset: int, last: bool, chunk: bytes) -> dict[str, Any]:
        """Append a chunk to a file of the model that ``open`` reported missing."""
        from engine.cluster.model_bundle import receive_chunk

        try:
            receive_chunk(self._manifest, key, offset, last, chunk, self._node)
        except CommonArtError as e:
            return {"error": e.to_wire()}
        return {}

    def batch_limit(self, request: dict[str, Any]) -> dict[str, Any]:
        """The best micro-batch size for requests such as this one; 1 if it is invalid: ``generate`` reports why."""
        from engine import pipeline
        from engine.worker.decoding import micro_batch

        try:
            settled = pipeline.settle(ImageRequest.from_dict(request), self._backend.folder, self._backend)
            return {"limit": micro_batch(self._backend, settled)}
        except Exception:
            return {"limit": 1}

    def generate(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Generate a micro-batch.

        ``batch`` has ``rows`` (id and request each) and ``features`` of captions that need no encoding here. Returns
        ``RemoteBatch.answer`` with ``notes``: compressed images without metadata.
        """
        from engine.cluster.remote_batch import RemoteBatch

        remote = RemoteBatch(
            self._backend,
            batch,
            without_encoder=self._without_encoder,
            check=lambda step, steps: self._check(batch["id"], step, steps),
        )
        try:
            with self._device:
                self._check(batch["id"], 0, 1)
                remote.denoise()
                if not remote.overlaps:
                    remote.decode()
            if remote.overlaps:
                remote.decode()
            return remote.answer() | {"notes": self._notes()}
        except Cancelled:
            return {"cancelled": True}
        except Exception as e:
            return {"error": _wire(e)}
        finally:
            self._steps.pop(batch["id"], None)
            self._cancelled.discard(batch["id"])

    def _check(self, batch: int, step: int, steps: int) -> None:
        self._steps[batch] = (step, steps)
        while not self._resumed.wait(0.5):
            if batch in self._cancelled:
                break
        if batch in self._cancelled:
            raise Cancelled

    # while it generates ------------------------------------------------------------------------------------------

    def control(self, pause: bool, cancel: list[int]) -> dict[str, Any]:
        """Pause or resume, and cancel these batches; returns the progress of the others as (step, steps)."""
        self._cancelled.update(cancel)
        if pause:
            self._resumed.clear()
        else:
            self._resumed.set()
        return {"steps": {k: list(v) for k, v in list(self._steps.items())}}

    def release(self) -> dict[str, Any]:
        """Free the device."""
        with self._device:
            self._close()
        return {}

    def _close(self) -> None:
        if self._backend is not None:
            self._backend.trim()
            self._backend = None
            import gc

            gc.collect()


#: : Separate threads for generation and for control calls meanwhile. ``ray.method`` would set the same attribute; it is
#: set
#: here without importing Ray, since through Ray's client the class is looked up on the other side.
GROUPS = {"generate": 2, "control": 1}
for _name, _group in (("generate", "generate"), ("control", "control")):
    getattr(EngineActor, _name).__ray_concurrency_group__ = _group
