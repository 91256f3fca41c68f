"""Commands to a running training, from standard input, a file or Ctrl+C; they are executed between two steps."""

from __future__ import annotations

import queue
import sys
import time
from pathlib import Path
from typing import BinaryIO

from engine.contract import training_events as events
from engine.contract.errors import CommonArtError


class Commands:
    """A queue of commands to which any thread or signal handler may add."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[str] = queue.SimpleQueue()  # SimpleQueue.put is safe inside a signal handler

    def put(self, command: str) -> None:
        self._waiting.put(command)

    def next(self, *, wait: bool = False) -> str:
        """The oldest command, or an empty string; with ``wait`` blocks until there is one."""
        try:
            return self._waiting.get(timeout=3600 * 24 * 365) if wait else self._waiting.get_nowait()
        except queue.Empty:
            return ""

    def listen(self, stream: BinaryIO, *, attached: bool) -> None:
        """Read commands until the stream ends; with ``attached`` its end is a quit command.

        The parent process is gone then.
        """
        for line in stream:
            try:
                self.put(events.decode_command(line.decode("utf-8", "replace")))
            except CommonArtError as e:
                print(e, file=sys.stderr)
        if attached:
            self.put("quit")

    def follow(self, path: Path, *, every: float = 0.3) -> None:
        """Read commands that are appended to a file, forever.

        A window that was closed and opened again has no access to this process's standard input.
        """
        offset = 0
        while True:
            try:
                with path.open("rb") as f:
                    f.seek(offset)
                    while (line := f.readline()).endswith(b"\n"):
                        offset += len(line)
                        try:
                            self.put(events.decode_command(line.decode("utf-8", "replace")))
                        except CommonArtError as e:
                            print(e, file=sys.stderr)
            except OSError:
                pass  # there are no commands yet
            time.sleep(every)
