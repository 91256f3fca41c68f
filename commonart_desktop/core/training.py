"""A training process: started, listened to, told things. POSIX and Windows are told apart in ``core.process`` only."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from commonart_desktop.core.process import _apart, _environment
from engine.contract import training_events
from engine.contract.errors import EngineStopped, ProtocolError
from engine.contract.events import Broken, Event
from engine.contract.paths import home, writing_home
from engine.contract.python_process import python_command

COMMANDS = training_events.COMMANDS


class Training:
    """A running ``python -m trainer``, or many of them: ``accelerate`` is a name or a file that ``trainer.launch``
    takes,
    ``launch`` what is said beside it, such as ``num_processes=4``. Its chatter goes to ``logs/training.log``; with
    ``debug`` to standard error.
    """

    def __init__(
        self,
        config: Path,
        changes: Sequence[str] = (),
        *,
        resume: bool = False,
        debug: bool = False,
        accelerate: str = "",
        launch: Sequence[str] = (),
    ) -> None:
        self._log = None if debug else home() / "logs" / "training.log"
        arguments = [
            str(config),
            "--attached",
            *(["--resume"] if resume else []),
            *(x for c in changes for x in ("--set", c)),
        ]
        program = ["trainer"]
        if accelerate:
            program = ["trainer.launch", "--accelerate", accelerate, *(x for one in launch for x in ("--launch", one))]
        stderr = None
        if self._log is not None:
            with writing_home():
                self._log.parent.mkdir(parents=True, exist_ok=True)
                stderr = self._log.open("wb")
        try:
            self.process = subprocess.Popen(
                python_command("-m", *program, *arguments, *(["--debug"] if debug else [])),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=_environment(),
                **_apart(),
            )
        finally:
            if stderr is not None:
                stderr.close()

    def events(self) -> Iterator[Event]:
        """Until the process ends. One that dies without a word ends with ``Broken``."""
        assert self.process.stdout is not None
        last: Event | None = None
        for line in self.process.stdout:
            try:
                last = training_events.decode(line.decode("utf-8", "replace"))
            except ProtocolError as e:
                last = Broken(error=e.to_wire())
            yield last
        code = self.process.wait()
        if not isinstance(last, (Broken, training_events.Finished, training_events.Stopped)):
            where = f", {self._log}" if self._log else ""
            yield Broken(error=EngineStopped(why=f"exit status {code}{where}").to_wire())

    def tell(self, command: str) -> None:
        """Send one of ``COMMANDS``; a process that is gone does not hear it."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({"command": command}).encode() + b"\n")
            self.process.stdin.flush()
        except (OSError, ValueError):
            pass

    def close(self) -> None:
        """Let go of its ends; a process that still runs saves and stops by itself."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    pass  # the other end is gone
