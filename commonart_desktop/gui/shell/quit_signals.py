"""Ctrl+C and SIGTERM close the window as its button does, once the event loop is free.

Python runs a signal's handler between two of its own instructions, and there are none while Qt waits for an event. So the
interpreter also writes the signal's number into a socket, which Qt watches.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable

from PySide6.QtCore import QObject, QSocketNotifier

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


class QuitSignals(QObject):
    """Calls ``quit`` in the event loop when the process is asked to end. Must be made in the main thread."""

    def __init__(self, quit: Callable[[], None], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._quit = quit
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for name in SIGNALS:
            if (
                hasattr(signal, name) and signal.getsignal(getattr(signal, name)) != signal.SIG_IGN
            ):  # nohup ignores some
                signal.signal(getattr(signal, name), lambda *_: None)  # the socket has it
        self._notifier = QSocketNotifier(self._reader.fileno(), QSocketNotifier.Type.Read, self)
        self._notifier.activated.connect(self._asked)

    def _asked(self) -> None:
        try:
            self._reader.recv(64)
        except BlockingIOError:
            return
        self._quit()
