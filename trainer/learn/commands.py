"""What a run is told while it runs: from standard input, or by Ctrl+C. Looked at between two steps."""

from __future__ import annotations

import queue
import sys
import time
from pathlib import Path
from typing import BinaryIO

from engine.contract import training_events as events
from engine.contract.errors import CommonArtError


class Commands:
    """A list of commands that any thread or signal handler may add to."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[str] = queue.SimpleQueue()  # may be put to inside a signal handler

    def put(self, command: str) -> None:
        self._waiting.put(command)

    def next(self, *, wait: bool = False) -> str:
        """The oldest, or empty text; with ``wait`` until there is one."""
        try:
            return self._waiting.get(timeout=3600 * 24 * 365) if wait else self._waiting.get_nowait()
        except queue.Empty:
            return ""

    def listen(self, stream: BinaryIO, *, attached: bool) -> None:
        """Read lines until the stream ends; its end means quit, if whoever started us holds the other one."""
        for line in stream:
            try:
                self.put(events.decode_command(line.decode("utf-8", "replace")))
            except CommonArtError as e:
                print(e, file=sys.stderr)
        if attached:
            self.put("quit")

    def follow(self, path: Path, *, every: float = 0.3) -> None:
        """Read the lines of a file as they are appended: a window that was closed and opened again holds no standard input of ours."""
        at = 0
        while True:
            try:
                with path.open("rb") as f:
                    f.seek(at)
                    while (line := f.readline()).endswith(b"\n"):
                        at += len(line)
                        try:
                            self.put(events.decode_command(line.decode("utf-8", "replace")))
                        except CommonArtError as e:
                            print(e, file=sys.stderr)
            except OSError:
                pass  # nobody said anything yet
            time.sleep(every)
