"""The engine on another machine: one loaded model, drawing what the driver sends. What goes in and out is plain data."""

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

PROTOCOL = 2  # of what is said between driver and engine


def _wire(error: Exception) -> dict[str, Any]:
    from engine.worker.decoding import as_engine_error

    return as_engine_error(error).to_wire()


class EngineActor:
    """One engine on a node. Every answer is a dict; one with ``error`` holds an error as it travels.

    ``draw`` may run twice at once: the second waits for the device while the first compresses.
    """

    def __init__(self, options: dict[str, Any], node: str) -> None:
        quiet_libraries()
        self._options, self._node = options, node
        self._backend: Any = None
        self._order: dict[str, Any] = {}
        self._light = False
        self._device = threading.Lock()
        self._go = threading.Event()
        self._go.set()
        self._dropped: set[int] = set()
        self._steps: dict[int, tuple[int, int]] = {}
        self._told: set[str] = set()

    def hello(self) -> dict[str, Any]:
        """Who is here."""
        return {
            "protocol": PROTOCOL,
            "version": VERSION,
            "python": ".".join(map(str, sys.version_info[:3])),
            "pid": os.getpid(),
        }

    def open(self, order: dict[str, Any], light: bool) -> dict[str, Any]:
        """Load the model of ``order``; tells the keys of files that are ``missing``, or facts of what is loaded."""
        from engine.backends.factory import open_backend
        from engine.checkpoint.lora import open_lora
        from engine.cluster.model_bundle import find, lora_of

        began = time.monotonic()
        self._close()
        try:
            folder, other, missing = find(order, light)
            self._order, self._light = order, not getattr(folder, "whole", True)
            if missing or folder is None:
                return {"missing": missing, "other": other}
            loras = [open_lora(str(lora_of(one)), one["scale"], folder, one["wire"]) for one in order["loras"]]
            o = self._options
            self._backend = b = open_backend(
                folder,
                kind=o["kind"],
                device=o["device"],
                dtype=order["dtype"],
                loras=loras,
                merged=order["merged"],
                memory=o["memory"],
            )
        except Exception as e:
            return {"error": _wire(e)}
        return {
            "backend": b.name,
            "device": b.device,
            "dtype": b.dtype,
            "words": self._words(),
            "hashes": b.hashes,
            "loras": b.loras,
            "libraries": b.libraries(),
            "model": folder.name,
            "seconds": round(time.monotonic() - began, 3),
            "notes": self._notes(),
            "light": self._light,
        }

    def _words(self) -> str:
        """The device as people call it."""
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

    def take(self, key: str, offset: int, last: bool, piece: bytes) -> dict[str, Any]:
        """A piece of a file of the model that ``open`` found missing."""
        from engine.cluster.model_bundle import receive

        try:
            receive(self._order, key, offset, last, piece, self._node)
        except CommonArtError as e:
            return {"error": e.to_wire()}
        return {}

    def limit(self, request: dict[str, Any]) -> dict[str, Any]:
        """How many pictures such as this one the device makes best together; 1 if it cannot be made: ``draw`` tells why."""
        from engine import pipeline
        from engine.worker.decoding import micro_batch

        try:
            settled = pipeline.settle(ImageRequest.from_dict(request), self._backend.folder, self._backend)
            return {"limit": micro_batch(self._backend, settled)}
        except Exception:
            return {"limit": 1}

    def draw(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Pictures of ``rows`` (id and request each), compressed, without text; ``features`` are captions that need no encoding here."""
        from engine.cluster.remote_batch import RemoteBatch

        drawing = RemoteBatch(
            self._backend, batch, light=self._light, check=lambda step, steps: self._check(batch["id"], step, steps)
        )
        try:
            with self._device:
                self._check(batch["id"], 0, 1)
                drawing.expose()
                if not drawing.overlaps:
                    drawing.paint()
            if drawing.overlaps:
                drawing.paint()
            return drawing.answer() | {"notes": self._notes()}
        except Cancelled:
            return {"abandoned": True}
        except Exception as e:
            return {"error": _wire(e)}
        finally:
            self._steps.pop(batch["id"], None)
            self._dropped.discard(batch["id"])

    def _check(self, batch: int, step: int, steps: int) -> None:
        self._steps[batch] = (step, steps)
        while not self._go.wait(0.5):
            if batch in self._dropped:
                break
        if batch in self._dropped:
            raise Cancelled

    # beside the drawing -------------------------------------------------------------------------------------------

    def mind(self, hold: bool, drop: list[int]) -> dict[str, Any]:
        """Hold still or go on, and give up these batches; tells how far the others are."""
        self._dropped.update(drop)
        if hold:
            self._go.clear()
        else:
            self._go.set()
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


#: Threads of their own for drawing, and for what is said beside it. This is what ``ray.method`` sets: said here, where Ray is not imported, since
#: through Ray's client the class is looked up on the other side.
GROUPS = {"draw": 2, "control": 1}
for _name, _group in (("draw", "draw"), ("mind", "control")):
    getattr(EngineActor, _name).__ray_concurrency_group__ = _group
