"""Ends a child process from any thread."""

from __future__ import annotations

import subprocess
import threading

PATIENCE = 20.0  # seconds that a terminated process may take to clean up before it is killed


class ProcessStopper:
    """Terminates the adopted process, or the next one, and kills it after ``PATIENCE``.

    No Qt: it may outlive the window.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self.child: subprocess.Popen[str] | None = None
        self.requested = False

    def adopt(self, child: subprocess.Popen[str]) -> None:
        """The process to end from now on; ended at once where that was requested before."""
        with self._lock:
            self.child = child
            if self.requested:
                self._terminate(child)

    def stop(self, *_: object) -> None:
        """End the process, and every one adopted later."""
        with self._lock:
            if not self.requested:
                self.requested = True
                if self.child is not None:
                    self._terminate(self.child)

    def release(self) -> None:
        """The work is over: nothing is left to kill."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()

    def _terminate(self, child: subprocess.Popen[str]) -> None:
        if child.poll() is None:
            child.terminate()
            if self._timer is not None:
                self._timer.cancel()
            self._timer = threading.Timer(PATIENCE, child.kill)
            self._timer.daemon = True
            self._timer.start()
