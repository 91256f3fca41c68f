"""Ctrl+C as a request: the first is passed on as a command, the second ends the program."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType, TracebackType


class Interrupt:
    """While active, the first SIGINT or SIGTERM calls ``ask`` and sets ``asked``; no exception interrupts running work.

    The next one raises KeyboardInterrupt as usual. For the main thread.
    """

    def __init__(self, ask: Callable[[], None]) -> None:
        self.asked = False
        self._ask = ask
        self._before: dict[int, object] = {}

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self._ask()

    def __enter__(self) -> Interrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
