"""Ctrl+C and SIGTERM close the window as its button does, once the event loop is free.

Python runs a signal handler between two bytecode instructions, and there are none while Qt waits for an event. So the
interpreter also writes the signal's number into a socket, which Qt watches.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable

from PySide6.QtCore import QObject, QSocketNotifier

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


class QuitSignals(QObject):
    """Calls ``quit`` in the event loop when the process is asked to end. Must be created in the main thread."""

    def __init__(self, quit: Callable[[], None], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._quit = quit
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for name in SIGNALS:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores some
                signal.signal(number, lambda *_: None)  # the socket has it
        self._notifier = QSocketNotifier(self._reader.fileno(), QSocketNotifier.Type.Read, self)
        self._notifier.activated.connect(self._on_signal)

    def _on_signal(self) -> None:
        try:
            self._reader.recv(64)
        except BlockingIOError:
            return
        self._quit()
