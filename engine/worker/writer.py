"""The second half of a worker: latents to pixels to files, rows marked done or failed."""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from engine.backends.base import Backend
from engine.contract import events
from engine.contract.errors import CommonArtError, LedgerError, OutputError
from engine.contract.ledger.ledger import Ledger, Row
from engine.output.save import DecodedImage, save, settle
from engine.provenance.finalize import ImageFinalizer
from engine.worker.decoding import Batch, as_engine_error, decode_batch
from engine.worker.stage_timer import StageTimer
from engine.worker.threads import BoundedPool

WRITERS = min(4, max(2, (os.cpu_count() or 2) // 2))


class ResultWriter:
    """Decodes micro-batches and writes their files.

    ``out_of_memory`` becomes true when decoding ran out of memory: idle parts must stay off the device from the next
    micro-batch on.
    """

    def __init__(
        self,
        ledger: Ledger,
        name: str,
        notify: Callable[[events.Event], None],
        timer: StageTimer,
        finalizer: ImageFinalizer,
        quitting: threading.Event,
        debug: bool,
    ) -> None:
        self.ledger, self.name, self.notify = ledger, name, notify
        self.out_of_memory = False
        self._timer, self._finalizer, self._quit, self._debug = timer, finalizer, quitting, debug
        self._jobs: dict[int, str] = {}
        self._pool = BoundedPool(WRITERS, room=4 * WRITERS + 32)

    def drain(self) -> None:
        """Wait until all is written."""
        self._pool.drain()

    def close(self) -> None:
        """End the threads and release the signing key."""
        self._pool.close()
        self._finalizer.close()

    def decode(self, backend: Backend, item: tuple[Batch, Any]) -> None:
        """Decode a micro-batch and hand its images to the writing threads."""
        for result in decode_batch(backend, *item, self._timer, self._debug):
            if isinstance(result, DecodedImage):
                self.take(result)
            elif result.error is not None:
                self.fail(result.rows, result.error)
            else:
                self.out_of_memory = True
                self.ledger.put_back([r.id for r in result.rows])

    def take(self, image: DecodedImage) -> None:
        """Hand an image to the writing threads; waits while too many are pending."""
        self._pool.submit(self._write, image)

    @property
    def busy(self) -> int:
        """How many images are not written yet."""
        return self._pool.busy

    def _write(self, image: DecodedImage) -> None:
        row = image.row
        try:
            if row.job not in self._jobs:
                self._jobs[row.job] = self.ledger.job(row.job).name
            with self._timer("write"):
                report = save(image, self.ledger, self.name, self._jobs[row.job], self._finalizer)
        except (OutputError, LedgerError) as e:
            report = self._settle(row, e)
        except CommonArtError as e:
            self.fail([row], e)
            return
        except Exception as e:  # a bug must not fail the next image
            if self._debug:
                traceback.print_exc()
            self.fail([row], as_engine_error(e))
            return
        if report is not None:
            self.notify(events.Saved(image=row.id, report=report | {"job": row.job}))

    def _settle(self, row: Row, error: CommonArtError) -> dict[str, Any] | None:
        """Nothing is lost: the row waits again if its file is not published, and the queue pauses until the folder is
        writable.
        """
        reported = False
        while True:
            try:
                report = settle(self.ledger, row.id, self.name)
                self.ledger.pause(None, True, error)
                return report
            except CommonArtError:
                if not reported:
                    self.notify(events.Paused(error=error.to_wire()))
                reported = True
                if self._quit.wait(1.0):  # the ledger cannot be written either: the next worker recovers the row
                    return None

    def fail(self, rows: Sequence[Row], error: CommonArtError) -> None:
        """Mark rows as failed."""
        self.ledger.fail([r.id for r in rows], error)
        for row in rows:
            self.notify(events.Failed(image=row.id, prompt=row.request.prompt, error=error.to_wire()))
