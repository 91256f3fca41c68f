"""The second half of a worker's work: pixels, files, rows marked done; and what becomes of rows that fail."""

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
    """Takes denoised micro-batches to their files. ``squeeze`` becomes true when decoding found too little memory: idle parts
    are to be kept off the device from the next micro-batch on."""

    def __init__(
        self,
        ledger: Ledger,
        name: str,
        say: Callable[[events.Event], None],
        clock: StageTimer,
        seal: ImageFinalizer,
        quitting: threading.Event,
        debug: bool,
    ) -> None:
        self.ledger, self.name, self.say = ledger, name, say
        self.squeeze = False
        self._clock, self._seal, self._quit, self._debug = clock, seal, quitting, debug
        self._jobs: dict[int, str] = {}
        self._pool = BoundedPool(WRITERS, room=4 * WRITERS + 32)

    def drain(self) -> None:
        """Wait until all is written."""
        self._pool.drain()

    def close(self) -> None:
        """End the writers and let the key go."""
        self._pool.close()
        self._seal.close()

    def decode(self, backend: Backend, item: tuple[Batch, Any]) -> None:
        """Latents to pixels, and on to the writers."""
        for one in decode_batch(backend, *item, self._clock, self._debug):
            if isinstance(one, DecodedImage):
                self.take(one)
            elif one.error is not None:
                self.fail(one.rows, one.error)
            else:
                self.squeeze = True
                self.ledger.put_back([r.id for r in one.rows])

    def take(self, made: DecodedImage) -> None:
        """To the writers; waits while they have too much in hand."""
        self._pool.submit(self._write, made)

    @property
    def busy(self) -> int:
        """Pictures that are not written yet."""
        return self._pool.busy

    def _write(self, made: DecodedImage) -> None:
        row = made.row
        try:
            if row.job not in self._jobs:
                self._jobs[row.job] = self.ledger.job(row.job).name
            with self._clock("write"):
                report = save(made, self.ledger, self.name, self._jobs[row.job], self._seal)
        except (OutputError, LedgerError) as e:
            report = self._settle(row, e)
        except CommonArtError as e:
            self.fail([row], e)
            return
        except Exception as e:  # an error of ours must not fall on the next picture
            if self._debug:
                traceback.print_exc()
            self.fail([row], as_engine_error(e))
            return
        if report is not None:
            self.say(events.Saved(image=row.id, report=report | {"job": row.job}))

    def _settle(self, row: Row, error: CommonArtError) -> dict[str, Any] | None:
        """Nothing is lost: the row waits if its file has no name yet, and the queue until the place can be written again."""
        told = False
        while True:
            try:
                report = settle(self.ledger, row.id, self.name)
                self.ledger.pause(None, True, error)
                return report
            except CommonArtError:
                if not told:
                    self.say(events.Paused(error=error.to_wire()))
                told = True
                if self._quit.wait(1.0):  # the ledger cannot be written either: the next worker recovers the row
                    return None

    def fail(self, rows: Sequence[Row], error: CommonArtError) -> None:
        """These rows cannot be made."""
        self.ledger.fail([r.id for r in rows], error)
        for row in rows:
            self.say(events.Failed(image=row.id, prompt=row.request.prompt, error=error.to_wire()))
