"""A worker with nothing to do sleeps in short naps, and a nap ends when somebody writes into the queue."""

from __future__ import annotations

from pathlib import Path

from engine.contract.ledger.ledger import Ledger
from engine.contract.request import ImageRequest
from engine.worker.base import WorkerOptions
from engine.worker.local import LocalWorker


class Naps:
    """Stands for the worker's end signal: counts the naps, and before the third another connection writes."""

    def __init__(self, other: Ledger | None, out: Path) -> None:
        self.other, self.out, self.count = other, out, 0

    def wait(self, seconds: float) -> bool:
        self.count += 1
        if self.count == 3 and self.other:
            self.other.add_job("new", [ImageRequest(prompt="りんご", seed=1, out=str(self.out))])
        return False

    def is_set(self) -> bool:
        return False


def test_a_nap_ends_when_the_queue_is_written(tmp_path: Path) -> None:
    mine, other = Ledger(tmp_path / "queue.db"), Ledger(tmp_path / "queue.db")
    counts = []
    for writer in (other, None):
        runner = LocalWorker(mine, "w", WorkerOptions(kind="fake"), lambda _: None)
        naps = Naps(writer, tmp_path)
        runner._quit = naps  # type: ignore[assignment]
        runner._sleep()
        counts.append(naps.count)
        runner._writer.close()
    assert counts[0] == 3 < counts[1]
    mine.close()
    other.close()
