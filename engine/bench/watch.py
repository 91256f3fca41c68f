"""Sampling the memory of a process and its children while it runs."""

from __future__ import annotations

import threading

import psutil


class MemoryWatch:
    """Peak resident memory of a process tree, in bytes, sampled 20 times a second until ``close``."""

    def __init__(self, pid: int) -> None:
        self.peak, self.pid = 0, pid
        self._process = psutil.Process(pid)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._done.wait(0.05):
            try:
                processes = [self._process, *self._process.children(recursive=True)]
                self.peak = max(self.peak, sum(p.memory_info().rss for p in processes))
            except psutil.Error:
                return  # the process has ended

    def reset(self) -> None:
        """Forget the peak so far."""
        self.peak = 0

    def close(self) -> int:
        """Stop sampling; returns the peak in bytes."""
        self._done.set()
        self._thread.join()
        return self.peak
